"""Noise matrix and sharpness of out-of-fold scores, together by the likelihood of the given labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["NoiseModel", "fit_noise_model"]

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

_FACTORS = (0.3, 0.45, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 5.7, 8.0)
_ROUNDS = 20
_PRIOR = 1.0  # rows a class that vouch for the diagonal; keeps empty classes defined


@dataclass(frozen=True, eq=False)
class NoiseModel:
    """p = softmax(factor * scores) is the true class, and row z of the matrix says how z is labelled.

    Attributes:
        factor: of the scores.
        transition: (K, K), rows are the true class.
        posterior: probability of each true class given scores and label, (N, K).
        rate: expected share of wrong labels.
    """

    factor: float
    transition: Floats
    posterior: Floats
    rate: float


def fit_noise_model(scores: Floats, given: Labels) -> NoiseModel:
    """Maximum likelihood of the given labels over a grid of factors, the matrix by EM for each.

    Args:
        scores: out-of-fold logits, (N, K).
        given: labels, (N,).
    """
    best: tuple[float, float, Floats, Floats] | None = None
    for factor in _FACTORS:
        p = softmax(factor * scores)
        transition = _first(p.shape[1], given)
        for _ in range(_ROUNDS):
            joint = p * transition[:, given].T
            posterior = joint / joint.sum(1, keepdims=True).clip(1e-300)
            transition = _matrix(posterior, given)
        likelihood = float(np.log((p * transition[:, given].T).sum(1).clip(1e-300)).sum())
        if best is None or likelihood > best[0]:
            best = likelihood, factor, transition, posterior
    assert best is not None
    _, factor, transition, posterior = best
    rate = float(1 - posterior[np.arange(len(given)), given].mean())
    return NoiseModel(factor, transition, posterior, rate)


def softmax(scores: Floats) -> Floats:
    """Softmax over the last axis."""
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    found: Floats = powers / powers.sum(-1, keepdims=True)
    return found


def _first(classes: int, given: Labels) -> Floats:
    """Starting point of EM: four labels in five right."""
    found: Floats = np.full((classes, classes), 0.2 / max(1, classes - 1))
    np.fill_diagonal(found, 0.8 if classes > 1 else 1.0)
    return found


def _matrix(posterior: Floats, given: Labels) -> Floats:
    classes = posterior.shape[1]
    counts = np.zeros((classes, classes))
    for label in range(classes):
        counts[:, label] = posterior[given == label].sum(0)
    counts += _PRIOR * np.eye(classes)
    found: Floats = counts / counts.sum(1, keepdims=True)
    return found
