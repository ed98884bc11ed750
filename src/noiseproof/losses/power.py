"""Powers of the probabilities: generalized cross-entropy and the squared error."""

from __future__ import annotations

from typing import Unpack

from noiseproof.errors import in_range
from noiseproof.losses.base import LOSSES, Logits, LogProbs, Loss, Options, PerClass
from noiseproof.losses.stable import log_softmax, one_minus_exp, sum_of_others

__all__ = ["GCE", "MSE", "generalized_cross_entropy", "mean_squared_error"]


def generalized_cross_entropy(log_p: LogProbs, *, q: float) -> PerClass:
    """Box-Cox transform of each class's probability: (1 - p_k^q) / q.

    q -> 0 gives cross-entropy, q = 1 gives 1 - p_k.

    Args:
        log_p: log-probabilities of the classes.
        q: above 0, at most 1; larger is flatter in p, hence more robust and slower to fit.

    Returns:
        The loss of every possible label, each in [0, 1/q].

    Example:
        >>> import torch
        >>> even = torch.zeros(1, 4).log_softmax(1)                   # p_k = 1/4
        >>> generalized_cross_entropy(even, q=0.5).tolist()           # (1 - 1/2) / (1/2)
        [[1.0, 1.0, 1.0, 1.0]]

    Source: Zhang & Sabuncu, NeurIPS 2018, eq. 6 (arXiv:1805.07836).
    """
    return one_minus_exp(q * log_p) / q


def mean_squared_error(log_p: LogProbs) -> PerClass:
    """Mean over classes of (e_k - p)^2: ((1 - p_k)^2 + sum of the other p_j^2) / K. Also named Brier score.

    Example:
        >>> import torch
        >>> mean_squared_error(torch.zeros(1, 4).log_softmax(1)).tolist()         # (9/16 + 3/16) / 4
        [[0.1875, 0.1875, 0.1875, 0.1875]]

    Source: Ghosh et al., AAAI 2017 (arXiv:1712.09482), there as a sum over classes.
    """
    return (one_minus_exp(log_p).square() + sum_of_others((2 * log_p).exp())) / log_p.shape[1]


@LOSSES.register("gce", paper="arXiv:1805.07836", symmetric=False, active=True, bounded=True, asymmetric="never")
class GCE(Loss):
    """Generalized cross-entropy, see `generalized_cross_entropy`."""

    def __init__(self, q: float = 0.7, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.q = in_range("q", q, 0, 1, above=True)

    def per_class(self, logits: Logits) -> PerClass:
        return generalized_cross_entropy(log_softmax(logits), q=self.q)


@LOSSES.register("mse", paper="arXiv:1712.09482", symmetric=False, active=False, bounded=True, asymmetric="never")
class MSE(Loss):
    """Mean squared error, see `mean_squared_error`."""

    def per_class(self, logits: Logits) -> PerClass:
        return mean_squared_error(log_softmax(logits))
