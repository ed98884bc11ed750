"""Shrunken linear discriminant in closed form, judged by cross-validation; for wide vectors such as a network's."""

from __future__ import annotations

import numpy as np
from scipy.linalg import eigh

from noiseproof.doctor.calibration import best_exponent, raised
from noiseproof.doctor.judges.base import Targets, Task, Vectors
from noiseproof.doctor.probabilities import Probabilities, clipped, given_column

__all__ = ["Discriminant"]

_SHRINKAGE = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # times the mean eigenvalue of the covariance


class Discriminant:
    """Linear discriminant on the covariance of all samples; shrinkage by the likelihood of the given labels.

    Class means are those of hard or soft targets, so that the same eigenvectors serve both rounds.

    Attributes:
        shrinkage: chosen in the first call, times the mean eigenvalue of the covariance; 0 before it.
        fit: mean log-likelihood of the given labels in the first call.
    """

    name = "linear discriminant"
    fewest_columns = 100

    def __init__(self) -> None:
        self._folds: list[tuple[Vectors, Vectors]] | None = None
        self.shrinkage = 0.0
        self.fit = -np.inf

    def judge(self, task: Task) -> Probabilities:
        numbers = range(int(task.fold.max()) + 1)
        if self._folds is None:
            self._folds = [_eigenvectors(task.vectors[task.fold != number]) for number in numbers]
        first = self.shrinkage == 0
        shrinkages = _SHRINKAGE if first else (self.shrinkage,)
        scores = {one: np.empty_like(task.targets) for one in shrinkages}
        for number, (values, basis) in zip(numbers, self._folds, strict=True):
            held_out = task.fold == number
            rotated = task.vectors @ basis
            means = _class_means(rotated[~held_out], task.targets[~held_out])
            for shrinkage, found in scores.items():
                found[held_out] = _scores(rotated[held_out], means, values + np.float32(shrinkage) * values.mean())
        fits = {one: _calibrated(found, task) for one, found in scores.items()}
        self.shrinkage = max(fits, key=lambda one: fits[one][0])
        fit, p = fits[self.shrinkage]
        if first:
            self.fit = fit
        return p

    def seconds(self, samples: int, columns: int, classes: int) -> float:
        return 0.05 + 5e-10 * columns**2 * (10 * samples + 50 * columns)


def _eigenvectors(vectors: Vectors) -> tuple[Vectors, Vectors]:
    centred = vectors - vectors.mean(0)
    values, basis = eigh(centred.T @ centred / np.float32(len(vectors)), check_finite=False, driver="evd")
    return np.maximum(values, 0), basis


def _class_means(vectors: Vectors, targets: Targets) -> Vectors:
    """Means (K, D) of the classes, of one without samples the mean of all."""
    sums = targets.sum(0)[:, None]
    means = targets.T @ vectors / np.maximum(sums, 1e-6)
    return np.asarray(np.where(sums > 1e-3, means, vectors.mean(0)), dtype=np.float32)


def _scores(vectors: Vectors, means: Vectors, variances: Vectors) -> Vectors:
    weighted = means / variances
    return np.asarray(vectors @ weighted.T - 0.5 * (weighted * means).sum(1), dtype=np.float32)


def _calibrated(scores: Vectors, task: Task) -> tuple[float, Probabilities]:
    """The mean log-likelihood of the given labels, and probabilities of the sharpness that maximises it."""
    lead = scores - scores.max(1, keepdims=True)
    p = clipped(raised(lead, best_exponent(np.exp(np.maximum(lead, -60)), task.given)))
    return float(np.log(given_column(p, task.given)).mean()), p
