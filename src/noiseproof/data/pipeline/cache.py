"""Pictures resized once and kept as raw bytes in one file, each with its checksum."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from noiseproof.errors import DataError
from noiseproof.storage import files

__all__ = ["Cache"]

Pixels = npt.NDArray[np.uint8]


class Cache:
    """The pixels of many files at one size, filled as they are first asked for; exact, since a resize draws nothing.

    A row counts only if its checksum fits, so a half-written or damaged one is made again. The file is named by the
    paths, sizes and times of the pictures: other pictures, another file.

    Args:
        folder: where the file lies.
        paths: the pictures.
        size: height and width of all of them.
    """

    def __init__(self, folder: Path, paths: tuple[Path, ...], size: tuple[int, int]) -> None:
        self.paths = paths
        digest = hashlib.sha256(repr(size).encode())
        for path in paths:
            status = path.stat()
            digest.update(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0".encode("utf-8", "surrogateescape"))
        self.path = folder / f"{digest.hexdigest()[:32]}-{size[0]}x{size[1]}.pixels"
        bytes_a_picture = size[0] * size[1] * 3
        total = len(paths) * (bytes_a_picture + 8)
        if not self.path.exists():
            files.need_space(folder, total)
        with files.grow(self.path) as file:
            file.truncate(total)  # a hole, where the file system has them: nothing is written yet
        whole = np.memmap(self.path, np.uint8, "r+")
        if len(whole) != total:
            raise DataError(f"{self.path}: changed size while it was opened; remove it")
        self.pixels = whole[: len(paths) * bytes_a_picture].reshape(len(paths), *size, 3)
        self.checks = whole[len(paths) * bytes_a_picture :].view(np.uint64)

    def get(self, index: int, make: Callable[[Path], Pixels]) -> Pixels:
        """The pixels of one picture, made if they are not there yet."""
        row: Pixels = self.pixels[index]
        if self.checks[index] != _check(row):
            row[:] = make(self.paths[index])
            self.checks[index] = _check(row)
        return row


def _check(row: Pixels) -> int:
    """Never 0, which is what a row that was not written has."""
    return zlib.crc32(row.data) + 1
