"""Label vectors: checked wherever they come from, and the published ones by name."""

from __future__ import annotations

import json
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from noiseproof.data.dataset import offenders
from noiseproof.data.io import safe_pickle
from noiseproof.data.io.archives import MIB, read_bytes, read_text, zip_members
from noiseproof.data.io.numpy_files import npy_parts, npz
from noiseproof.errors import DataError

__all__ = ["Labels", "checked", "vectors"]

Labels = npt.NDArray[np.int64]


def checked(found: object, classes: float, where: str, *, count: int | None = None) -> Labels:
    """Class indices as int64, or what is wrong with them.

    Args:
        found: a list of integers, an integer array, or an array noted by `safe_pickle.read`.
        classes: they lie in 0 .. classes-1; `math.inf`: only negative ones are refused.
        where: what they came from, for messages.
        count: how many there must be.

    Raises:
        DataError: they are not integers in one row, outside the range, or not so many; the first five are shown.
    """
    if isinstance(found, safe_pickle.Made):  # as CIFAR-N stores them
        found = safe_pickle.array(found, where)
    if isinstance(found, list):
        if not (set(map(type, found)) <= {int} and min(found, default=0) >= 0 and max(found, default=0) < 2**31):
            bad = np.fromiter((type(x) is not int or not 0 <= x < min(classes, 2**31) for x in found), bool, len(found))
            _refuse(bad, found, classes, where)
        found = np.array(found, dtype=np.int64)
    if not isinstance(found, np.ndarray):
        raise DataError(f"{where}: must be a list of integers or an integer array, found a {type(found).__name__}")
    if found.ndim == 2 and found.shape[1] > 1:
        raise DataError(f"{where}: must be one label a sample, got shape {found.shape} (one-hot? save y.argmax(1))")
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise DataError(f"{where}: must be integers of shape (N,), got {found.dtype} {found.shape}")
    _refuse((found < 0) | (found >= min(classes, 2**31)), found, classes, where)
    if count is not None and len(found) != count:
        raise DataError(f"{where}: {count:,} labels are expected, the file has {len(found):,}")
    return found.astype(np.int64)


def vectors(path: Path) -> dict[str, Any]:
    """Lists and arrays by key, out of a `.pt`, `.npy`, `.npz` or `.json` (`.gz`) file; a lone list has the key "".

    Raises:
        DataError: the file is damaged or holds something else.
    """
    kind = path.name.removesuffix(".gz").rpartition(".")[2]
    found: object
    if kind == "npz":
        return npz(path)
    if kind == "json":
        text = read_text(path, 16 * MIB)
        try:
            found = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: not JSON ({error})") from None
    elif kind == "pt":
        members = zip_members(path, 64 * MIB)
        pickles = [name for name in members if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise DataError(f"{path}: must hold one data.pkl, found {len(pickles)}")
        found = safe_pickle.read(members[pickles[0]], str(path))
    elif kind == "npy":
        descr, _, shape, content = npy_parts(read_bytes(path, 64 * MIB), str(path))
        found = _boxed(safe_pickle.read(content, str(path)), path) if descr == "|O" and shape == () else None
    else:
        raise DataError(f"{path}: labels are read from .pt, .npy, .npz or .json files")
    if isinstance(found, dict):
        return {str(key): value for key, value in found.items()}
    if isinstance(found, list):
        return {"": found}
    raise DataError(f"{path}: must hold a list of labels or a dict of them, found a {type(found).__name__}")


def _boxed(thing: object, path: Path) -> object:
    """The dict that `numpy.save(file, dict)` put into an array of no dimensions."""
    state = thing.state if isinstance(thing, safe_pickle.Made) else None
    if isinstance(state, tuple) and isinstance(state[-1], list) and len(state[-1]) == 1:
        return state[-1][0]
    raise DataError(f"{path}: must hold a dict of labels")


def _refuse(bad: npt.NDArray[np.bool_], values: Any, classes: float, where: str) -> None:
    if bad.any():
        wanted = "0 or more" if classes == inf else f"in 0..{classes - 1:.0f}"
        raise DataError(f"{where}: labels must be integers {wanted}; {offenders(bad, values)}")
