"""Arrays in an .npz file: inputs and labels of the parts, as Keras and scikit-learn users save them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from noiseproof.data.io.numpy_files import npz
from noiseproof.data.readers.arrays import arrays
from noiseproof.data.readers.base import Parts, ReadingOptions
from noiseproof.data.readers.part_names import part_of
from noiseproof.data.readers.samples import parts
from noiseproof.data.reading_account import Reading
from noiseproof.errors import DataError

__all__ = ["read_npz", "training_arrays"]

Arrays = dict[str, npt.NDArray[Any]]

# accepted names of the arrays
_INPUTS = {
    "train": ("x", "x_train", "train_images", "inputs", "features", "images", "data", "embeddings", "train_x"),
    "validation": ("x_val", "x_valid", "x_validation", "val_images", "x_dev", "val_x", "valid_x"),
    "test": ("x_test", "test_images", "test_x"),
}
_LABELS = {
    "train": ("y", "y_train", "train_labels", "labels", "given", "label", "targets", "target", "train_y"),
    "validation": ("y_val", "y_valid", "y_validation", "val_labels", "y_dev", "val_y", "valid_y"),
    "test": ("y_test", "test_labels", "test_y"),
}
_WORDS = {
    "x": "x input inputs feature features feats image images imgs data embedding embeddings emb vectors",
    "y": "y label labels lbls target targets given gt",
}
_KINDS = {word: kind for kind, words in _WORDS.items() for word in words.split()}
_JOINED = re.compile(r"(?P<kind>[xy])(?P<part>train|val|valid|test)|(?P<before>train|val|valid|test)(?P<after>[xy])")
_CLEAN = {"train": ("clean", "clean_train"), "validation": ("clean_val",), "test": ("clean_test",)}


def read_npz(path: Path, options: ReadingOptions, reading: Reading) -> Parts:
    """Read the arrays; those that are not needed are named, and never unpickled."""
    reading.form = "arrays"
    wanted = {name for names in _CLEAN.values() for name in names} | {"classes"}
    wanted |= {name.casefold() for name in options.columns()}
    held = npz(path, lambda name: name.casefold() in wanted or _meaning(name) is not None)
    if len(held) == 2 and not any(name.casefold() in wanted or _meaning(name) for name in held):
        held = _pair(npz(path), reading)
    inputs, labels, cleans, names = [], [], [], []
    used: set[str] = set()
    for part in ("train", "validation", "test"):
        x, y = _key(held, ("x", part), None), _key(held, ("y", part), options.label if part == "train" else None)
        if x is None and y is None:
            continue
        if x is None or y is None:
            raise DataError(f"{path}: {x or y} needs its {'labels' if x else 'inputs'} beside it")
        clean = next((name for name in held if name.casefold() in _CLEAN[part]), None)
        inputs.append((f"{path}: {x}", held[x]))
        labels.append((f"{path}: {y}", held[y]))
        cleans.append(None if clean is None else (f"{path}: {clean}", held[clean]))
        if held[y].ndim == 0:
            raise DataError(f"{path}: {y} must be one label a sample, got a single value")
        names += [part] * len(held[y])
        used |= {x, y, *([] if clean is None else [clean])}
    if "train" not in names:
        raise DataError(f"{path}: must hold arrays x and y; it has {', '.join(sorted(held)[:8]) or 'nothing'}")
    reading.ignored |= {name: "not needed" for name in held if name not in used and name != "classes"}
    whole, found = arrays(inputs, labels, cleans, _classes(held, path), str(path), reading, options)
    return replace(parts(whole, None if set(names) == {"train"} else names, reading), annotations=found)


def _pair(held: Arrays, reading: Reading) -> Arrays:
    """Two arrays of other names as `x` and `y`, where only one of them can be the labels."""
    (first, second), rows = held, {name: len(array) if array.ndim else 0 for name, array in held.items()}
    if rows[first] != rows[second] or sum(array.ndim == 1 for array in held.values()) != 1:
        return held
    x, y = (first, second) if held[second].ndim == 1 else (second, first)
    if held[y].dtype.kind not in "iuUb" or len(np.unique(held[y])) * 2 > max(rows[y], 4):
        return held
    reading.notes.append(f"inputs are the array {x!r}, labels the array {y!r}")
    return {"x": held[x], "y": held[y]}


def training_arrays(names: Iterable[str], label: str | None = None) -> tuple[str | None, str | None]:
    """Names of the arrays that hold inputs and labels of the training part; None where there is none."""
    held = list(names)
    return _key(held, ("x", "train"), None), _key(held, ("y", "train"), label)


def _meaning(name: str) -> tuple[str, str] | None:
    """Meaning of an array's name: inputs (`x`) or labels (`y`), and of which part; None if it says neither.

    Example:
        >>> _meaning("X_train"), _meaning("test_labels"), _meaning("features"), _meaning("paths")
        (('x', 'train'), ('y', 'test'), ('x', 'train'), None)
    """
    if joined := _JOINED.fullmatch(name.casefold()):
        return joined["kind"] or joined["after"], part_of(joined["part"] or joined["before"])
    words = [word for word in re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).casefold()) if word]
    kinds = [_KINDS[word] for word in words if word in _KINDS]
    parts = [part_of(word) for word in words if word not in _KINDS]
    return (kinds[0], parts[0] if parts else "train") if len(kinds) == 1 and len(parts) < 2 and all(parts) else None


def _key(held: Iterable[str], wanted: tuple[str, str], said: str | None) -> str | None:
    """The array of a meaning: the one that is said, the usual name, or the only other name that says so."""
    lower = {name.casefold(): name for name in held}
    if said is not None and said.casefold() in lower:
        return lower[said.casefold()]
    usual = (_INPUTS if wanted[0] == "x" else _LABELS)[wanted[1]]
    if found := next((lower[name] for name in usual if name in lower), None):
        return found
    others = [name for name in held if _meaning(name) == wanted]
    if len(others) > 1:
        raise DataError(f"the arrays {' and '.join(others)} may each be meant; keep one, or rename it {usual[0]!r}")
    return others[0] if others else None


def _classes(held: Arrays, path: Path) -> tuple[str, ...]:
    names = held.get("classes")
    if names is None:
        return ()
    if names.ndim != 1 or names.dtype.kind != "U" or len(set(names.tolist())) < len(names):
        raise DataError(f"{path}: classes must be one different text a class, got {names.dtype} {names.shape}")
    return tuple(str(name) for name in names)
