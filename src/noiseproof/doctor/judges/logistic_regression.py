"""Multinomial logistic regression on hard or soft targets, judged by cross-validation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from noiseproof.doctor.calibration import raised
from noiseproof.doctor.judges.base import Targets, Task, Vectors
from noiseproof.doctor.probabilities import Probabilities, clipped, given_column

__all__ = ["LogisticRegression", "fit_logistic"]

Weights = npt.NDArray[np.float32]  # (D + 1, K), the last row is the intercept

_WIDE = 400  # columns from which on the weaker penalties are never best
_CHOOSE_ON_ALL = 1e7  # N * D * K up to which the penalty is chosen on all folds


class LogisticRegression:
    """L2-penalised logistic regression; the penalty with the best held-out likelihood of the given labels."""

    name = "logistic regression"

    def __init__(self) -> None:
        self._strength: float | None = None

    def judge(self, task: Task) -> Probabilities:
        folds = int(task.fold.max()) + 1
        few = len(task.given) * task.vectors.shape[1] * task.classes <= _CHOOSE_ON_ALL
        strengths = [self._strength] if self._strength else _strengths(task.vectors.shape[1])
        found = {strength: np.empty_like(task.targets) for strength in strengths}
        for number in range(folds):
            held_out = task.fold == number
            learned, start = task.learned(number), None
            vectors, targets = task.vectors[learned], task.targets[learned]
            for strength in found:
                start = fit_logistic(vectors, targets, strength, start)
                found[strength][held_out] = clipped(predict(task.vectors[held_out], start))
            if len(found) > 1 and (not few or number == folds - 1):
                seen = task.fold <= number
                labels = task.given[seen]
                losses = {s: -np.log(given_column(p[seen], labels)).mean() for s, p in found.items()}
                best = min(losses, key=losses.__getitem__)
                found = {best: found[best]}
        (self._strength, p), *_ = found.items()
        return p

    def seconds(self, samples: int, columns: int, classes: int) -> float:
        return 0.05 + 2e-8 * samples * columns * classes


def _strengths(columns: int) -> list[float]:
    return [0.01, 0.1, 1.0] if columns < _WIDE else [0.001, 0.01]


def predict(vectors: Vectors, weights: Weights) -> Probabilities:
    """Probabilities (N, K)."""
    return raised(vectors @ weights[:-1] + weights[-1], 1)


def fit_logistic(vectors: Vectors, targets: Targets, strength: float, start: Weights | None = None) -> Weights:
    """Weights that minimise `strength` times the summed cross-entropy plus half the squared weights, by L-BFGS.

    Args:
        vectors: (N, D).
        targets: (N, K), rows add up to 1.
        strength: C of scikit-learn; the intercept is not penalised.
        start: weights to start from.
    """
    shape = (vectors.shape[1] + 1, targets.shape[1])
    if start is None:
        start = np.zeros(shape, np.float32)
        start[-1] = np.log(targets.mean(0) + 1e-6)
    samples = len(vectors)
    penalty = 1 / (strength * samples)

    def loss(flat: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        weights = flat.reshape(shape)
        scores = vectors @ weights[:-1].astype(np.float32) + weights[-1].astype(np.float32)
        scores -= scores.max(1, keepdims=True)
        p = np.exp(scores)
        sums = p.sum(1, keepdims=True)
        value = np.log(sums, dtype=np.float64).sum() - np.einsum("nk,nk->", targets, scores, dtype=np.float64)
        p /= sums
        p -= targets
        slope = np.empty(shape)
        slope[:-1] = vectors.T @ p / samples + penalty * weights[:-1]
        slope[-1] = p.mean(0)
        return float(value / samples + penalty / 2 * (weights[:-1] ** 2).sum()), slope.ravel()

    found = minimize(loss, start.ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 100, "ftol": 1e-6})
    return np.asarray(found.x.reshape(shape), dtype=np.float32)
