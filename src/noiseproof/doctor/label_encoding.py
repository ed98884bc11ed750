"""Labels of any kind as class numbers and class names."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from noiseproof.errors import InputError
from noiseproof.labels import REGRESSION

__all__ = ["labels_of"]


def labels_of(labels: Any) -> tuple[npt.NDArray[np.int64], tuple[str, ...]]:
    """Class numbers (N,) and the K names, numbers in their order and others by the alphabet.

    Args:
        labels: numbers, strings or truth values as a list, a numpy array, a torch tensor or a pandas series.

    Raises:
        InputError: labels are missing (None, NaN), are no vector, or are measured numbers.

    Example:
        >>> labels_of(["dog", "cat", "dog"])[1], labels_of([2.0, 10.0])[1], labels_of([True, False])[1]
        (('cat', 'dog'), ('2', '10'), ('False', 'True'))
    """
    if isinstance(labels, torch.Tensor):
        labels = labels.detach().cpu()
        labels = (labels.float() if labels.dtype == torch.bfloat16 else labels).numpy()
    categories = getattr(getattr(labels, "cat", None), "categories", None)
    values = np.asarray(labels, dtype=object if categories is not None or _mixed(labels) else None)
    if values.ndim == 2 and 1 in values.shape:
        values = values.ravel()
    if values.ndim != 1:
        raise InputError(
            f"y must be labels (N,), got shape {values.shape} (one-hot? use y.argmax(1); "
            "several labels a sample? judge y[:, j] for each j)"
        )
    if values.dtype.kind in "iubSU" or (values.dtype.kind == "f" and np.isfinite(values).all()):
        values, places = np.unique(values, return_inverse=True)  # names are made once a class
    else:
        places = np.arange(len(values))
    listed = values.tolist()
    missing = [row for row, value in enumerate(listed) if _missing(value)]
    if missing:
        raise InputError(f"{len(missing)} labels are missing, the first in row {missing[0]}; leave these samples out")
    names = [_name(value) for value in listed]
    if values.dtype.kind == "f" and len(values) > max(20, len(places) // 10) and (values % 1 != 0).any():
        raise InputError(f"y holds {len(values):,} different numbers in {len(places):,} samples; {REGRESSION}")
    order = {_name(value): rank for rank, value in enumerate(categories)} if categories is not None else {}
    classes = sorted(
        dict(zip(names, listed, strict=True)).items(), key=lambda one: (order.get(one[0], 0), *_rank(one[1]))
    )
    number = {name: index for index, (name, _) in enumerate(classes)}
    return np.array([number[name] for name in names], dtype=np.int64)[places], tuple(number)


def _mixed(labels: Any) -> bool:
    """A list of several types, which numpy would turn into strings."""
    return isinstance(labels, list | tuple) and len({type(value) for value in labels}) > 1


def _missing(value: Any) -> bool:
    return (
        value is None
        or type(value).__name__ in ("NAType", "NaTType")
        or (isinstance(value, float) and math.isnan(value))
    )


def _name(value: Any) -> str:
    if isinstance(value, float | np.floating) and float(value).is_integer():
        return str(int(value))
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _rank(value: Any) -> tuple[int, float, str]:
    if isinstance(value, bool | int | float | np.number):
        return 0, float(value), ""
    return 1, 0.0, _name(value)
