"""Folders of pictures or texts: class folders, parts above them, labels in file names."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from noiseproof.data.dataset import Files, Inputs, Origin, Split, Texts
from noiseproof.data.io.archives import MIB, read_bytes
from noiseproof.data.readers.base import Parts, ReadingOptions
from noiseproof.data.readers.classes import in_order, is_nameable
from noiseproof.data.readers.dialect import decode
from noiseproof.data.readers.listing import Folder, is_picture, note_links, refuse_wrong_folder, scan, walk
from noiseproof.data.readers.part_names import part_of, parts_of
from noiseproof.data.readers.samples import parts
from noiseproof.data.readers.table_pictures import Seen, look_at, looks_like_picture, why
from noiseproof.data.reading_account import Reading, Skipped
from noiseproof.errors import DataError

__all__ = ["read_folder", "read_texts"]

_LONGEST = 64 * MIB
_MOST_BESIDE = 8  # folders of one that unpacks pictures beside notes and annotations
_LOOKED_INTO = 1000  # folders in a folder, in search of a first picture
_IN_NAME = re.compile(r"(?P<label>.*[^\W_].*?)[ _.-]+\(?\d+\)?\Z")
_CAMERAS = frozenset(
    [
        "img",
        "dsc",
        "dscn",
        "image",
        "picture",
        "photo",
        "frame",
        "pic",
        "scan",
        "pxl",
        "screenshot",
        "dji",
        "gopr",
        "vid",
        "p",
    ]
)


class _Found:
    """Items as they are found: file, name from the source, label, part.

    Args:
        takes: tests a file's name for one of them.
    """

    def __init__(self, takes: Callable[[str], bool]) -> None:
        self.takes = takes
        self.listed: dict[str, Folder] = {}
        self.files: list[str] = []
        self.names: list[str] = []
        self.labels: list[str] = []
        self.parts: list[str] = []

    def add(self, files: Sequence[str], names: Sequence[str], labels: Sequence[str], part: str) -> None:
        self.files += files
        self.names += names
        self.labels += labels
        self.parts += [part] * len(files)

    def folder(self, path: str, root: str) -> Folder:
        """The listing of a folder, made once."""
        if path not in self.listed:
            self.listed[path] = Folder(path, root, self.takes)
        return self.listed[path]


def is_text_file(name: str) -> bool:
    """Test for the name of a text: `a.txt`, or no ending at all as in mail archives."""
    return name.lower().endswith((".txt", ".text")) or "." not in name


def read_folder(path: Path, options: ReadingOptions, reading: Reading) -> Parts:
    """Read class folders, with or without folders for the parts above them; of texts where there is no picture.

    Raises:
        DataError: it is not clear which folders are the classes; says what was found.
    """
    root = str(path)
    found = _Found(_takes(root))
    reading.form = "class folders" if found.takes is not is_text_file else "class folders of texts"
    top, name = _unwrapped(found.folder(root, root), "", root, found, reading)
    below = {folder: found.folder(place, root) for folder, place in top.folders.items()}
    note_links([*top.outside, *(link for inside in below.values() for link in inside.outside)], reading)
    roles = _parts(top, below, path)
    if roles:
        _read_parts(top, below, roles, name, root, found, reading)
    elif top.folders:
        _read_classes(top, name, root, "train", found, reading)
    else:
        _read_names(top, name, "train", found, path)
    if top.others:
        beside = ", ".join(sorted(top.others)[:5])
        files = "file" if len(top.others) == 1 else "files"
        reading.notes.append(f"not read: {len(top.others):,} {files} beside the folders ({beside})")
    return _samples(found, path, options, reading, bool(roles))


def _takes(root: str) -> Callable[[str], bool]:
    """The test for the items of a folder: pictures, or texts where there is no picture."""
    bare, with_texts, others = False, set(), 0
    for relative, folder in walk(root, root):
        if folder.pictures:
            return is_picture
        others += 1 + sum(not is_text_file(name) for name in folder.others)
        refuse_wrong_folder(root, 0, others)
        for name in folder.others if relative else ():
            bare |= "." not in name and looks_like_picture(f"{folder.path}/{name}")
            if is_text_file(name):
                with_texts.add(relative)
                break
    return _is_bare if bare else is_text_file if len(with_texts) > 1 else is_picture


def _is_bare(name: str) -> bool:
    return "." not in name


def _unwrapped(folder: Folder, name: str, root: str, found: _Found, reading: Reading) -> tuple[Folder, str]:
    """The folder below, where only one of a folder's folders holds pictures, as archives unpack."""
    while not folder.pictures and (inner := _only_holder(folder, root, found)):
        below = found.folder(folder.folders[inner], root)
        if not below.folders and not _labels_in_names(below.pictures):
            break
        beside = [other for other in folder.folders if other != inner]
        if beside:
            reading.notes.append(f"not read: {', '.join(beside[:5])} beside {inner}, without pictures")
        folder, name = below, f"{name}/{inner}" if name else inner
    return folder, name


