"""A blend of judges: a temperature each, and the weights that maximise the likelihood of held-out given labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from noiseproof.doctor.probabilities import (
    Labels,
    Probabilities,
    clipped,
    given_column,
    sample_rows,
)

__all__ = ["blend", "mixture_weights"]


def mixture_weights(
    likelihoods: npt.NDArray[np.floating], importance: npt.NDArray[np.floating] | None = None, rounds: int = 200
) -> npt.NDArray[np.float64]:
    """Weights of a mixture by expectation maximisation: w_m <- mean_i w_m L_mi / sum_n w_n L_ni.

    Args:
        likelihoods: (M, N), what each judge gives to each label.
        importance: (N,), how much each label counts; alike unless given.
        rounds: at most.

    Example:
        >>> mixture_weights(np.array([[0.9, 0.8, 0.9], [0.5, 0.5, 0.5]])).round(2).tolist()
        [1.0, 0.0]
    """
    weights = np.full(len(likelihoods), 1 / len(likelihoods))
    for _ in range(rounds):
        parts = weights[:, None] * likelihoods
        found = np.average(parts / parts.sum(0), axis=1, weights=importance)
        done = np.abs(found - weights).max() < 1e-4
        weights = found
        if done:
            break
    return np.asarray(weights, dtype=np.float64)


def blend(
    judged: Sequence[Probabilities], given: Labels, soft: Probabilities | None = None
) -> tuple[Probabilities, npt.NDArray[np.float64]]:
    """Blended probabilities (N, K), and the weight of each judge.

    Args:
        judged: probabilities of each judge.
        given: labels of which the weights maximise the likelihood.
        soft: (N, K) posteriors; the expected likelihood under them is maximised instead.
    """
    few = sample_rows(*judged[0].shape)
    if soft is None:
        weights = mixture_weights(np.stack([given_column(p[few], given[few]) for p in judged]))
    else:
        weights = mixture_weights(np.stack([p[few].ravel() for p in judged]), soft[few].ravel())
    found = np.zeros_like(judged[0])
    for weight, p in zip(weights, judged, strict=True):
        found += np.float32(weight) * p
    return clipped(found), weights
