"""Archives of several files, unpacked once into the user's cache folder, and single pictures kept there by content.

Only regular files with names that stay inside come out; nothing of an archive is a link, a device or executable.
"""

from __future__ import annotations

import hashlib
import os
import tarfile
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from noiseproof.data.io.archives import believable, regular, too_dense
from noiseproof.data.io.file_hashes import cache_folder
from noiseproof.errors import DataError, MachineError
from noiseproof.storage import files

__all__ = ["ARCHIVES", "kept_pictures", "unpacked_folder"]

ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_BLOCK = 1 << 20
_LONGEST = 255  # bytes of a name
_MAGIC = ((b"\xff\xd8\xff", ".jpg"), (b"\x89PNG", ".png"), (b"GIF8", ".gif"), (b"BM", ".bmp"), (b"RIFF", ".webp"),
          (b"II*\0", ".tif"), (b"MM\0*", ".tif"), (b"\0\0\0\x0cjP", ".jp2"))  # fmt: skip


def unpacked_folder(path: Path) -> Path:
    """The folder with the files of an archive; the same archive is unpacked once.

    Raises:
        DataError: it is damaged, a name leads out of it, or it holds more than is believable.
        MachineError: the cache folder cannot be written.
    """
    regular(path)
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_BLOCK):
            digest.update(piece)
    place = cache_folder() / "unpacked" / digest.hexdigest()[:32]
    if place.is_dir():
        return place
    files.make_folder(place.parent)
    left = believable(path)
    try:
        with tempfile.TemporaryDirectory(dir=place.parent, prefix="part-") as temporary:
            home = Path(temporary) / "whole"
            home.mkdir()
            for name, source in _members(path):
                left -= _written(home / _safe(name, path), source, left, path)
            if not place.is_dir():
                home.rename(place)
    except OSError as error:
        if place.is_dir():  # another process was quicker
            return place
        raise MachineError(f"cannot unpack {path} into {place.parent}: {error.strerror}") from None
    return place


def _members(path: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """Name and content of each regular file."""
    try:
        if path.name.lower().endswith(".zip"):
            with zipfile.ZipFile(path) as packed:
                for info in packed.infolist():
                    if not info.is_dir():
                        with packed.open(info) as source:
                            yield info.filename, source
        else:
            with tarfile.open(path) as archive:
                for member in archive:
                    if member.isfile() and (content := archive.extractfile(member)) is not None:
                        yield member.name, content
    except (DataError, MachineError, OSError, MemoryError):
        raise
    except Exception as error:  # what these raise on damaged archives is not a closed list
        raise DataError(
            f"{path}: not a sound archive ({type(error).__name__}: {str(error)[:120]}); download it again"
        ) from None


def _safe(name: str, path: Path) -> str:
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    odd = not parts or ".." in parts or ":" in parts[0] or "\0" in name or name.startswith("/")
    if odd or any(len(os.fsencode(part)) > _LONGEST for part in parts):
        raise DataError(f"{path}: refused, the name {name[:80]!r} leads out of the archive")
    return "/".join(parts)


def _written(place: Path, source: IO[bytes], left: int, path: Path) -> int:
    """Write one file; the number of its bytes."""
    place.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with place.open("xb") as file:
        while piece := source.read(_BLOCK):
            count += len(piece)
            if count > left:
                raise too_dense(path)
            file.write(piece)
    return count


def kept_pictures(contents: Iterable[bytes]) -> list[Path]:
    """A file for each picture that lies in a table, named by its content in the user's cache folder."""
    home = cache_folder() / "pictures"
    found = []
    for content in contents:
        ending = next((ending for magic, ending in _MAGIC if content.startswith(magic)), ".png")
        name = hashlib.sha256(content).hexdigest()
        place = home / name[:2] / f"{name}{ending}"
        found.append(place)
        if place.is_file() and place.stat().st_size == len(content):
            continue
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=place.parent, prefix="part-", delete=False) as file:
                file.write(content)
            os.replace(file.name, place)
        except OSError as error:
            raise MachineError(f"cannot write a picture of the table into {home}: {error.strerror}") from None
    return found
