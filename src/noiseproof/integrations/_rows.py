"""Training samples of a classifier, and labels that come as rows of votes or probabilities."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.utils.multiclass import check_classification_targets

from noiseproof.data.readers.soft_labels import is_one_hot, label_rows, row_names
from noiseproof.errors import InputError
from noiseproof.labels import REGRESSION

__all__ = ["Rows", "refuse_gaps", "refuse_numbers", "soft_targets"]


@dataclass(frozen=True)
class Rows:
    """Training samples: features (N, ...), codes of their given labels (N,), weights (N,), soft targets (N, K)."""

    features: npt.NDArray[np.floating[Any]]
    codes: npt.NDArray[np.int64]
    weights: npt.NDArray[np.floating[Any]]
    soft: npt.NDArray[np.floating[Any]] | None = None

    def take(self, index: npt.NDArray[np.int64]) -> Rows:
        soft = None if self.soft is None else self.soft[index]
        return Rows(self.features[index], self.codes[index], self.weights[index], soft)


def refuse_gaps(y: Any) -> None:
    """Refuse labels of which some are missing; scikit-learn takes them for numbers of a regression.

    Raises:
        InputError: None, NaN or NA among labels that are no plain numbers.
    """
    labels = np.empty(0) if hasattr(y, "columns") else np.asarray(y)
    if labels.dtype.kind != "O" or labels.ndim != 1:
        return
    missing = np.flatnonzero(pd.isna(labels))
    if len(missing):
        raise InputError(f"y holds {len(missing)} missing labels, the first in row {missing[0]}; leave these rows out")


def refuse_numbers(labels: Any) -> None:
    """Refuse a target of measured numbers, in scikit-learn's words and with a remedy.

    Raises:
        InputError: the labels are no classes.
    """
    try:
        check_classification_targets(labels)
    except ValueError as error:
        raise InputError(f"{error} {REGRESSION}") from None


def soft_targets(y: Any) -> tuple[Any, npt.NDArray[np.float64] | None, npt.NDArray[Any] | None]:
    """Labels, soft targets and classes of `y`; the last two are None where it has one label a sample."""
    dimensions = np.ndim(y) if isinstance(y, list | tuple) else getattr(y, "ndim", 1)
    rows = label_rows(y, "y") if dimensions == 2 else None
    if rows is None:
        return y, None, None
    names = np.array(row_names(y, (), rows.shape[1], "y")) if hasattr(y, "columns") else np.arange(rows.shape[1])
    order = np.argsort(names)
    return names[rows.argmax(1)], None if is_one_hot(rows) else rows[:, order], names
