r"""Losses whose noisy risk is smallest at the clean label although they are not symmetric.

With weights w_k = P(given label = k) and w_m > w_n the two largest, an asymmetric loss has
$\arg\min_p \sum_k w_k L(p, k) = e_m$: always ("completely"), or where w_m / w_n is large enough ("strictly").
"""

from __future__ import annotations

import math
from typing import Unpack

import torch

from noiseproof.errors import in_range
from noiseproof.losses.base import LOSSES, Logits, LogProbs, Loss, Options, PerClass
from noiseproof.losses.stable import log_complement, log_softmax, one_minus_exp, sum_of_others

__all__ = [
    "AEL",
    "AGCE",
    "AMSE",
    "AUL",
    "asymmetric_exponential_loss",
    "asymmetric_generalized_cross_entropy",
    "asymmetric_mean_squared_error",
    "asymmetric_unhinged_loss",
]


def asymmetric_generalized_cross_entropy(log_p: LogProbs, *, a: float, q: float) -> PerClass:
    """((a + 1)^q - (a + p_k)^q) / q. Completely asymmetric for q >= 1.

    Args:
        log_p: log-probabilities of the classes.
        a: above 0; a -> 0 gives generalized cross-entropy for q <= 1.
        q: above 0.

    Example:
        >>> import torch
        >>> even = torch.zeros(1, 4).log_softmax(1)                   # p_k = 1/4
        >>> asymmetric_generalized_cross_entropy(even, a=0.75, q=1.0).tolist()    # 1.75 - 1
        [[0.75, 0.75, 0.75, 0.75]]

    Source: Zhou et al., ICML 2021, section 4 (arXiv:2106.03110).
    """
    # (a + p) / (a + 1) = 1 / (1 + (1 - p) / (a + p)), where nothing cancels
    log_ratio = -(one_minus_exp(log_p) / (a + log_p.exp())).log1p()
    scale: float = (a + 1) ** q / q
    return scale * one_minus_exp(q * log_ratio)


def asymmetric_unhinged_loss(log_p: LogProbs, *, a: float, q: float) -> PerClass:
    """((a - p_k)^q - (a - 1)^q) / q. Completely asymmetric for q <= 1.

    For a = 1 and q < 1 the slope in p_k is infinite at p_k = 1; in the scores it is finite.

    Args:
        log_p: log-probabilities of the classes.
        a: from 1 on.
        q: above 0.

    Example:
        >>> import torch
        >>> even = torch.zeros(1, 4).log_softmax(1)                   # p_k = 1/4
        >>> asymmetric_unhinged_loss(even, a=1.25, q=1.0).tolist()    # 1 - 1/4
        [[0.75, 0.75, 0.75, 0.75]]

    Source: Zhou et al., ICML 2021, section 4 (arXiv:2106.03110).
    """
    if a == 1:
        return power_of_distance(log_p, a=a, q=q) / q
    # (a - 1) / (a - p) = 1 / (1 + (1 - p) / (a - 1)), where nothing cancels
    log_ratio = -(one_minus_exp(log_p) / (a - 1)).log1p()
    return power_of_distance(log_p, a=a, q=q) * one_minus_exp(q * log_ratio) / q


def asymmetric_exponential_loss(log_p: LogProbs, *, a: float) -> PerClass:
    """exp(-p_k / a), in [exp(-1/a), 1]: its smallest value is not 0. Strictly asymmetric.

    Args:
        log_p: log-probabilities of the classes.
        a: above 0.

    Example:
        >>> import torch
        >>> sure = torch.tensor([[0.0, -200.0]])                      # p = (1, 0)
        >>> asymmetric_exponential_loss(sure, a=2.0).log().tolist()
        [[-0.5, 0.0]]

    Source: Zhou et al., ICML 2021, section 4 (arXiv:2106.03110).
    """
    return (-log_p.exp() / a).exp()


