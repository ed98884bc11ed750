"""Transition matrices: checked once at the door, then plain arrays; and the matrix of given and clean labels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from noiseproof.errors import InputError
from noiseproof.labels import Labels

__all__ = ["Matrix", "realised_transition", "transition_matrix"]

Matrix = npt.NDArray[np.float64]  # (K, K), rows are the clean class

_ROW_SUM = 1e-4  # people write shares with four digits


def transition_matrix(values: object, *, normalise: bool = True) -> Matrix:
    """A transition matrix as float64, T[i, j] = P(given j | clean i).

    Args:
        values: (K, K) numbers as nested lists, a numpy array or a torch tensor.
        normalise: divide each row by its sum; otherwise the numbers come back as they are.

    Raises:
        InputError: not square, not finite, negative, or a row whose sum differs from 1 by more than 1e-4.

    Example:
        >>> transition_matrix([[0.9, 0.1], [0.2, 0.9]])
        Traceback (most recent call last):
        noiseproof.errors.InputError: every row of a transition matrix must sum to 1, row 1 sums to 1.1
    """
    raw = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else values
    try:
        matrix = np.asarray(raw, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"a transition matrix must be numbers, got {type(values).__name__}") from None
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or len(matrix) < 2:
        raise InputError(
            f"a transition matrix must be (K, K), K >= 2, one row and column a class; got shape {matrix.shape}"
        )
    wrong = np.flatnonzero(~(np.isfinite(matrix) & (matrix >= 0)).all(1))
    if len(wrong):
        raise InputError(
            "a transition matrix holds probabilities, finite and not negative; "
            f"row {wrong[0]} has {matrix[wrong[0]].tolist()}"
        )
    sums = matrix.sum(1)
    wrong = np.flatnonzero(abs(sums - 1) > _ROW_SUM)
    if len(wrong):
        turned = (
            " (its columns do: transpose it; cleanlab's matrices are transposed)"
            if np.allclose(matrix.sum(0), 1, atol=_ROW_SUM)
            else ""
        )
        raise InputError(
            f"every row of a transition matrix must sum to 1, row {wrong[0]} sums to {sums[wrong[0]]:.9g}{turned}"
        )
    return matrix / sums[:, None] if normalise else matrix


def realised_transition(clean: Labels, given: Labels, num_classes: int) -> Matrix:
    """Realised shares, T[i, j] = share of class i that is called j; a class without samples keeps its label.

    Example:
        >>> realised_transition(np.array([0, 0, 1]), np.array([0, 1, 1]), 3).tolist()
        [[0.5, 0.5, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]
    """
    pairs = np.bincount(clean * num_classes + given, minlength=num_classes**2).reshape(num_classes, num_classes)
    per_class = pairs.sum(1)
    shares: Matrix = (pairs + np.diag(per_class == 0)) / np.maximum(per_class, 1)[:, None]
    return shares