def _only_holder(folder: Folder, root: str, found: _Found) -> str:
    """The one folder with items in it or below; empty if there are several, or an empty folder that may be a class."""
    holders: list[str] = []
    if len(folder.folders) > _MOST_BESIDE:
        return ""
    for name, place in folder.folders.items():
        inside = list(itertools.islice(walk(place, root, takes=found.takes, known=found.listed), _LOOKED_INTO))
        if any(below.pictures for _, below in inside):
            holders.append(name)
        elif not any(below.others for _, below in inside):
            return ""
        if len(holders) > 1:
            return ""
    return "".join(holders)


def _parts(top: Folder, below: dict[str, Folder], path: Path) -> dict[str, str]:
    """The part that each folder is, where the folders are parts and not classes."""
    named = parts_of(below)
    if not named:
        return {}
    holders = [folder for folder in named if below[folder].folders]
    if not holders and len(named) < len(below):
        return {}  # a class that is called like a part, such as a train among vehicles
    if not holders and len([folder for folder in below if below[folder].pictures]) < 2:
        return {}
    parts = [part for part in named.values() if part != "unlabelled"]
    twice = [folder for folder, part in named.items() if parts.count(part) > 1]
    if twice:
        raise DataError(f"{path}: {' and '.join(twice)} name the same part; which one is meant? move the other away")
    if "train" not in parts:
        raise DataError(
            f"{path}: {', '.join(named)} are names of parts, and none is the training part; are they classes? "
            "rename them, or give the folder of one part"
        )
    return named


def _read_parts(
    top: Folder, below: dict[str, Folder], roles: dict[str, str], name: str, root: str, found: _Found, reading: Reading
) -> None:
    for folder, inside in below.items():
        home = f"{name}/{folder}" if name else folder
        part = roles.get(folder, "")
        if part in ("", "unlabelled"):
            _files, names = scan(inside.path, root, home, Reading(reading.source, ""), found.takes, found.listed)
            why = "pictures have no label" if part else "pictures lie in no part"
            reading.skipped += [Skipped(each, why) for each in names]
            continue
        inside, home = _unwrapped(inside, home, root, found, reading)
        if inside.folders:
            _read_classes(inside, home, root, part, found, reading)
        else:
            _read_names(inside, home, part, found, Path(root))
    reading.skipped += [Skipped(f"{name}/{each}" if name else each, "pictures lie in no part") for each in top.pictures]


def _read_classes(top: Folder, name: str, root: str, part: str, found: _Found, reading: Reading) -> None:
    below = {folder: found.folder(place, root) for folder, place in top.folders.items()}
    inner = [tuple(inside.folders) for inside in below.values() if inside.folders or inside.pictures]
    if len(inner) > 1 and len(inner[0]) > 1 and len(set(inner)) == 1 and not any(f.pictures for f in below.values()):
        raise DataError(
            f"{top.path}: {', '.join(below)} each hold the folders {', '.join(inner[0][:5])}; which are the classes? "
            f"give one of them, such as {top.path}/{next(iter(below))}, or name them train and test if they are parts"
        )
    for folder, inside in below.items():
        home = f"{name}/{folder}" if name else folder
        if not is_nameable(folder):  # control characters, and what is not UTF-8
            raise DataError(f"{top.path}: the folder name {folder!r} cannot be the name of a class")
        files, names = scan(inside.path, root, home, reading, found.takes, found.listed)
        if folder.casefold().startswith("un") and part_of(folder) and len(below) > 2:
            what = "pictures" if found.takes is not is_text_file else "texts"
            reading.skipped += [Skipped(each, f"{what} have no label") for each in names]
            continue
        if not files:
            what = "images" if found.takes is not is_text_file else "texts"
            reading.notes.append(f"the folder {home} holds no {what} and is no class")
        found.add(files, names, [folder] * len(files), part)
    beside = [f"{name}/{each}" if name else each for each in top.pictures]
    reading.skipped += [Skipped(each, "pictures lie beside the class folders") for each in beside]


