"""Accuracy on true labels from predictions and labels that are partly wrong."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from noiseproof import rng

__all__ = ["corrected_accuracy"]

_BOOTSTRAP = 200
_UNSTABLE = 0.05  # smallest singular value of a matrix that can still be inverted


def corrected_accuracy(
    predicted: npt.NDArray[np.int64],
    given: npt.NDArray[np.int64],
    transition: npt.NDArray[np.float64],
    *,
    seed: int = 1,
) -> tuple[float, npt.NDArray[np.float64]]:
    """Accuracy on the true labels from predictions and noisy labels, under a known noise matrix.

    With M[k, j] the share of samples predicted k and called j, M T^-1 holds the shares predicted k and truly j; its
    trace is the accuracy.

    Source: Lam & Stork, IJCAI 2003 (accuracy against noisy labels).

    Args:
        predicted: (N,), 0 to K-1, by a model that has not seen `given`.
        given: noisy labels, (N,).
        transition: T[i, j] = P(given j | true i), (K, K).
        seed: of the bootstrap.

    Returns:
        The accuracy in [0, 1] and its bootstrap draws (200,); NaN where T is close to singular.

    Example:
        >>> p = np.array([0] * 50 + [1] * 50)                   # always right, of labels of which a fifth is wrong
        >>> g = np.array([0] * 40 + [1] * 50 + [0] * 10)
        >>> round(corrected_accuracy(p, g, np.array([[0.8, 0.2], [0.2, 0.8]]))[0], 6)
        1.0
    """
    if np.linalg.svd(transition, compute_uv=False)[-1] < _UNSTABLE:
        return float("nan"), np.full(_BOOTSTRAP, np.nan)
    each = np.linalg.inv(transition)[given, predicted]  # the trace is the mean of one number a sample
    generator = np.random.Generator(np.random.Philox(rng.key(seed, "bootstrap")))
    draws = np.array([each[generator.integers(0, len(each), len(each))].mean() for _ in range(_BOOTSTRAP)])
    return float(np.clip(each.mean(), 0, 1)), np.clip(draws, 0, 1)
