"""Shrunken linear discriminant in closed form; one eigendecomposition serves every shrinkage.

Source: Friedman, JASA 84(405), 1989 (regularised discriminant analysis).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from noiseproof.learners.heads import Linear

__all__ = ["SHRINKAGES", "Discriminant", "fit_discriminant", "out_of_fold"]

Array = npt.NDArray[np.float64]

SHRINKAGES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
PRIORS = (0.0, 0.5, 1.0)  # weight of the logarithm of a class's share


@dataclass(frozen=True, eq=False)
class Discriminant:
    """Eigenvectors of the covariance of all rows, and the class means on them."""

    centre: Array  # (D,)
    values: Array  # (D,) ascending
    vectors: Array  # (D, D)
    means: Array  # (K, D), on the eigenvectors
    shares: Array  # (K,)

    def head(self, shrinkage: float, prior: float, factor: float = 1.0) -> Linear:
        """The linear head: x' S^-1 m_k - m_k' S^-1 m_k / 2 + prior * log share, times the factor."""
        weight, bias = self._scores(shrinkage, prior)
        plain = weight @ self.vectors.T
        return Linear(factor * plain, factor * (bias - plain @ self.centre))

    def scores(self, rows: Array, shrinkage: float, prior: float) -> Array:
        """Scores of rows that `project` gave, (N, K)."""
        weight, bias = self._scores(shrinkage, prior)
        found: Array = rows @ weight.T + bias
        return found

    def project(self, vectors: npt.NDArray[np.floating]) -> Array:
        """Vectors (N, D) on the eigenvectors."""
        found: Array = (vectors - self.centre) @ self.vectors
        return found

    def _scores(self, shrinkage: float, prior: float) -> tuple[Array, Array]:
        weight = self.means / (self.values + shrinkage * self.values.mean() + 1e-12)
        return weight, prior * np.log(self.shares) - 0.5 * (weight * self.means).sum(1)


def fit_discriminant(vectors: npt.NDArray[np.floating], targets: npt.NDArray[np.floating]) -> Discriminant:
    """Fit to vectors (N, D) and the probability of each class for each of them, (N, K)."""
    centre = vectors.mean(0, dtype=np.float64)
    centred = vectors - centre.astype(vectors.dtype)
    covariance = (centred.T @ centred).astype(np.float64) / len(vectors)
    values, basis = np.linalg.eigh(covariance)
    weights = targets.sum(0, dtype=np.float64)
    means = (targets.T.astype(vectors.dtype) @ centred).astype(np.float64) / weights.clip(1e-9)[:, None]
    shares = (weights + 0.5) / (weights.sum() + 0.5 * len(weights))
    return Discriminant(centre, values.clip(0), basis, means @ basis, shares)


def out_of_fold(
    vectors: npt.NDArray[np.floating], given: npt.NDArray[np.int64], fold: npt.NDArray[np.int64], classes: int
) -> tuple[Array, float, float]:
    """Scores of each row by a discriminant of the other folds, with the shrinkage and prior that agree best.

    Returns:
        The scores (N, K), the shrinkage, and the weight of the class shares: 0 unless another is clearly better.
    """
    settings = [(shrinkage, prior) for prior in PRIORS for shrinkage in SHRINKAGES]
    found = np.empty((len(settings), len(given), classes), np.float32)
    one_hot = np.eye(classes, dtype=np.float32)[given]
    for number in range(int(fold.max()) + 1):
        inside, outside = fold != number, fold == number
        fitted = fit_discriminant(vectors[inside], one_hot[inside])
        rows = fitted.project(vectors[outside])
        for place, setting in enumerate(settings):
            found[place, outside] = fitted.scores(rows, *setting)
    agreement = (found.argmax(2) == given).mean(1).reshape(len(PRIORS), len(SHRINKAGES))
    margin = float(np.sqrt(agreement.max() * (1 - agreement.max()) / len(given)))
    best = next(row for row in range(len(PRIORS)) if agreement[row].max() >= agreement.max() - margin)
    column = len(SHRINKAGES) - 1 - int(agreement[best, ::-1].argmax())  # of equals the smoothest
    return found[best * len(SHRINKAGES) + column].astype(np.float64), SHRINKAGES[column], PRIORS[best]
