"""Paths of image files and names of their classes: listed once, checked all together."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from noiseproof.data.dataset import offenders
from noiseproof.data.io.label_files import Labels
from noiseproof.errors import DataError, DataMissingError

__all__ = ["IMAGE_ENDINGS", "class_numbers", "entries", "inside", "listed", "pictures", "stay_inside"]

IMAGE_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".ppm", ".pgm")

_WHOLE = re.compile(r"-?\d{1,18}\Z", re.ASCII)


def inside(root: Path, names: Sequence[str], where: str) -> tuple[Path, ...]:
    """The files of these names under the root; every one is there, and none is linked in from elsewhere.

    Args:
        root: the folder that the names are relative to.
        names: with forward slashes, such as "google/q0001/a.jpg".
        where: what the names came from, for messages.

    Raises:
        DataError: a name leads out of the root.
        DataMissingError: files are missing; says how many and the first five.
    """
    stay_inside(root, names, where)
    folders: dict[str, set[str]] = {}
    for parent in {name.rpartition("/")[0] for name in names}:
        folders[parent] = {entry.name for entry in entries(root / parent, root)}
    missing = np.array([name.rpartition("/")[2] not in folders[name.rpartition("/")[0]] for name in names], bool)
    if missing.any():
        raise DataMissingError(
            f"{where}: {int(missing.sum()):,} of {len(names):,} files are not in {root}; "
            f"{offenders(missing, names, first_row=1)}; give paths from that folder"
        )
    return tuple(root / name for name in names)


def stay_inside(root: Path, names: Sequence[str], where: str) -> None:
    """Refuse names that are absolute, lead out of the root or that no file system takes."""
    bad = np.array([_leads_out(name) for name in names], bool)
    if bad.any():
        raise DataError(f"{where}: names must be relative and stay inside {root}; {offenders(bad, names, first_row=1)}")


def listed(folder: Path, root: Path) -> tuple[list[Path], int]:
    """The image files in a folder and below, by name, and how many other files there are."""
    found: list[Path] = []
    others = 0
    for entry in entries(folder, root, folders=True):
        if entry.is_dir(follow_symlinks=False):
            deeper, odd = listed(Path(entry.path), root)
            found, others = found + deeper, others + odd
        elif entry.name.lower().endswith(IMAGE_ENDINGS):
            found.append(Path(entry.path))
        else:
            others += 1
    return sorted(found), others


def entries(folder: Path, root: Path, *, folders: bool = False) -> Iterable[os.DirEntry[str]]:
    """Files of a folder, and its folders if asked; links that lead out of the root are refused."""
    try:
        found = list(os.scandir(folder))
    except (FileNotFoundError, NotADirectoryError):
        return []
    home = root.resolve()
    for entry in found:
        if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(home):
            raise DataError(f"{entry.path}: refused, this link leads out of {root}; copy the files there instead")
    return [entry for entry in found if entry.is_file() or (folders and entry.is_dir(follow_symlinks=False))]


def pictures(text: str, where: str) -> tuple[list[str], list[int]]:
    """Names and labels of a list with `NAME LABEL` in each line."""
    names, labels = [], []
    for number, line in enumerate(text.splitlines(), 1):
        name, _, label = line.strip().rpartition(" ")
        if not name or not label.isascii() or not label.isdigit() or len(label) > 9:
            if not line.strip():
                continue
            raise DataError(f"{where}, line {number}: must be 'NAME LABEL', got {line[:80]!r}")
        names.append(name.strip())
        labels.append(int(label))
    if not names:
        raise DataError(f"{where}: the list is empty")
    return names, labels


def class_numbers(
    columns: Sequence[Sequence[str]], where: str, *, first_row: int = 2
) -> tuple[list[Labels], list[str]]:
    """Class indices of columns of texts, numbered together, and the names of the classes.

    Whole numbers are the indices themselves, from 0; names are numbered in alphabetical order.

    Raises:
        DataError: numbers and names are mixed, a number is negative or no whole one, or a label is empty.

    Example:
        >>> indices, names = class_numbers([["dog", "cat", "dog"]], "here")
        >>> indices[0].tolist(), names
        ([1, 0, 1], ['cat', 'dog'])
    """
    columns = [[text.strip() for text in column] for column in columns]
    kinds = {text: _kind(text) for text in {text for column in columns for text in column}}
    common = "number" if sum(kind == "number" for kind in kinds.values()) * 2 > len(kinds) else "name"
    for column in columns:
        bad = np.array([kinds[text] != common for text in column], bool)
        if bad.any():
            wanted = "whole numbers from 0" if common == "number" else "names, all of them, or all whole numbers from 0"
            raise DataError(f"{where}: labels must be {wanted}; {offenders(bad, column, first_row=2)}")
    if common == "name":
        names = sorted(kinds)
        index = {name: number for number, name in enumerate(names)}
        return [np.array([index[text] for text in column], np.int64) for column in columns], names
    arrays = [np.array([int(text) for text in column], np.int64) for column in columns]
    top = max((int(array.max()) for array in arrays if len(array)), default=0)
    if top >= max(1000, 2 * len(columns[0])):
        raise DataError(f"{where}: labels go up to {top:,} in {len(columns[0]):,} rows; number the classes from 0")
    return arrays, [str(number) for number in range(top + 1)]


def _kind(text: str) -> str:
    if _WHOLE.match(text):
        return "negative" if text.startswith("-") else "number"
    try:
        float(text)
    except ValueError:
        return "name" if text and text.isprintable() else "unusable"
    return "unusable"  # 3.0, nan, inf: neither a class index nor a name that anyone would give


def _leads_out(name: str) -> bool:
    parts = name.split("/")
    odd = not name or len(name) > 1024 or "\\" in name or "\0" in name
    return odd or name[0] == "/" or ".." in parts or any(len(part.encode("utf-8", "replace")) > 255 for part in parts)