def asymmetric_mean_squared_error(log_p: LogProbs, *, a: float, q: float = 2.0) -> PerClass:
    """Mean over classes of abs(a e_k - p)^q: ((a - p_k)^q + sum of the other p_j^q) / K; at least (a-1)^q/K.

    q = 2 is the loss of the paper: mean absolute error with a small reward for confidence.
    Strictly asymmetric for q > 1 (for q = 2 where w_m - w_n >= 1/a), completely for q <= 1.

    Args:
        log_p: log-probabilities of the classes.
        a: from 1 (for q = 2 mean squared error) on; larger tolerates more noise.
        q: above 0.

    Example:
        >>> import torch
        >>> even = torch.zeros(1, 4).log_softmax(1)                   # p_k = 1/4
        >>> asymmetric_mean_squared_error(even, a=2.25).tolist()      # (4 + 3/16) / 4
        [[1.046875, 1.046875, 1.046875, 1.046875]]

    Source: Joint Asymmetric Loss, ICCV 2025 (arXiv:2507.17692).
    """
    return (power_of_distance(log_p, a=a, q=q) + sum_of_others((q * log_p).exp())) / log_p.shape[1]


def power_of_distance(log_p: LogProbs, *, a: float, q: float) -> PerClass:
    """(a - p_k)^q."""
    rest = one_minus_exp(log_p)
    if a > 1 or q == 1 or q >= 2:
        return (a - 1 + rest).pow(q)
    # For a = 1 a slope in p is infinite at p = 1; in the scores, and through log(1 - p), it is not.
    normal = rest >= torch.finfo(rest.dtype).tiny
    return torch.where(normal, rest.where(normal, 1.0).pow(q), (q * log_complement(log_p)).exp())


_MOST = 69.0  # e^69 = 1e30: what a loss is made of fits float32


@LOSSES.register("agce", paper="arXiv:2106.03110", symmetric=False, active=True, bounded=True, asymmetric="completely")
class AGCE(Loss):
    """Asymmetric generalized cross-entropy, see `asymmetric_generalized_cross_entropy`."""

    def __init__(self, a: float = 1.0, q: float = 2.0, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.a = in_range("a", a, 1e-9)
        self.q = in_range("q", q, 0, above=True)
        in_range("q ln(a + 1)", self.q * math.log(self.a + 1), 0, _MOST)

    def per_class(self, logits: Logits) -> PerClass:
        return asymmetric_generalized_cross_entropy(log_softmax(logits), a=self.a, q=self.q)


@LOSSES.register("aul", paper="arXiv:2106.03110", symmetric=False, active=True, bounded=True, asymmetric="completely")
class AUL(Loss):
    """Asymmetric unhinged loss, see `asymmetric_unhinged_loss`."""

    def __init__(self, a: float = 1.5, q: float = 0.9, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.a = in_range("a", a, 1)
        self.q = in_range("q", q, 0, above=True)
        in_range("q ln a", self.q * math.log(self.a), 0, _MOST)

    def per_class(self, logits: Logits) -> PerClass:
        return asymmetric_unhinged_loss(log_softmax(logits), a=self.a, q=self.q)


@LOSSES.register("ael", paper="arXiv:2106.03110", symmetric=False, active=True, bounded=True, asymmetric="strictly")
class AEL(Loss):
    """Asymmetric exponential loss, see `asymmetric_exponential_loss`."""

    def __init__(self, a: float = 3.0, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.a = in_range("a", a, 1e-9)

    def per_class(self, logits: Logits) -> PerClass:
        return asymmetric_exponential_loss(log_softmax(logits), a=self.a)


@LOSSES.register("amse", paper="arXiv:2507.17692", symmetric=False, active=False, bounded=True, asymmetric="strictly")
class AMSE(Loss):
    """Asymmetric mean squared error, see `asymmetric_mean_squared_error`."""

    def __init__(self, a: float = 30.0, q: float = 2.0, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.a = in_range("a", a, 1)
        self.q = in_range("q", q, 0, above=True)
        in_range("q ln a", self.q * math.log(self.a), 0, _MOST)

    def per_class(self, logits: Logits) -> PerClass:
        return asymmetric_mean_squared_error(log_softmax(logits), a=self.a, q=self.q)
