"""Checks of the numbers that a `NoisyLabelClassifier` is given."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from noiseproof.errors import InputError, in_range
from noiseproof.integrations._optimizer import optimizer_of

__all__ = ["check_numbers"]


def check_numbers(classifier: Any) -> None:
    """Check counts, widths, rates and the optimiser of a classifier.

    Raises:
        InputError: one of them is out of range.
    """
    for name in ("epochs", "batch_size", "patience"):
        _whole(name, getattr(classifier, name))
    hidden, lr = classifier.hidden, classifier.lr
    if not isinstance(hidden, Sequence) or isinstance(hidden, str):
        raise InputError(f"hidden must be widths such as (128,) or (256, 256), got hidden={hidden!r}")
    for width in hidden:
        _whole("a width of hidden", width)
    if isinstance(lr, str) and lr != "auto":
        raise InputError(f"lr must be 'auto' or a number above 0, got lr={lr!r}")
    if lr != "auto":
        in_range("lr", lr, 0, above=True)
    in_range("momentum", classifier.momentum, 0, 1, below=True)
    in_range("weight_decay", classifier.weight_decay, 0)
    in_range("validation_fraction", classifier.validation_fraction, 0, 1, below=True)
    optimizer_of(classifier.optimizer)


def _whole(name: str, value: Any) -> None:
    if not isinstance(value, Integral) or value < 1:
        raise InputError(f"{name} must be a whole number from 1 on, got {name}={value!r}")
