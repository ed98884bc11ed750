"""A learning rate that fits loss and data, and a check that a fit learned at all. No clean label is looked at."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import RidgeClassifier

__all__ = ["RATES", "Reference", "UnderfitWarning", "choose_rate", "linear_reference"]

RATES = (0.05, 0.01, 0.002)  # the recipes' rate, and what steep losses on many features need
_FEWEST = 100  # samples below which a trial says nothing: the recipes' rate holds
_TRIAL = 2_000  # samples a trial trains on, and judges by

Rows = npt.NDArray[np.int64]


class UnderfitWarning(ConvergenceWarning):  # type: ignore[misc]
    """The network learned less from its training labels than a linear model predicts of labels it has not seen."""


class Reference(NamedTuple):
    """Share of held-out given labels that a linear model predicts, and its standard error; 0, 0 if N is small."""

    agreement: float
    error: float


def linear_reference(X: npt.NDArray[Any], codes: Rows, seed: int) -> Reference:
    """The agreement of a ridge classifier with held-out given labels.

    Args:
        X: (N, ...) features.
        codes: (N,) given labels.
        seed: of the split.
    """
    train, held_out = _split(codes, seed)
    if not len(held_out):
        return Reference(0.0, 0.0)
    rows = X.reshape(len(X), -1)
    mean, std = rows[train].mean(0), rows[train].std(0)
    std[std == 0] = 1
    linear = RidgeClassifier(alpha=float(rows.shape[1])).fit((rows[train] - mean) / std, codes[train])
    share = float((linear.predict((rows[held_out] - mean) / std) == codes[held_out]).mean())
    return Reference(share, _error(share, len(held_out)))


def choose_rate(codes: Rows, seed: int, reference: Reference, agreement: Callable[[float, Rows, Rows], float]) -> float:
    """The first rate whose trial predicts held-out given labels as well as a linear model, else the best one.

    Args:
        codes: (N,) given labels.
        seed: of the split.
        reference: what the linear model reaches.
        agreement: `agreement(rate, train, held_out)` trains on some rows; the share of the others predicted as given.
    """
    train, held_out = _split(codes, seed)
    if not len(held_out):
        return RATES[0]
    found: dict[float, float] = {}
    for rate in RATES:
        found[rate] = agreement(rate, train, held_out)
        if found[rate] >= reference.agreement:
            return rate
    best = max(found.values())
    return max(rate for rate, share in found.items() if share >= best - _error(best, len(held_out)))


def _error(share: float, count: int) -> float:
    return math.sqrt(max(share * (1 - share), 1 / count) / count)


def _split(codes: Rows, seed: int) -> tuple[Rows, Rows]:
    """Rows to train on and rows to judge by, both at most `_TRIAL`; no held-out rows where there are few."""
    order = np.random.default_rng(seed).permutation(len(codes))
    if len(codes) < _FEWEST:
        return order, order[:0]
    held_out, train = order[: min(len(codes) // 5, _TRIAL)], order[len(codes) // 5 :][:_TRIAL]
    return train, held_out if len(np.unique(codes[train])) > 1 else order[:0]
