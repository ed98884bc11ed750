r"""Losses whose sum over all labels is constant in the scores, and the sum that is named for one of them.

A symmetric loss tolerates symmetric noise up to a rate of (K - 1) / K (Ghosh et al., AAAI 2017, arXiv:1712.09482).
"""

from __future__ import annotations

import math
from typing import Unpack

from noiseproof.errors import in_range
from noiseproof.losses.base import LOSSES, Logits, LogProbs, Loss, Options, PerClass
from noiseproof.losses.cross_entropy_and_focal import cross_entropy
from noiseproof.losses.stable import LOG_ZERO, log_softmax, one_minus_exp

__all__ = [
    "MAE",
    "RCE",
    "SCE",
    "mean_absolute_error",
    "reverse_cross_entropy",
    "symmetric_cross_entropy",
]


def mean_absolute_error(log_p: LogProbs) -> PerClass:
    """L1 distance of e_k and p: (1 - p_k) + sum of the other p_j = 2 (1 - p_k).

    Not divided by K. "NCE+MAE" of the papers takes 1 - p_k: that is `nce + 0.5*mae`.

    Example:
        >>> import torch
        >>> mean_absolute_error(torch.zeros(1, 4).log_softmax(1)).tolist()
        [[1.5, 1.5, 1.5, 1.5]]

    Source: Ghosh et al., AAAI 2017 (arXiv:1712.09482).
    """
    return 2 * one_minus_exp(log_p)


def reverse_cross_entropy(log_p: LogProbs, *, log_zero: float) -> PerClass:
    """Cross-entropy with p and label exchanged: -sum_j p_j log e_k[j] = -log_zero * (1 - p_k).

    Args:
        log_p: log-probabilities of the classes.
        log_zero: what stands for log 0. Published PyTorch code has ln 1e-4 = -9.21, the paper's text says -4.

    Example:
        >>> import torch
        >>> reverse_cross_entropy(torch.zeros(1, 4).log_softmax(1), log_zero=-4.0).tolist()       # 4 * 3/4
        [[3.0, 3.0, 3.0, 3.0]]

    Source: Wang et al., ICCV 2019 (arXiv:1908.06112).
    """
    return -log_zero * one_minus_exp(log_p)


def symmetric_cross_entropy(log_p: LogProbs, *, alpha: float, beta: float) -> PerClass:
    """alpha * cross-entropy + beta * reverse cross-entropy (log_zero = ln 1e-4); not symmetric, in spite of its name.

    Args:
        log_p: log-probabilities of the classes.
        alpha: from 0 on; the fitting part.
        beta: from 0 on; the robust part.

    Example:
        >>> import torch
        >>> sure = torch.tensor([[0.0, -200.0]])                      # p = (1, 0)
        >>> symmetric_cross_entropy(sure, alpha=0.1, beta=1.0).tolist()           # 0.1 * 200 + ln 1e4
        [[-0.0, 29.21034049987793]]

    Source: Wang et al., ICCV 2019 (arXiv:1908.06112).
    """
    reverse = beta * reverse_cross_entropy(log_p, log_zero=LOG_ZERO)
    return alpha * cross_entropy(log_p) + reverse if alpha else reverse  # 0 * inf at a masked class


@LOSSES.register("mae", paper="arXiv:1712.09482", symmetric=True, active=False, bounded=True, asymmetric="completely")
class MAE(Loss):
    """Mean absolute error, see `mean_absolute_error`."""

    def per_class(self, logits: Logits) -> PerClass:
        return mean_absolute_error(log_softmax(logits))


@LOSSES.register("rce", paper="arXiv:1908.06112", symmetric=True, active=False, bounded=True, asymmetric="completely")
class RCE(Loss):
    """Reverse cross-entropy, see `reverse_cross_entropy`."""

    def __init__(self, log_zero: float = LOG_ZERO, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.log_zero = in_range("log_zero", log_zero, -math.inf, 0, below=True)

    def per_class(self, logits: Logits) -> PerClass:
        return reverse_cross_entropy(log_softmax(logits), log_zero=self.log_zero)


@LOSSES.register("sce", paper="arXiv:1908.06112", symmetric=False, active=False, bounded=False, asymmetric="never")
class SCE(Loss):
    """Symmetric cross-entropy: the sum alpha*ce + beta*rce, see `symmetric_cross_entropy`."""

    def __init__(self, alpha: float = 0.1, beta: float = 1.0, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.alpha = in_range("alpha", alpha, 0)
        self.beta = in_range("beta", beta, 0)

    def per_class(self, logits: Logits) -> PerClass:
        return symmetric_cross_entropy(log_softmax(logits), alpha=self.alpha, beta=self.beta)
