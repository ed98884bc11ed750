r"""The transition matrix from given labels and out-of-sample probabilities, in two ways.

The likelihood: the probabilities, sharpened or softened by one exponent, are taken for those of the true label, and
the noise explains the rest: $P(\text{given} = g \mid x) = \sum_j p_j(x)^\beta / Z(x) \; T_{jg}$. T and beta are fitted
by expectation maximisation, which also gives P(true label | x, given label), and with it the ranking of suspects.

The confident joint: count the samples that are confidently of each class. It asks less of the probabilities and
counts a classifier's own mistakes as noise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from noiseproof import rng

__all__ = ["Explanation", "confident_joint", "explain", "shares"]

Labels = npt.NDArray[np.int64]
Matrix = npt.NDArray[np.float64]

# Weight of the entropy of the sharpened probabilities. Without it, probabilities of the *given* label (calibrated
# ones, from a loss that fits the noise) explain the labels with no noise at all. Chosen on the digits.
_SHARPNESS = 0.02
_LOWEST = -60.0  # log-probabilities below this say the same
_ENOUGH = 20_000  # samples that the fit looks at; the posterior is for all


@dataclass(frozen=True)
class Explanation:
    """What the likelihood makes of the labels."""

    transition: Matrix
    """(K, K), T[i, j] = P(given j | true i)."""
    exponent: float
    """Above 1 the probabilities were too flat for the true label, below 1 too sharp."""
    log_posterior: Matrix
    """(N, K), log P(true label | x, given label)."""


def explain(log_p: Matrix, given: Labels, *, rounds: int = 300) -> Explanation:
    """Fit the transition matrix and the exponent; see the module.

    Example:
        >>> given = np.array([0] * 80 + [1] * 20 + [1] * 100)               # 20 of 100 zeros are called one
        >>> p = np.where(np.arange(200)[:, None] < 100, [0.99, 0.01], [0.01, 0.99])
        >>> explain(np.log(p), given).transition.round(2).tolist()
        [[0.8, 0.2], [0.0, 1.0]]
    """
    log_p = np.maximum(log_p - log_p.max(1, keepdims=True), _LOWEST)
    few = rng.permutation(len(given), 0, "diagnose")[:_ENOUGH]
    start, _ = confident_joint(np.exp(_normalised(log_p[few])), given[few])
    transition, beta = 0.9 * start + 0.1 / len(start), _sharp_start(log_p[few])
    labels, told = log_p[few], given[few]
    called = np.eye(len(start))[told]
    for _ in range(rounds):
        log_q = _normalised(beta * labels)
        posterior = np.exp(_posterior(log_q, told, transition))
        next_transition = shares(posterior.T @ called + 1e-3)
        next_beta = _next_exponent(beta, labels, np.exp(log_q), posterior)
        change = max(float(np.abs(next_transition - transition).max()), abs(next_beta / beta - 1))
        transition, beta = next_transition, next_beta
        if change < 1e-5:
            break
    return Explanation(transition, beta, _posterior(_normalised(beta * log_p), given, transition))


def _posterior(log_q: Matrix, given: Labels, transition: Matrix) -> Matrix:
    return _normalised(log_q + np.log(transition.T[given]))


def _normalised(scores: Matrix) -> Matrix:
    """Log-softmax of each row."""
    scores = scores - scores.max(1, keepdims=True)
    return np.asarray(scores - np.log(np.exp(scores).sum(1, keepdims=True)), dtype=np.float64)


def _next_exponent(beta: float, log_p: Matrix, q: Matrix, posterior: Matrix) -> float:
    """One Newton step on the expected log-likelihood less the weighted entropy of q."""
    mean = (q * log_p).sum(1)
    curvature = float(((q * log_p**2).sum(1) - mean**2).sum()) + 1e-9
    slope = float((posterior * log_p).sum() - mean.sum()) + _SHARPNESS * beta * curvature
    step = np.clip(slope / curvature, -0.5 * beta, 0.5 * beta)
    return float(np.clip(beta + step, 0.01, 100.0))


def _sharp_start(log_p: Matrix) -> float:
    """The exponent that makes the likeliest class 95 % likely on average."""
    low, high = np.log(0.01), np.log(100.0)
    for _ in range(30):
        middle = (low + high) / 2
        sharp = np.exp(_normalised(np.exp(middle) * log_p).max(1)).mean() > 0.95
        low, high = (low, middle) if sharp else (middle, high)
    return float(np.exp(high))


def confident_joint(p: Matrix, given: Labels) -> tuple[Matrix, float]:
    """The transition matrix and the noise rate from samples that are confidently of a class.

    A sample counts for class j if p_j is at least the mean p_j of the samples that are called j; if that holds for
    several, for the likeliest. The counts are scaled to the given labels' own frequencies.

    Example:
        >>> given = np.array([0] * 80 + [1] * 20 + [1] * 100)
        >>> p = np.where(np.arange(200)[:, None] < 100, [0.9, 0.1], [0.1, 0.9])
        >>> transition, rate = confident_joint(p, given)
        >>> transition.round(2).tolist(), round(rate, 2)
        ([[0.8, 0.2], [0.0, 1.0]], 0.1)

    Source: Northcutt et al., JAIR 2021 (arXiv:1911.00068), eq. 1 and 2.
    """
    classes = p.shape[1]
    counts = np.bincount(given, minlength=classes)
    thresholds = np.bincount(given, weights=p[np.arange(len(p)), given], minlength=classes) / np.maximum(counts, 1)
    confident = p >= thresholds - 1e-6  # as cleanlab allows for rounding
    confident[:, counts == 0] = False
    counted = confident.any(1)
    true = np.where(confident, p, -1.0).argmax(1)
    pairs = np.bincount(given[counted] * classes + true[counted], minlength=classes**2).reshape(classes, classes)
    pairs[pairs.sum(1) == 0] = np.eye(classes, dtype=pairs.dtype)[pairs.sum(1) == 0]
    joint = shares(pairs) * counts[:, None] / counts.sum()
    return shares(joint.T), float(1 - joint.trace())


def shares(counts: npt.NDArray[np.generic]) -> Matrix:
    """Rows divided by their sums; a row of zeros becomes the row of the unit matrix."""
    values = np.asarray(counts, dtype=np.float64)
    sums = values.sum(1, keepdims=True)
    return np.where(sums > 0, values / np.where(sums > 0, sums, 1.0), np.eye(len(values)))
