"""Files of a folder and below: quick, in a fixed order, without the leftovers of file managers."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType

from noiseproof.data.reading_account import Reading, Skipped
from noiseproof.errors import DataError

__all__ = ["PICTURE_ENDINGS", "Folder", "is_leftover", "is_picture", "is_wrong_folder", "note_links", "scan", "walk"]

PICTURE_ENDINGS = (
    ".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".webp", ".gif", ".ppm", ".pgm",
    ".tif", ".tiff", ".avif", ".heic", ".heif", ".jp2",
)  # fmt: skip
_ENDINGS = frozenset(PICTURE_ENDINGS)
_LEFTOVERS = frozenset(
    [
        "__MACOSX", "@eaDir", "Thumbs.db", "thumbs.db", "ehthumbs.db", "desktop.ini", "Desktop.ini", "$RECYCLE.BIN",
        "System Volume Information", "lost+found", "#recycle", "__pycache__", "Icon\r",
    ]
)  # fmt: skip
_MOST_OTHERS = 50_000  # files and folders that are no pictures, at nine in ten of which a folder is no data set
_MOST_DEEP = 40  # folders in folders; deeper ones are a link that leads back


def is_leftover(name: str) -> bool:
    """Test for a name that file managers, notebooks and version control leave behind.

    Example:
        >>> is_leftover("._cat.png"), is_leftover("@eaDir"), is_leftover("cat.png")
        (True, True, False)
    """
    return name[:1] == "." or name in _LEFTOVERS


def is_picture(name: str) -> bool:
    """Test for the ending of a picture."""
    return name[name.rfind(".") :].lower() in _ENDINGS


class Folder:
    """Items (pictures unless said otherwise), other files and folders in one folder, by name.

    Args:
        path: the folder.
        root: the folder that is read; links may lead out of it and are listed.
        takes: tests the name of a file for one of the items.

    Attributes:
        closed: it cannot be opened for want of a permission; the lists are empty.
    """

    def __init__(self, path: str, root: str, takes: Callable[[str], bool] = is_picture) -> None:
        self.path = path
        self.pictures: list[str] = []
        self.others: list[str] = []
        self.dangling: list[str] = []
        self.outside: list[str] = []
        self.folders: dict[str, str] = {}
        self.closed = False
        entries: list[os.DirEntry[str]] = []
        try:
            with os.scandir(path) as found:
                entries = list(found)
        except PermissionError:
            self.closed = True
        except (FileNotFoundError, NotADirectoryError):
            pass
        for entry in entries:
            name = entry.name
            if name[0] == "." or name in _LEFTOVERS:
                continue
            if entry.is_symlink():
                if not os.path.exists(entry.path) or _leads_back(entry.path, path):
                    self.dangling.append(name)
                    continue
                if not _inside(entry.path, root):
                    self.outside.append(name)
            if takes(name) and entry.is_file():
                self.pictures.append(name)
            elif entry.is_dir():
                self.folders[name] = entry.path
            elif (target := _link_as_text(entry, root)) is not None:
                self.folders[name] = target
            else:
                self.others.append(name)
        self.pictures.sort()
        self.folders = dict(sorted(self.folders.items()))


def walk(
    path: str,
    root: str,
    deep: int = 0,
    takes: Callable[[str], bool] = is_picture,
    known: Mapping[str, Folder] = MappingProxyType({}),
    deepest: int = _MOST_DEEP,
) -> Iterator[tuple[str, Folder]]:
    """Every folder from this one down, by its path relative to this one (empty for itself).

    Raises:
        DataError: folders lie deeper than any data set's; none is raised where less than that is asked for.
    """
    here = known[path] if path in known else Folder(path, root, takes)
    yield "", here
    if deep >= deepest and deepest < _MOST_DEEP:
        return
    if deep >= _MOST_DEEP:
        raise DataError(f"{path}: folders lie {deep} deep; does a link lead back to a folder above it?")
    for name, below in here.folders.items():
        for relative, folder in walk(below, root, deep + 1, takes, known, deepest):
            yield f"{name}/{relative}" if relative else name, folder


def scan(
    path: str,
    root: str,
    name: str,
    reading: Reading,
    takes: Callable[[str], bool] = is_picture,
    known: Mapping[str, Folder] = MappingProxyType({}),
) -> tuple[list[str], list[str]]:
    """Items in a folder and below: their files, and their names under `name`; what is none is noted."""
    what = "images" if takes is is_picture else "texts"
    files: list[str] = []
    names: list[str] = []
    for relative, folder in walk(path, root, takes=takes, known=known):
        home = f"{name}/{relative}" if relative else name
        home = f"{home}/" if home else ""
        files += [f"{folder.path}/{picture}" for picture in folder.pictures]
        names += [f"{home}{picture}" for picture in folder.pictures]
        reading.skipped += [Skipped(f"{home}{other}", f"files are no {what}") for other in folder.others]
        reading.skipped += [Skipped(home or root, "folders cannot be opened")] if folder.closed else []
        reading.skipped += [Skipped(f"{home}{link}", "links lead nowhere or back") for link in folder.dangling]
        note_links([f"{home}{link}" for link in folder.outside], reading)
        refuse_wrong_folder(root, len(files), len(reading.skipped))
    return files, names


def is_wrong_folder(items: int, others: int) -> bool:
    """Test for a folder that holds very many other things, such as a disk or a home, and few items."""
    return others > _MOST_OTHERS and others > 9 * items


def refuse_wrong_folder(root: str, items: int, others: int) -> None:
    """Stop at a folder that holds very many other things, such as a disk or a home, before all of it is listed.

    Raises:
        DataError: says how many, and what to give instead.
    """
    if is_wrong_folder(items, others):
        raise DataError(
            f"{root}: holds more than {_MOST_OTHERS:,} files and folders that are no pictures, and {items:,} pictures "
            "so far; is it the folder of a data set? give the folder that holds one folder of pictures a class"
        )


def note_links(links: list[str], reading: Reading) -> None:
    """Say once that links lead out of the source, with the first of them."""
    note = "links that lead out of the folder are followed"
    if links and not any(said.startswith(note) for said in reading.notes):
        reading.notes.append(f"{note} ({links[0]}, ...)")


def _inside(path: str, root: str) -> bool:
    target = os.path.realpath(path)
    home = os.path.realpath(root)
    return target == home or target.startswith(home + os.sep)


def _leads_back(link: str, path: str) -> bool:
    """True if a link leads to a folder that it lies in."""
    here = os.path.realpath(path) + os.sep
    return here.startswith(os.path.realpath(link) + os.sep)


def _link_as_text(entry: os.DirEntry[str], root: str) -> str | None:
    """The folder that a link names which git wrote as a small text file, as it does where links are not to be had."""
    if "." in entry.name or not entry.is_file() or not 0 < entry.stat().st_size < 1024:
        return None
    try:
        text = Path(entry.path).read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError):
        return None
    if "\n" in text.strip() or os.path.isabs(text) or "\0" in text:
        return None
    target = os.path.join(os.path.dirname(entry.path), text.strip())
    return target if os.path.isdir(target) and _inside(target, root) else None
