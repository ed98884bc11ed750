"""Doubt by neighbours: what the posteriors of the most similar samples say of a given label."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from noiseproof import rng
from noiseproof.doctor.probabilities import Labels, Probabilities

__all__ = ["neighbour_doubt"]

_NEIGHBOURS = 20
_AMONG = 20_000  # samples that neighbours are looked for among, at most
_SHRINKAGE = 0.3  # of the whitening, times the mean eigenvalue
_BLOCK = 1_000


def neighbour_doubt(vectors: npt.NDArray[np.float32], soft: Probabilities, given: Labels) -> npt.NDArray[np.float64]:
    """One minus the mean posterior of each given label over the 20 nearest other samples, (N,).

    Nearest by the cosine after whitening: without it the largest directions, which need not matter, decide.

    Args:
        vectors: (N, D).
        soft: posteriors of the true label, (N, K).
        given: labels (N,).
    """
    white = _whitened(vectors)
    among = np.sort(rng.permutation(len(white), 0, "diagnose", "neighbours")[:_AMONG])
    place = np.full(len(white), -1)
    place[among] = np.arange(len(among))
    count = min(_NEIGHBOURS, len(among) - 1)
    doubt = np.empty(len(white))
    for start in range(0, len(white), _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, len(white)))
        likeness = white[rows] @ white[among].T
        itself = np.flatnonzero(place[rows] >= 0)
        likeness[itself, place[rows[itself]]] = -2
        near = among[np.argpartition(-likeness, count, axis=1)[:, :count]]
        doubt[rows] = 1 - soft[near, given[rows][:, None]].mean(1)
    return doubt


def _whitened(vectors: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Vectors of unit length whose directions vary about alike."""
    centred = vectors - vectors.mean(0)
    values, basis = eigh(centred.T @ centred / np.float32(len(vectors)), check_finite=False, driver="evd")
    white = centred @ (basis / np.sqrt(np.maximum(values, 0) + _SHRINKAGE * values.mean() + 1e-12))
    return np.asarray(white / np.maximum(np.linalg.norm(white, axis=1, keepdims=True), 1e-12), dtype=np.float32)
