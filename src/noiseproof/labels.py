"""Label vectors: checked once at the door, then plain arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from noiseproof.errors import InputError

__all__ = ["CIFAR_N", "REGRESSION", "Labels", "class_labels", "fingerprint"]

Labels = npt.NDArray[np.int64]  # (N,), classes 0 .. K-1

#: CIFAR-N: for each data set, the short name of each set of people's labels and its key in the published file.
CIFAR_N: Mapping[str, Mapping[str, str]] = {
    "cifar10": {
        "aggre": "aggre_label",
        "rand1": "random_label1",
        "rand2": "random_label2",
        "rand3": "random_label3",
        "worst": "worse_label",
    },
    "cifar100": {"noisy": "noisy_label"},
}

#: Remedy in the refusal of labels that are measured numbers.
REGRESSION = (
    "noiseproof does no regression; to find gross errors cut the numbers into classes: pandas.qcut(y, 4, labels=False)"
)


def class_labels(labels: Any, num_classes: int) -> Labels:
    """A copy of the labels as an int64 vector.

    Args:
        labels: class indices as a list, a numpy array or a torch tensor of any integer type.
        num_classes: the labels lie in 0 .. num_classes-1.

    Raises:
        InputError: they do not, or are no integers, or no vector; the first rows at fault are named.

    Example:
        >>> class_labels([0, 2, 1], 3)
        array([0, 2, 1])
        >>> class_labels([0, 3, -1], 3)
        Traceback (most recent call last):
        noiseproof.errors.InputError: labels must lie in 0..2, got 3 in row 1, -1 in row 2
    """
    if isinstance(num_classes, bool) or not isinstance(num_classes, int | np.integer) or num_classes < 2:
        raise InputError(f"num_classes must be a whole number from 2, got {num_classes!r}")
    try:
        found = labels.detach().cpu().numpy() if isinstance(labels, torch.Tensor) else np.asarray(labels)
    except (ValueError, TypeError) as error:
        raise InputError(f"labels must be a vector of class indices; numpy cannot read them ({error})") from None
    if found.ndim != 1:
        hint = {2: " (one-hot? use labels.argmax(1))", 0: ""}.get(found.ndim, "")
        hint = " (use labels.ravel())" if found.ndim == 2 and 1 in found.shape else hint
        raise InputError(f"labels must be a vector (N,), got shape {found.shape}{hint}")
    if found.size == 0:
        raise InputError("labels must hold at least one label, got none")
    if not np.issubdtype(found.dtype, np.integer):
        raise InputError(f"labels must be integers in 0..{num_classes - 1}, got {found.dtype}{_offenders(found)}")
    wrong = np.flatnonzero((found < 0) | (found >= num_classes))
    if len(wrong):
        raise InputError(f"labels must lie in 0..{num_classes - 1}, got {_rows(found, wrong)}")
    return found.astype(np.int64)


def _offenders(found: npt.NDArray[Any]) -> str:
    """The rows that keep labels of another type from being integers, or how to convert them if none does."""
    if found.dtype.kind == "f":
        wrong = np.flatnonzero(found != np.floor(found))  # NaN differs from itself
        return f": {_rows(found, wrong)}" if len(wrong) else "; convert whole numbers with labels.astype(int)"
    if found.dtype.kind == "b":
        return "; convert with labels.astype(int)"
    return f": {_rows(found, np.arange(len(found)))}; give class indices, not names"


def _rows(found: npt.NDArray[Any], wrong: npt.NDArray[np.intp]) -> str:
    first = wrong[:3]
    shown = ", ".join(f"{value!r} in row {row}" for value, row in zip(found[first].tolist(), first, strict=True))
    return shown + (f" and {len(wrong) - 3} more" if len(wrong) > 3 else "")


def fingerprint(labels: Labels, num_classes: int) -> str:
    """SHA-256 of a label vector as bytes: uint8, or little-endian int32 above 256 classes."""
    return hashlib.sha256(labels.astype("u1" if num_classes <= 256 else "<i4").tobytes()).hexdigest()
