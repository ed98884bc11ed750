"""A file of equally long rows, each with its checksum, that many threads fill and read in any order."""

from __future__ import annotations

import os
import weakref
import zlib
from pathlib import Path

from noiseproof.errors import DataError
from noiseproof.storage import files

__all__ = ["Rows"]

_CHECK = 8  # bytes


class Rows:
    """Rows that are kept where there is room.

    A row counts only if its checksum fits, so one that was never written, or only in part, is none. Rows are written
    by calls to the system, not through mapped memory, where a disk that fills up would end the process.

    Args:
        path: the file, made with holes where the file system has them; the rows come first, then their checksums.
        count: rows.
        size: bytes a row.

    Raises:
        MachineError: a new file does not fit, or it cannot be made.
        DataError: the file has another size.
    """

    def __init__(self, path: Path, count: int, size: int) -> None:
        self.path, self.count, self.size = path, count, size
        total = count * (size + _CHECK)
        if not path.exists():
            files.need_space(path.parent, total)
            with files.grow(path) as file:
                file.truncate(total)
        self._file = path.open("r+b", buffering=0)
        weakref.finalize(self, self._file.close)
        if (found := os.fstat(self._file.fileno()).st_size) != total:
            raise DataError(f"{path} has {found} bytes, not {total}; remove it")

    def read(self, index: int) -> bytes | None:
        """The row; None if it is not there."""
        try:
            content = os.pread(self._file.fileno(), self.size, index * self.size)
            check = os.pread(self._file.fileno(), _CHECK, self._place(index))
        except OSError:
            return None
        return content if check == _checksum(content) else None

    def write(self, index: int, content: bytes) -> None:
        """Keep the row; where the disk is full or fails, it is not kept."""
        try:
            os.pwrite(self._file.fileno(), content, index * self.size)
            os.pwrite(self._file.fileno(), _checksum(content), self._place(index))
        except OSError:
            return  # what cannot be kept is made again

    def _place(self, index: int) -> int:
        return self.count * self.size + index * _CHECK


def _checksum(content: bytes) -> bytes:
    """Never all zeros, which is what a row that was not written has."""
    return (zlib.crc32(content) + 1).to_bytes(_CHECK, "little")
