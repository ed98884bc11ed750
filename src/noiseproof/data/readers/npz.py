"""Arrays in an .npz file: inputs and labels of the parts, as Keras and scikit-learn users save them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from noiseproof.data.io.numpy_files import npz
from noiseproof.data.readers.arrays import arrays
from noiseproof.data.readers.base import Parts, ReadingOptions
from noiseproof.data.readers.samples import parts
from noiseproof.data.reading import Reading
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
_CLEAN = {"train": ("clean", "clean_train"), "validation": ("clean_val",), "test": ("clean_test",)}


def read_npz(path: Path, options: ReadingOptions, reading: Reading) -> Parts:
    """Read the arrays; those that are not needed are named, and never unpickled."""
    reading.form = "arrays"
    wanted = {name for names in (_INPUTS, _LABELS, _CLEAN) for each in names.values() for name in each} | {"classes"}
    said = {name.casefold() for name in options.columns()}
    held = npz(path, lambda name: name.casefold() in wanted | said)
    if len(held) == 2 and not {name.casefold() for name in held} & (wanted | said):
        held = _pair(npz(path), reading)
    inputs, labels, cleans, names = [], [], [], []
    used: set[str] = set()
    for part in ("train", "validation", "test"):
        x, y = _key(held, _INPUTS[part], None), _key(held, _LABELS[part], options.label if part == "train" else None)
        if x is None and y is None:
            continue
        if x is None or y is None:
            raise DataError(f"{path}: {x or y} needs its {'labels' if x else 'inputs'} beside it")
        clean = _key(held, _CLEAN[part], None)
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
    return _key(held, _INPUTS["train"], None), _key(held, _LABELS["train"], label)


def _key(held: Iterable[str], names: tuple[str, ...], said: str | None) -> str | None:
    lower = {name.casefold(): name for name in held}
    if said is not None and said.casefold() in lower:
        return lower[said.casefold()]
    return next((lower[name] for name in names if name in lower), None)


def _classes(held: Arrays, path: Path) -> tuple[str, ...]:
    names = held.get("classes")
    if names is None:
        return ()
    if names.ndim != 1 or names.dtype.kind != "U" or len(set(names.tolist())) < len(names):
        raise DataError(f"{path}: classes must be one different text a class, got {names.dtype} {names.shape}")
    return tuple(str(name) for name in names)
