"""Compressed files: gzip, bzip2, xz, zstandard, and zip archives with one table in them."""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable
from pathlib import Path

from noiseproof.data.io.archives import believable, read_bytes, too_dense, zip_members
from noiseproof.errors import DataError

__all__ = ["PACKED", "inner_name", "members", "unpacked"]

PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
_LEFTOVERS = ("__MACOSX/", ".", "@eaDir/", "Thumbs.db", "desktop.ini")


def unpacked(path: Path, limit: int) -> bytes:
    """The content of a file, unpacked if it is compressed.

    Raises:
        DataError: it is damaged, longer than `limit`, or an archive of several files.
    """
    content = read_bytes(path, limit)
    if content.startswith(b"PK\x03\x04"):
        found = members(path, limit)
        if len(found) != 1:
            raise DataError(
                f"{path}: holds {len(found)} files ({', '.join(sorted(found)[:5])}); unpack it and give one"
            )
        return next(iter(found.values()))
    steps: tuple[tuple[bytes, Callable[[bytes, int], bytes]], ...] = (
        (b"BZh", _bzip2),
        (b"\xfd7zXZ", _xz),
        (b"\x28\xb5\x2f\xfd", _zstandard),
    )
    for magic, unpack in steps:
        if content.startswith(magic):
            try:
                content = unpack(content, min(limit, believable(path)) + 1)
            except Exception as error:
                raise DataError(f"{path}: the compressed file is damaged ({str(error)[:100]})") from None
            if len(content) > limit:
                raise DataError(f"{path}: at most {limit:,} bytes are expected here, the file holds more")
            if len(content) > believable(path):
                raise too_dense(path)
    return content


def members(path: Path, limit: int) -> dict[str, bytes]:
    """The files of a zip archive by name, without the leftovers of file managers."""
    found = zip_members(path, limit, text=True)
    return {
        name: blob
        for name, blob in found.items()
        if not name.startswith(_LEFTOVERS) and not name.rpartition("/")[2].startswith(_LEFTOVERS)
    }


def inner_name(path: Path) -> str:
    """The name of a file without the endings of compression, in small letters; of a zip, its one member's name."""
    name = path.name.lower()
    if name.endswith(".zip") and path.is_file():
        try:
            inside = list(members(path, 1 << 31))
        except DataError:
            return name
        return inside[0].rpartition("/")[2].lower() if len(inside) == 1 else name
    for ending in PACKED:
        name = name.removesuffix(ending)
    return name


def _bzip2(content: bytes, most: int) -> bytes:
    return bz2.BZ2Decompressor().decompress(content, most)


def _xz(content: bytes, most: int) -> bytes:
    return lzma.LZMADecompressor().decompress(content, most)


def _zstandard(content: bytes, most: int) -> bytes:
    import pyarrow as pa

    with pa.CompressedInputStream(pa.BufferReader(content), "zstd") as stream:
        found: bytes = stream.read(most)
    return found
