"""Pictures that a table names: found beside it, checked, and left out where they cannot be read."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from noiseproof.data.readers.listing import PICTURE_ENDINGS, walk

__all__ = ["Pictures", "broken", "looks_like_picture"]

_HEAD = 32
_MOST_PIXELS = 64_000_000  # more are not decoded
_DEEP = 4  # folders below the table in which pictures are looked for
_WITHOUT_WAITING = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)  # a pipe without a writer would wait for ever


class Pictures:
    """The pictures under a folder, found by the names that tables give them.

    Args:
        root: the folder of the table, or the one that the user names.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def _listed(self) -> list[str]:
        found: list[str] = []
        for relative, folder in walk(str(self.root), str(self.root)):
            if relative.count("/") < _DEEP:
                found += [f"{relative}/{name}" if relative else name for name in folder.pictures]
        return found

    @cached_property
    def _index(self) -> dict[str, list[str]]:
        """Paths by their last part, with and without its ending."""
        index: dict[str, list[str]] = {}
        for path in self._listed:
            name = path.rpartition("/")[2]
            index.setdefault(name, []).append(path)
            index.setdefault(name.rpartition(".")[0], []).append(path)
        return index

    def hold(self, names: Sequence[str]) -> bool:
        """Test whether every name, with or without its ending, is that of a picture."""
        known = [name for name in names if name.strip()]
        return (
            bool(known)
            and bool(self._listed)
            and all(self.find(name) for name in known[:50])
            and all(self.find(name) for name in known)
        )

    def find(self, name: str) -> list[str]:
        """The paths, relative to the root, that a name may mean; the one that shares most folders, if there is one."""
        if os.path.isabs(name) and name.lower().endswith(PICTURE_ENDINGS) and os.path.isfile(name):
            return [name]
        plain = clean(name)
        if not plain or plain.startswith(".."):
            return []
        if self._known(plain):
            return [plain]
        parts = plain.split("/")
        fits = self._index.get(parts[-1], [])
        shared = [_shared(parts, path.split("/")) for path in fits]
        least = 1 if len(parts) > 1 else 0  # a picture of this name in another folder is another picture
        return [path for path, count in zip(fits, shared, strict=True) if count == max(shared) and count >= least]

    @cached_property
    def _folders(self) -> dict[str, frozenset[str]]:
        return {}

    def _known(self, plain: str) -> bool:
        """True if a file of exactly this path lies under the root."""
        home, _, name = plain.rpartition("/")
        if home not in self._folders:
            if len(plain) > 1024 or ".." in plain.split("/"):
                return False
            names: list[str] = []
            with contextlib.suppress(OSError, ValueError), os.scandir(os.path.join(self.root, home)) as entries:
                names = [entry.name for entry in entries if entry.is_file()]
            self._folders[home] = frozenset(names)
        return name in self._folders[home]


def clean(name: str) -> str:
    """A path with forward slashes, without a leading `./`, drive or slash.

    Example:
        >>> clean(".\\\\imgs\\\\1.png"), clean("/content/pets/1.jpg"), clean("C:\\\\a.png")
        ('imgs/1.png', 'content/pets/1.jpg', 'a.png')
    """
    plain = name.strip()
    if "\0" in plain:
        return ""
    if "\\" in plain:
        plain = plain.replace("\\", "/")
    if "://" in plain:
        plain = plain.partition("://")[2].partition("?")[0].partition("#")[0].rpartition("/")[2]
    if len(plain) > 1 and plain[1] == ":":
        plain = plain[2:]
    while plain.startswith(("./", "/")):
        plain = plain[2:] if plain.startswith("./") else plain[1:]
    return plain


def broken(paths: Sequence[str]) -> dict[int, str]:
    """Pictures that cannot be read, by position, with the reason.

    The beginning and the end of each file are looked at; only where they are not as the form wants them, the picture is
    decoded to be sure.
    """
    found: dict[int, str] = {}
    for place, path in enumerate(paths):
        if not _looks_whole(path):
            reason = _fault(path)
            if reason:
                found[place] = reason
    return found


def looks_like_picture(path: str) -> bool:
    """Test for a file that begins as a picture does; a pipe or a device that has nothing to say is none."""
    try:
        handle = os.open(path, _WITHOUT_WAITING)
        try:
            first = os.read(handle, 8)
        finally:
            os.close(handle)
    except OSError:
        return False
    return first.startswith((b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*"))


def _looks_whole(path: str) -> bool:
    try:
        handle = os.open(path, _WITHOUT_WAITING)
    except OSError:
        return False
    try:
        size = os.fstat(handle).st_size
        head = os.pread(handle, _HEAD, 0)
        tail = os.pread(handle, 16, max(0, size - 16))
    except OSError:
        return False
    finally:
        os.close(handle)
    if head.startswith(b"\xff\xd8\xff"):
        return tail.endswith(b"\xff\xd9")
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        width, height = (int.from_bytes(head[at : at + 4], "big") for at in (16, 20))
        return tail[-8:-4] == b"IEND" and 0 < width * height <= _MOST_PIXELS
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return int.from_bytes(head[4:8], "little") + 8 <= size
    if head.startswith((b"GIF87a", b"GIF89a")):
        return tail.endswith(b";")
    if head.startswith(b"BM"):
        return int.from_bytes(head[2:6], "little") <= size
    return False


def _fault(path: str) -> str:
    from noiseproof.data.pipeline.decoding import opened
    from noiseproof.errors import DataError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of decoders, about metadata
            opened(Path(path))
    except DataError as error:
        return str(error)
    return ""


def _shared(wanted: list[str], path: list[str]) -> int:
    """Number of folders, counted from the file upwards, that two paths share."""
    count = 0
    for a, b in zip(reversed(wanted[:-1]), reversed(path[:-1]), strict=False):
        if a != b:
            break
        count += 1
    return count
