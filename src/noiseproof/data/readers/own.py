"""The user's own data: a folder of class folders, a CSV file, a list of images, an .npz file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from noiseproof.data.dataset import Data, HeldOut, Split, fingerprint, offenders, stratified
from noiseproof.data.io.archives import MIB, read_text
from noiseproof.data.io.label_files import Labels, checked
from noiseproof.data.io.numpy_files import npz
from noiseproof.data.readers.csv_table import read_table
from noiseproof.data.readers.image_files import class_numbers, entries, inside, listed, pictures
from noiseproof.errors import DataError

__all__ = ["assemble", "load_own"]

_TEST_FOLDERS = ("test", "val", "valid", "validation")

# accepted names of the arrays in an .npz file
_INPUTS = {"train": ("x", "x_train", "train_images", "inputs", "features", "images"), "test": ("x_test", "test_images")}
_LABELS = {"train": ("y", "y_train", "train_labels", "labels", "given"), "test": ("y_test", "test_labels")}


def load_own(path: Path, *, root: Path | None = None) -> Data:
    """Read a folder, a .csv, a .txt list or an .npz; `root` is what image paths in it are relative to."""
    if path.is_dir():
        return _folder(path)
    kind = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if kind == "csv":
        return _csv(path, root or path.parent)
    if kind == "npz":
        return _npz(path)
    if kind == "txt":
        return _list(path, root or path.parent)
    raise DataError(f"{path}: own data is a folder of class folders, a .csv, a .txt list or an .npz file")


def assemble(name: str, whole: Split, test: Split | None, notes: list[str]) -> Data:
    """Train and test split; without a test split a fifth of each class is held out, always the same one."""
    if len(whole.classes) < 2:
        raise DataError(f"{name}: at least two classes are needed, found {', '.join(whole.classes)}")
    source = None
    if test is None:
        stay, held_out = stratified(whole.given.numpy())
        if not len(held_out):
            raise DataError(f"{name}: {len(whole)} samples are too few to hold out a fifth of each class for testing")
        train, test = whole.take(stay), whole.take(held_out)
        source = HeldOut(stay, held_out, test)
        notes.append("test split: a fifth of each class, held out")
    else:
        train = whole
    if not len(train) or not len(test):
        raise DataError(f"{name}: the {'training' if not len(train) else 'test'} split is empty")
    empty = np.flatnonzero(np.bincount(train.given.numpy(), minlength=len(train.classes)) == 0)
    if len(empty):
        notes.append(f"{len(empty)} of {len(train.classes)} classes have no training sample")
    if test.clean is not None:  # what is measured is the truth where it is known
        test = replace(test, given=test.clean)
    return Data(name, train, test, fingerprint(train, test), tuple(notes), held_out=source)


# A folder


def _folder(path: Path) -> Data:
    notes: list[str] = []
    if (path / "train").is_dir():
        test_folder = next((path / name for name in _TEST_FOLDERS if (path / name).is_dir()), None)
        names = _class_folders(path / "train", path)
        whole = _class_split(path / "train", names, path, notes)
        if test_folder is None:
            return assemble(str(path), whole, None, notes)
        if odd := sorted(set(_class_folders(test_folder, path)) - set(names)):
            raise DataError(
                f"{test_folder}: {', '.join(odd[:5])} is no class of {path / 'train'}; remove it, or train on it too"
            )
        names_there = tuple(name for name in names if (test_folder / name).is_dir())
        return assemble(str(path), whole, _class_split(test_folder, names_there, path, notes, names), notes)
    return assemble(str(path), _class_split(path, _class_folders(path, path), path, notes), None, notes)


def _class_folders(folder: Path, root: Path) -> tuple[str, ...]:
    found = (entry for entry in entries(folder, root, folders=True) if entry.is_dir())
    names = sorted(entry.name for entry in found if not entry.name.startswith("."))
    if not names:
        raise DataError(f"{folder}: must hold one folder of images a class, found none")
    for name in names:
        if not name.isprintable():  # control characters, and what is not UTF-8
            raise DataError(f"{folder}: the folder name {name!r} cannot be the name of a class")
    return tuple(names)


def _class_split(
    folder: Path, names: tuple[str, ...], root: Path, notes: list[str], classes: tuple[str, ...] = ()
) -> Split:
    classes = classes or names
    paths: list[Path] = []
    labels: list[int] = []
    others = 0
    for name in names:
        found, odd = listed(folder / name, root)
        if not found:
            raise DataError(f"{folder / name}: this class folder holds no images; remove it, or add some")
        paths, others = paths + found, others + odd
        labels += [classes.index(name)] * len(found)
    if others:
        notes.append(f"{others} files in {folder} are no images and were left out")
    return Split(tuple(paths), torch.tensor(labels, device="cpu"), None, classes)


# A CSV file


def _csv(path: Path, root: Path) -> Data:
    table = read_table(path, root)
    columns = [table.given] if table.clean is None else [table.given, table.clean]
    numbers, classes = class_numbers(columns, str(path))
    labels = [torch.from_numpy(column) for column in numbers]
    whole = Split(table.inputs, labels[0], labels[1] if len(labels) > 1 else None, tuple(classes))
    if table.split is None:
        return assemble(str(path), whole, None, [])
    is_test = np.array([text == "test" for text in table.split])
    train, test = (whole.take(np.flatnonzero(part)) for part in (~is_test, is_test))
    return assemble(str(path), train, test if is_test.any() else None, [])


# A list


def _list(path: Path, root: Path) -> Data:
    """Lines of `PATH LABEL`."""
    names, labels = pictures(read_text(path, 512 * MIB), str(path))
    (numbers,), classes = class_numbers([list(map(str, labels))], str(path))
    whole = Split(inside(root, names, str(path)), torch.from_numpy(numbers), None, tuple(classes))
    return assemble(str(path), whole, None, [])


# An .npz file


def _npz(path: Path) -> Data:
    held = npz(path)
    classes = _class_names(held, path)
    train = _npz_split(held, "train", classes, path)
    if train is None:
        raise DataError(f"{path}: must hold arrays x and y; it has {', '.join(sorted(held)[:8]) or 'nothing'}")
    test = _npz_split(held, "test", train.classes, path)
    return assemble(str(path), train, test, [])


def _class_names(held: dict[str, npt.NDArray[np.generic]], path: Path) -> tuple[str, ...]:
    names = held.get("classes")
    if names is None:
        return ()
    if names.ndim != 1 or names.dtype.kind != "U" or len(set(names.tolist())) < len(names):
        raise DataError(f"{path}: classes must be one different text a class, got {names.dtype} {names.shape}")
    return tuple(str(name) for name in names)


def _npz_split(
    held: dict[str, npt.NDArray[np.generic]], part: str, classes: tuple[str, ...], path: Path
) -> Split | None:
    x, y = (next((key for key in names[part] if key in held), None) for names in (_INPUTS, _LABELS))
    if x is None or y is None:
        if x or y:
            raise DataError(f"{path}: {x or y} needs its {'labels' if x else 'inputs'} beside it")
        return None
    inputs = _inputs(held[x], f"{path}: {x}")
    given = _npz_labels(held[y], len(classes), f"{path}: {y}", len(inputs))
    clean_key = "clean" if part == "train" else "clean_test"
    clean = held.get(clean_key)
    truth = None if clean is None else _npz_labels(clean, len(classes), f"{path}: {clean_key}", len(inputs))
    if not classes:
        top = max(int(labels.max(initial=0)) for labels in (given, given if truth is None else truth))
        if top >= max(1000, 2 * len(given)):
            raise DataError(f"{path}: labels go up to {top:,} for {len(given):,} samples; number the classes from 0")
        classes = tuple(str(number) for number in range(top + 1))
    return Split(inputs, torch.from_numpy(given), None if truth is None else torch.from_numpy(truth), classes)


def _npz_labels(found: npt.NDArray[np.generic], classes: int, where: str, count: int) -> Labels:
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]  # how Keras stores them
    return checked(found, classes or float("inf"), where, count=count)


def _inputs(found: npt.NDArray[np.generic], where: str) -> Tensor:
    if found.dtype == np.uint8 and found.ndim == 3:
        return torch.from_numpy(np.array(found))[:, None]
    if found.dtype == np.uint8 and found.ndim == 4 and found.shape[1] in (1, 3):
        return torch.from_numpy(np.array(found))
    if found.dtype == np.uint8 and found.ndim == 4 and found.shape[3] in (1, 3):
        return torch.from_numpy(np.array(found)).permute(0, 3, 1, 2).contiguous()
    if found.ndim != 2 or found.dtype.kind not in "biuf":
        raise DataError(
            f"{where}: must be features (N, D) or uint8 images (N, H, W), (N, C, H, W) or (N, H, W, C), "
            f"got {found.dtype} {found.shape}"
        )
    with np.errstate(over="ignore"):
        features = found.astype(np.float32)
    bad = np.asarray(~np.isfinite(features).all(axis=1))
    if bad.any():
        raise DataError(f"{where}: numbers must be finite in float32; {offenders(bad, found.tolist())}")
    return torch.from_numpy(features)
