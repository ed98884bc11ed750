"""Posterior of the true label from a judge's probabilities, a transition matrix and the given labels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from noiseproof.doctor.calibration import raised
from noiseproof.doctor.probabilities import LEAST, Labels, Probabilities, blocks, sample_rows, shares

__all__ = ["posterior", "posterior_blocks", "refined_transition"]

Matrix = npt.NDArray[np.float64]
_PRIOR = 20  # samples a class that the first estimate of the matrix is worth


def posterior_blocks(
    p: npt.NDArray[Any], given: Labels, transition: Matrix, exponent: float = 1.0
) -> Iterator[tuple[slice, Probabilities]]:
    """Rows proportional to Q_ij ~ q_ij T[j, g_i], q ~ p to the power `exponent`; they do not add up to 1."""
    reached = np.ascontiguousarray(transition.T, dtype=np.float32)
    for rows, part in blocks(p):
        if exponent != 1:
            q = torch.from_numpy(part).clamp_(min=LEAST).log_()
            q.sub_(q.amax(1, keepdim=True)).mul_(exponent).exp_()
        weights = reached.take(given[rows], 0)
        weights *= part
        yield rows, weights


def posterior(p: npt.NDArray[Any], given: Labels, transition: Matrix, exponent: float = 1.0) -> Probabilities:
    """Q of `posterior_blocks` as one matrix (N, K) whose rows add up to 1."""
    found = np.empty(p.shape, np.float32)
    for rows, weights in posterior_blocks(p, given, transition, exponent):
        np.divide(weights, np.maximum(weights.sum(1, keepdims=True), 1e-30), out=found[rows])
    return found


def refined_transition(
    p: npt.NDArray[Any], given: Labels, start: Matrix, exponent: float = 1.0, rounds: int = 30
) -> Matrix:
    """The transition matrix by expectation maximisation, p fixed; `start` is a prior worth 20 samples a class.

    Args:
        p: probabilities of the true label, (N, K); of many rows a part is looked at.
        given: labels (N,).
        start: (K, K), a first estimate.
        exponent: power of p that stands for the true label.
        rounds: at most.
    """
    few = sample_rows(*p.shape)
    classes = p.shape[1]
    if len(few) < _PRIOR * classes:
        return start  # the prior would decide
    p, labels = raised(np.log(np.maximum(np.asarray(p[few], np.float32), LEAST)), exponent), given[few]
    order = np.argsort(labels, kind="stable")
    p, labels = p[order], labels[order]
    present, firsts = np.unique(labels, return_index=True)
    transition = start
    for _ in range(rounds):
        counts = np.zeros((classes, classes))
        q = posterior(p, labels, transition)
        counts[present] = np.add.reduceat(q, firsts, axis=0, dtype=np.float64)
        found = shares(counts.T + _PRIOR * start)
        done = np.abs(found - transition).max() < 1e-4
        transition = found
        if done:
            break
    return transition
