"""Bytes out of files that nobody vouches for: regular files only, never more than was asked for.

Archives are read member by member into memory. Nothing is unpacked onto the disk, so no name in an archive is ever
used as a path.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from noiseproof.errors import DataError, DataMissingError

__all__ = [
    "MIB",
    "believable",
    "read_bytes",
    "read_text",
    "regular",
    "tar_members",
    "too_dense",
    "web_page",
    "zip_members",
]

MIB = 1 << 20
_BLOCK = 512
_DENSEST = 100  # text packs to a tenth; what packs to less than a hundredth is made to fill the memory
_SLACK = 64 * MIB


def read_bytes(path: Path, limit: int) -> bytes:
    """The content of a file, unpacked if it is gzip.

    Args:
        path: a regular file, or a link to one.
        limit: the most bytes that come back.

    Raises:
        DataMissingError: there is no such file.
        DataError: it is no regular file, damaged, or longer than `limit`.
    """
    with _opened(path) as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        expected, limit = limit, min(limit, believable(path)) if packed else limit
        source = gzip.GzipFile(fileobj=file) if packed else file
        try:
            content = _at_most(limit + 1, source)  # type: ignore[arg-type]
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{path}: {'the gzip file is damaged' if packed else 'cannot be read'} ({error})") from None
    if len(content) > expected:
        raise DataError(f"{path}: at most {_size(expected)} is expected here, the file holds more")
    if len(content) > limit:
        raise too_dense(path)
    return content


def believable(path: Path) -> int:
    """The most bytes that a compressed file may hold: `_DENSEST` times its own, and a few more for small files."""
    return _SLACK + _DENSEST * path.stat().st_size


def too_dense(path: Path) -> DataError:
    """The refusal of a compressed file that holds more than is believable."""
    return DataError(
        f"{path}: holds more than {_DENSEST} times its size; if that is right, unpack it and give the file"
    )


def read_text(path: Path, limit: int) -> str:
    """The content of a text file, UTF-8 with or without a byte order mark, unpacked if it is gzip."""
    try:
        text = read_bytes(path, limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: must be UTF-8 text, byte {error.start} is not") from None
    if "\0" in text:
        raise DataError(f"{path}: must be text, found a NUL byte at character {text.index(chr(0))}")
    return text


def tar_members(path: Path, wanted: dict[str, int]) -> dict[str, bytes]:
    """The regular files of these exact names out of a tar archive, plain or gzip.

    Args:
        path: the archive.
        wanted: the longest size of each name.

    Raises:
        DataError: the archive is damaged, or a wanted name is no regular file, too long, or there twice.
    """
    found: dict[str, bytes] = {}
    with _opened(path) as file:
        packed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        archive: BinaryIO = gzip.GzipFile(fileobj=file) if packed else file  # type: ignore[assignment]
        budget = sum(wanted.values()) + 16 * MIB
        for name, kind, size in _tar_headers(archive, path):
            budget -= size + _BLOCK
            if budget < 0:
                raise DataError(f"{path}: holds far more than {', '.join(wanted)}; is it the right archive?")
            content = _exactly(archive, size, path)
            _exactly(archive, -size % _BLOCK, path)
            if name not in wanted:
                continue
            if kind not in (b"0", b"\0"):
                raise DataError(f"{path}: {name} must be a regular file, it is a link or a device")
            if size > wanted[name] or name in found:
                raise DataError(f"{path}: {name} is {'there twice' if name in found else f'too long, {size} bytes'}")
            found[name] = content
    return found


def zip_members(path: Path, limit: int, *, text: bool = False) -> dict[str, bytes]:
    """All files of a zip archive by name.

    Args:
        path: the archive.
        limit: the most bytes they may hold together.
        text: they hold text, so what packs a hundred times denser is refused.
    """
    with _opened(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                infos = [info for info in archive.infolist() if not info.is_dir()]
                names = {info.filename for info in infos}
                total = sum(info.file_size for info in infos)
                if total > limit:
                    raise DataError(f"{path}: holds {_size(total)}, at most {_size(limit)} is expected here")
                if text and total > believable(path):
                    raise too_dense(path)
                if len(names) < len(infos):
                    raise DataError(f"{path}: holds two files of one name")
                return {info.filename: _member(archive, info, path) for info in infos}
        except (DataError, MemoryError):
            raise
        except Exception as error:  # what zipfile raises on damaged archives is not a closed list
            raise DataError(
                f"{path}: not a sound zip archive ({type(error).__name__}: {str(error)[:120]}); download it again"
            ) from None


def web_page(content: bytes) -> str:
    """The hint for a download that went wrong in the usual way, else nothing."""
    start = content[:512].lstrip().lower()
    return " but a web page; download it again" if start.startswith((b"<!doctype", b"<html")) else ""


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: Path) -> bytes:
    with archive.open(info) as file:
        content = file.read(info.file_size + 1)
    if len(content) != info.file_size:
        raise DataError(f"{path}: {info.filename[:80]!r} is not as long as the archive says")
    return content


def _opened(path: Path) -> BinaryIO:
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise DataError(f"{path}: a file is expected, this is a folder")
        if not stat.S_ISREG(mode):
            raise DataError(f"{path}: a regular file is expected, this is a pipe or a device")
        return path.open("rb")
    except (FileNotFoundError, NotADirectoryError):
        raise DataMissingError(f"{path}: no such file") from None
    except ValueError as error:
        if isinstance(error, DataError):
            raise
        raise DataMissingError(f"{str(path)!r}: no such file ({error})") from None


def _tar_headers(archive: BinaryIO, path: Path) -> Iterator[tuple[str, bytes, int]]:
    """Name, kind and size of each member; whoever iterates reads the content in between."""
    while True:
        header = _exactly(archive, _BLOCK, path)
        if not header.strip(b"\0"):
            return
        try:
            size, checksum = (int(header[a:b].strip(b" \0") or b"0", 8) for a, b in ((124, 136), (148, 156)))
            name = header[:100].split(b"\0", 1)[0].decode()
        except ValueError:
            raise DataError(f"{path}: not a tar archive, or one with a damaged header") from None
        if size < 0 or sum(header[:148]) + 8 * ord(" ") + sum(header[156:]) != checksum:
            raise DataError(f"{path}: a header of the tar archive is damaged")
        yield name.removeprefix("./"), header[156:157], size


def _exactly(file: BinaryIO, count: int, path: Path) -> bytes:
    try:
        content = _at_most(count, file)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: the archive is damaged ({error})") from None
    if len(content) < count:
        raise DataError(f"{path}: the archive ends too early; download it again")
    return content


def _at_most(count: int, file: BinaryIO) -> bytes:
    """Bytes of a stream, up to a number; memory is taken for what comes, not for what is asked for."""
    pieces = io.BytesIO()
    while count and (piece := file.read(min(count, MIB))):
        pieces.write(piece)
        count -= len(piece)
    return pieces.getvalue()


def _size(count: int) -> str:
    return f"{count / MIB:.1f} MiB" if count >= MIB else f"{count} bytes"


def regular(path: Path) -> os.stat_result:
    """The status of a regular file.

    Raises:
        DataMissingError: there is no such file.
        DataError: it is a folder, a pipe or a device.
    """
    with _opened(path) as file:
        return os.fstat(file.fileno())
