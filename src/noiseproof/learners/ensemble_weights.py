"""Weights of several learners' probabilities, so that their mean predicts held-out given labels best.

Source: Caruana, Niculescu-Mizil, Crew & Ksikes, ICML 2004 (ensemble selection with replacement).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

__all__ = ["blend_weights"]

_PICKS = 10
_BEST = 3


def blend_weights(
    probabilities: Mapping[str, npt.NDArray[np.float64]], given: npt.NDArray[np.int64]
) -> dict[str, float]:
    """Share of each learner: half by ensemble selection, half to the best three alike, which steadies it.

    Ensemble selection adds to a mean ten times the learner that improves it most. On small tables it follows the noise
    of the given labels; the best three alike miss a learner that is far better than all others. Their mean is better
    than either.

    Args:
        probabilities: of rows that the learner has not seen, (N, K) each; of equally good learners the first counts.
        given: labels, (N,).

    Returns:
        Weights that sum to 1.

    Example:
        >>> right, wrong = np.array([[0.8, 0.2], [0.2, 0.8]]), np.array([[0.4, 0.6], [0.2, 0.8]])
        >>> blend_weights({"wrong": wrong, "right": right}, np.array([0, 1]))
        {'right': 0.75, 'wrong': 0.25}
    """
    ranked = sorted(probabilities, key=lambda name: _merit(probabilities[name], given), reverse=True)
    weights = {name: 0.5 / len(ranked[:_BEST]) for name in ranked[:_BEST]}
    total = np.zeros_like(probabilities[ranked[0]])
    for pick in range(_PICKS):
        means = {name: (total + one) / (pick + 1) for name, one in probabilities.items()}
        best = max(means, key=lambda name: _merit(means[name], given))
        weights[best] = weights.get(best, 0.0) + 0.5 / _PICKS
        total = total + probabilities[best]
    return {name: round(weight, 6) for name, weight in weights.items()}


def _merit(p: npt.NDArray[np.float64], given: npt.NDArray[np.int64]) -> tuple[float, float]:
    """Share of given labels that are predicted, and for ties the mean probability of a given label."""
    return float((p.argmax(1) == given).mean()), float(p[np.arange(len(given)), given].mean())
