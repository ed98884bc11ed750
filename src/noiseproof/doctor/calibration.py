"""Calibration of class probabilities: the exponent (inverse temperature) that fits the given labels best."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from noiseproof.doctor.probabilities import (
    LEAST,
    Labels,
    Probabilities,
    blocks,
    clipped,
    given_column,
    sample_rows,
)

__all__ = ["best_exponent", "raised", "tempered"]


def raised(log_p: npt.NDArray[np.floating[Any]], exponent: float) -> Probabilities:
    """Probabilities proportional to p to the power `exponent`, from log p.

    Example:
        >>> print(raised(np.log([[0.2, 0.8]]), 2).round(3))             # 0.04 and 0.64, over their sum
        [[0.059 0.941]]
    """
    scores = np.float32(exponent) * log_p
    scores -= scores.max(1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(1, keepdims=True)
    return np.asarray(scores, dtype=np.float32)


def best_exponent(p: Probabilities, given: Labels, transition: npt.NDArray[np.floating[Any]] | None = None) -> float:
    """The exponent b, from 1/20 to 20, that maximises the likelihood of the given labels.

    Without a transition matrix the likelihood of a row is q_g, q proportional to p^b (temperature scaling); with one it
    is sum_j q_j T[j, g].
    """
    few = sample_rows(len(given), p.shape[1])
    labels = given[few]
    log_p = np.log(np.maximum(np.asarray(p[few], dtype=np.float32), LEAST))
    reached = None if transition is None else np.ascontiguousarray(transition.T[labels], dtype=np.float32)

    def loss(log_exponent: float) -> float:
        q = raised(log_p, float(np.exp(log_exponent)))
        likelihood = given_column(q, labels) if reached is None else np.einsum("nk,nk->n", q, reached)
        return -float(np.log(np.maximum(likelihood, 1e-30), dtype=np.float64).mean())

    edge = np.log(20.0)
    return float(np.exp(minimize_scalar(loss, bounds=(-edge, edge), method="bounded", options={"xatol": 0.01}).x))


def tempered(p: Probabilities, given: Labels) -> Probabilities:
    """`p` to the power that maximises the likelihood of the given labels."""
    exponent = best_exponent(p, given)
    found = np.empty_like(p)
    for rows, part in blocks(p):
        found[rows] = clipped(raised(np.log(part), exponent))
    return found