def _read_names(folder: Folder, name: str, part: str, found: _Found, path: Path) -> None:
    """Pictures whose label stands in their name, LABEL_NUMBER.jpg."""
    labels = _labels_in_names(folder.pictures)
    if not folder.pictures:
        raise DataError(f"{folder.path}: must hold a table or one folder of pictures or texts a class, found none")
    if not labels:
        raise DataError(
            f"{folder.path}: holds pictures and no folders; what are their classes? put those of each class "
            "into a folder of its own, or give a CSV file with the columns path and label"
        )
    home = f"{name}/" if name else ""
    files = [f"{folder.path}/{picture}" for picture in folder.pictures]
    found.add(files, [f"{home}{picture}" for picture in folder.pictures], labels, part)


def _labels_in_names(pictures: Sequence[str]) -> list[str]:
    """The label in each name, LABEL_NUMBER.jpg; empty unless each name has one, and each label several pictures."""
    fits = [_IN_NAME.match(picture.rpartition(".")[0]) for picture in pictures]
    labels = [fit["label"] for fit in fits if fit]
    names = set(labels)
    fit = len(labels) == len(pictures) and 2 <= len(names) <= len(labels) / 2 and not names & _CAMERAS
    return labels if fit else []


def read_texts(files: Sequence[str], options: ReadingOptions) -> tuple[dict[int, str], dict[int, str]]:
    """The content of text files, and the reason for each that cannot be decoded."""
    texts, bad = {}, {}
    for place, file in enumerate(files):
        try:
            texts[place] = decode(read_bytes(Path(file), _LONGEST), options.encoding, file)
        except DataError as error:
            bad[place] = str(error)
    return texts, bad


def _samples(found: _Found, path: Path, options: ReadingOptions, reading: Reading, has_parts: bool) -> Parts:
    as_texts = found.takes is is_text_file
    texts, bad = read_texts(found.files, options) if as_texts else ({}, {})
    seen = Seen({}, {}) if as_texts else look_at(found.files)
    bad = bad or seen.broken
    for place, reason in bad.items():
        if options.strict:
            raise DataError(f"{path}: {reason}; without --strict it is left out; noiseproof data check lists them all")
        reading.skipped.append(Skipped(found.names[place], "texts cannot be decoded" if as_texts else why(reason)))
    keep = [place for place in range(len(found.files)) if place not in bad] if bad else range(len(found.files))
    classes = in_order(found.labels[place] for place in keep)
    if len(classes) < 2:
        has = ", ".join(classes) or "none"
        more = f"; {len(bad)} pictures cannot be read ({found.names[next(iter(bad))]}, ...)" if bad else ""
        more += "".join(f"; {note}" for note in reading.notes if "holds no images" in note)
        remedy = "put each into a folder of its own"
        raise DataError(f"{path}: at least two classes are needed, found {has}{more}; {remedy}")
    number = {label: at for at, label in enumerate(classes)}
    labels = np.fromiter((number[found.labels[place]] for place in keep), np.int64, len(keep))
    origin = Origin(str(path), np.arange(len(keep)), paths=tuple(found.names[place] for place in keep))
    inputs: Inputs = Files(found.files[place] for place in keep)
    if as_texts:
        inputs = Texts(texts[place] for place in keep)
    whole = Split(inputs, torch.from_numpy(labels), None, tuple(classes), origin)
    made = parts(whole, [found.parts[place] for place in keep] if has_parts else None, reading)
    return replace(made, hashes=seen.hashes)
