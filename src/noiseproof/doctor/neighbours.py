"""Posterior of a sample's given label among its nearest neighbours; for wide vectors such as a network's."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from noiseproof.doctor.probabilities import Labels, Probabilities, given_column

__all__ = ["FEWEST", "neighbour_support"]

FEWEST = 40  # samples a class on average; with fewer, most of the nearest neighbours are of other classes
_NEIGHBOURS = 20
_BLOCK = 2_000  # rows whose similarities are held at once


def neighbour_support(
    vectors: npt.NDArray[np.float32], posterior: Probabilities, given: Labels, shrinkage: float
) -> npt.NDArray[np.float64]:
    """Mean posterior of each sample's given label over its nearest others, (N,).

    Neighbours vote with posteriors, not with their labels, which may be wrong themselves.

    Args:
        vectors: float32 (N, D), centred, columns on one scale.
        posterior: of the true label, (N, K).
        given: labels (N,).
        shrinkage: added to the eigenvalues of the covariance, times their mean, before whitening; near is a large
            cosine after it.
    """
    values, basis = eigh(vectors.T @ vectors / np.float32(len(vectors)), check_finite=False, driver="evd")
    values = np.maximum(values, 0)
    white = vectors @ (basis / np.sqrt(values + np.float32(shrinkage) * values.mean()))
    white /= np.maximum(np.linalg.norm(white, axis=1, keepdims=True), 1e-12)
    count = min(_NEIGHBOURS, len(vectors) - 1)
    support = np.empty(len(vectors))
    for start in range(0, len(vectors), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(vectors)))
        similarity = white[rows] @ white.T
        similarity[np.arange(len(rows)), rows] = -np.inf
        nearest = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
        support[rows] = given_column(posterior[nearest].mean(1), given[rows])
    return support
