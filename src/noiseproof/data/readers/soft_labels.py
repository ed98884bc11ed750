"""Labels as rows, (N, K): one-hot, or a probability a class; anything else is refused, not guessed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from noiseproof.data.dataset import is_frame, offenders
from noiseproof.errors import DataError

__all__ = ["is_one_hot", "label_rows", "row_names"]

_SLIP = 0.01  # of a sum, as of probabilities that were rounded or kept in half precision


def label_rows(values: Any, where: str) -> npt.NDArray[np.float64] | None:
    """Rows of labels as shares that add up to 1; None where there is one label a sample.

    Args:
        values: labels of any form.
        where: they come from, for messages.

    Raises:
        DataError: rows that are neither one-hot nor probabilities.

    Example:
        >>> label_rows([[0, 1], [1, 0]], "y").tolist(), label_rows([1, 0], "y")
        ([[0.0, 1.0], [1.0, 0.0]], None)
    """
    if hasattr(values, "toarray"):
        values = values.toarray()
    if is_frame(values):
        values = values.to_numpy()
    shape = getattr(values, "shape", None)
    if shape is None and isinstance(values, list | tuple) and values and np.ndim(values[0]) == 1:
        try:
            values = np.asarray(values)
        except ValueError:
            raise DataError(f"{where}: rows of labels must be equally long") from None
        shape = values.shape
    if shape is None or len(shape) != 2 or shape[1] == 1:
        return None
    rows = np.asarray(values)
    if rows.dtype.kind not in "biuf":
        raise DataError(
            f"{where}: must be one label a sample, got {rows.dtype} {rows.shape}; several annotators' answers belong "
            "in a table, a column each"
        )
    shares = rows.astype(np.float64)
    total = shares.sum(axis=1)
    bad = ~(np.isfinite(total) & (shares >= 0).all(axis=1) & (np.abs(total - 1) <= _SLIP))
    if bad.any():
        raise DataError(
            f"{where}: rows of labels must be one-hot or probabilities that add up to 1, got {rows.dtype} "
            f"{rows.shape}; {offenders(bad, rows.tolist())}; give one label a sample (N,), or a table with a "
            "column for each annotator"
        )
    found: npt.NDArray[np.float64] = shares / total[:, None]
    return found


def is_one_hot(rows: npt.NDArray[np.float64]) -> bool:
    """Test for rows with a single 1 and zeros."""
    return bool(((rows == 0) | (rows == 1)).all())


def row_names(values: Any, classes: Sequence[str], count: int, where: str) -> list[str]:
    """Names of the columns of label rows: those of a frame, of the classes, or numbers from 0.

    Raises:
        DataError: there are names for more or fewer columns.
    """
    if classes and len(classes) != count:
        raise DataError(f"{where}: has {count} columns, and there are {len(classes)} names of classes")
    if is_frame(values):
        return [str(name) for name in values.columns]
    return list(classes) or [str(number) for number in range(count)]
