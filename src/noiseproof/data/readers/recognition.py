"""The user's own data: a folder, a table, arrays, or an export of a labelling tool."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from noiseproof.data.dataset import Data, HeldOut, Split, fingerprint, stratified
from noiseproof.data.io.unpack import ARCHIVES, unpacked_folder
from noiseproof.data.readers import (
    cvat,
    folder_metadata,
    folders,
    foreign,
    npz,
    paired_texts,
    svmlight,
    table_files,
    table_folder,
    webdataset,
)
from noiseproof.data.readers.base import READERS, Parts, ReadingOptions, reader
from noiseproof.data.readers.samples import labelled
from noiseproof.data.reading_account import Reading, announce
from noiseproof.errors import DataError

__all__ = ["assemble", "load_own"]


def load_own(path: Path, options: ReadingOptions | None = None) -> Data:
    """Read a path.

    Raises:
        DataError: no reader knows its form, or what is wrong with it.
    """
    options = options or ReadingOptions()
    reading = Reading(str(path), "")
    if path.resolve() == Path(path.resolve().anchor):
        raise DataError(
            f"{path}: is a whole disk, not a data set; give the folder that holds one folder of pictures or texts a "
            "class, or a table such as pets.csv"
        )
    for form in READERS:
        if form.sniff(path):
            return assemble(str(path), form.read(path, options, reading), reading)
    if said := foreign.remedy(path):
        raise DataError(f"{path}: files of this form are not read; {said}")
    raise DataError(
        f"{path}: own data is a folder of class folders, a table ({', '.join(table_files.ENDINGS)}; also compressed), "
        "arrays (.npz), an export of Label Studio, doccano, Argilla, Prodigy, CVAT or COCO, or an archive of these"
    )


@reader("arrays", lambda path: path.is_file() and path.suffix.lower() == ".npz")
def _arrays(path: Path, options: ReadingOptions, reading: Reading) -> Parts:
    return npz.read_npz(path, options, reading)


@reader("svmlight", svmlight.is_svmlight)
def _svmlight(path: Path, options: ReadingOptions, reading: Reading) -> Parts:
    return svmlight.read_svmlight(path, options, reading)


@reader("table", table_files.is_table)
def _table(path: Path, options: ReadingOptions, reading: Reading) -> Parts:
    return labelled(table_files.read_table(path, options), options, reading, options.root or path.parent)


@reader("archive", lambda path: path.is_file() and path.name.lower().endswith(ARCHIVES))
def _archive(path: Path, options: ReadingOptions, reading: Reading) -> Parts:
    folder = unpacked_folder(path)
    if webdataset.is_unpacked(folder):
        return _shards({path.name: folder}, path, options, reading)
    try:
        made = next(form for form in READERS if form.sniff(folder)).read(folder, options, reading)
    except DataError as error:
        raise type(error)(str(error).replace(str(folder), str(path))) from None
    reading.source = str(path)
    reading.notes.append(f"the archive lies unpacked in {folder}")
    test, validation = (part and _moved(part, folder, path) for part in (made.test, made.validation))
    return replace(made, train=_moved(made.train, folder, path), test=test, validation=validation)


def _moved(split: Split, folder: Path, archive: Path) -> Split:
    """The split with the archive's name in the place of the folder that it was unpacked into."""
    origin = split.origin
    source = "" if origin is None else origin.source.replace(str(folder), str(archive), 1)
    return split if origin is None else replace(split, origin=replace(origin, source=source))


@reader("WebDataset", lambda path: bool(webdataset.shards(path)))
def _webdataset(path: Path, options: ReadingOptions, reading: Reading) -> Parts:
    return _shards({tar.name: unpacked_folder(tar) for tar in webdataset.shards(path)}, path, options, reading)


def _shards(folders: dict[str, Path], path: Path, options: ReadingOptions, reading: Reading) -> Parts:
    return labelled(webdataset.read_shards(folders, str(path)), options, reading, path.parent)


@reader("texts beside labels", paired_texts.has_pairs)
def _paired_texts(path: Path, options: ReadingOptions, reading: Reading) -> Parts:
    return labelled(paired_texts.read_pairs(path, options), options, reading, None)


@reader("CVAT", lambda path: (path / "annotations.xml").is_file())
def _cvat(path: Path, options: ReadingOptions, reading: Reading) -> Parts:
    return labelled(cvat.read_cvat(path / "annotations.xml", options), options, reading, options.root or path)


@reader("image folder with metadata", folder_metadata.has_metadata)
def _image_metadata(path: Path, options: ReadingOptions, reading: Reading) -> Parts:
    return labelled(folder_metadata.read_metadata(path, options), options, reading, options.root or path)


@reader("annotations", lambda path: table_folder.annotation_files(path) is not None)
def _annotations(path: Path, options: ReadingOptions, reading: Reading) -> Parts:
    found = table_folder.annotation_files(path) or {}
    return labelled(table_folder.read_tables(found, options), options, reading, options.root or path)


@reader("folder", Path.is_dir)
def _folder(path: Path, options: ReadingOptions, reading: Reading) -> Parts:
    if of_parts := table_folder.part_tables(path):
        home = options.root or min(of_parts, key=lambda one: len(one.parts)).parent
        return labelled(table_folder.read_tables(of_parts, options), options, reading, home)
    table = table_folder.only_table(path)
    if table is not None and table_folder.is_the_data(path, table, options):
        reading.source = str(table)  # a folder with one table, and perhaps the folder of its pictures
        return _table(table, options, reading)
    return folders.read_folder(path, options, reading)


def assemble(name: str, parts: Parts, reading: Reading) -> Data:
    """Train and test split; without a test part a fifth of each class is held out, always the same one.

    Raises:
        DataError: fewer than two classes, or too few samples.
    """
    train, test = parts.train, parts.test
    if len(train.classes) < 2:
        found = ", ".join(train.classes)
        raise DataError(f"{name}: at least two classes are needed, found only {found}")
    held = None
    if test is None:
        stay, held_out = stratified(train.given.numpy())
        if not len(held_out):
            raise DataError(f"{name}: {len(train)} samples are too few to hold out a fifth of each class for testing")
        train, test = train.take(stay), train.take(held_out)
        held = HeldOut(stay, held_out, test)
        reading.notes.append("no test part: training holds out a fifth of each class")
    if not len(train) or not len(test):
        raise DataError(f"{name}: the {'training' if not len(train) else 'test'} split is empty")
    empty = np.flatnonzero(np.bincount(train.given.numpy(), minlength=len(train.classes)) == 0)
    if len(empty):
        has = "has" if len(empty) == 1 else "have"
        reading.notes.append(f"{len(empty)} of {len(train.classes)} classes {has} no training sample")
    if test.clean is not None:  # what is measured is the truth where it is known
        test = replace(test, given=test.clean)
    announce(reading)
    also = {} if parts.validation is None else {"validation": parts.validation}
    read = (train, test, *also.values())
    return Data(
        name,
        train,
        test,
        fingerprint(*read, hashes=parts.hashes),
        (*reading.left_out(), *reading.notes),
        also,
        held,
        reading,
        annotations=parts.annotations,
    )
