"""Pictures that a table names: found beside it, checked, and left out where they cannot be read."""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from noiseproof.data.io import file_hashes
from noiseproof.data.io.broken_pictures import looks_whole
from noiseproof.data.readers.listing import PICTURE_ENDINGS, is_wrong_folder, walk
from noiseproof.data.reading_account import CANNOT

__all__ = ["Pictures", "Seen", "look_at", "looks_like_picture", "why"]

_OPTIONAL = (".avif", ".heic", ".heif", ".jp2")  # forms that not every Pillow reads
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
        others = 0
        for relative, folder in walk(str(self.root), str(self.root), deepest=_DEEP):
            found += [f"{relative}/{name}" if relative else name for name in folder.pictures]
            others += len(folder.others) + len(folder.folders)
            if is_wrong_folder(len(found), others):
                break  # a home or a disk: pictures have to be named by their path from the table
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

    @cached_property
    def _caseless(self) -> dict[str, list[str]]:
        """The same without regard to capitals, as on Windows and macOS."""
        index: dict[str, list[str]] = {}
        for name, paths in self._index.items():
            index.setdefault(name.casefold(), []).extend(paths)
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
        fits = self._index.get(parts[-1]) or self._caseless.get(parts[-1].casefold(), [])
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
    if not plain.lower().endswith(PICTURE_ENDINGS) and (cut := re.match(r"(.+\.\w{3,4})[?#]", plain)):
        plain = cut[1]  # what a web address says behind the name of its file
    if "://" in plain:
        plain = plain.partition("://")[2].partition("?")[0].partition("#")[0].rpartition("/")[2]
    if len(plain) > 1 and plain[1] == ":":
        plain = plain[2:]
    while plain.startswith(("./", "/")):
        plain = plain[2:] if plain.startswith("./") else plain[1:]
    return plain


@dataclass(frozen=True)
class Seen:
    """Pictures that were looked at.

    Args:
        broken: positions of those that cannot be read, each with the reason, in order.
        hashes: SHA-256 of the others by path.
    """

    broken: dict[int, str]
    hashes: dict[str, bytes]


def look_at(paths: Sequence[str]) -> Seen:
    """Find the pictures that cannot be read; the one door of every command that reads pictures.

    Each file is read once, for its hash. JPEG and PNG are tested by their structure, other forms and whatever is in
    doubt are decoded; what passed is not tested again until it changes.
    """
    digests, passed = file_hashes.look(paths, _is_sound)
    places = np.flatnonzero(~passed).tolist()
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        reasons = dict(zip(places, pool.map(_fault, (paths[place] for place in places)), strict=True))
    broken = {place: reason for place, reason in reasons.items() if reason}
    hashes = dict(zip(paths, digests.view("V32").ravel().tolist(), strict=True))
    for place in broken:
        hashes.pop(paths[place], None)
    return Seen(broken, hashes)


def _is_sound(path: str, content: bytes) -> bool:
    """The test whose result is kept; pictures whose decoder may be missing next time are decoded every time."""
    return looks_whole(content) or (not path.lower().endswith(_OPTIONAL) and bool(content) and not _fault(path))


def why(reason: str) -> str:
    """The reason for leaving a picture out, alike for all that are damaged."""
    short = "damaged or no picture" if "cannot be decoded" in reason else reason.partition(": ")[2] or reason
    return f"{CANNOT} ({short})"


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
