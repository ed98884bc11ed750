"""Bi-tempered logistic loss: logarithm and exponential of other temperatures."""

from __future__ import annotations

import math
from typing import Unpack

import torch
from torch import Tensor

from noiseproof.errors import in_range
from noiseproof.losses.base import LOSSES, Logits, Loss, Options, PerClass
from noiseproof.losses.stable import log_softmax

__all__ = ["BiTempered", "bi_tempered", "log_tempered_softmax"]

_STEPS = 60  # bisections: float64 has no more bits


def log_tempered_softmax(logits: Logits, *, t: float) -> Tensor:
    """ln of exp_t(z - c), c such that it sums to one; exp_t(u) = max(0, 1 + (1-t) u)^(1/(1-t)), t >= 1.

    Heavier tails than softmax for t > 1. c is found by bisection without a gradient; two Newton steps add the
    derivatives of the equation it solves, exact to the second order.

    Example:
        >>> log_tempered_softmax(torch.tensor([[1.0, 0.0, 0.0]]), t=2.0).exp().sum().item()
        1.0...

    Source: Amid et al., NeurIPS 2019 (arXiv:1906.03361), section 2.
    """
    if t == 1:
        return log_softmax(logits)
    behind = logits - logits.amax(1, keepdim=True).detach()
    # p of the largest is between 1/K and 1: (t-1) c lies between 0 and K^(t-1) - 1, for scores behind the largest.
    with torch.no_grad():
        low = torch.zeros_like(behind[:, :1])
        high = torch.full_like(low, (logits.shape[1] ** (t - 1) - 1) / (t - 1))
        for _ in range(_STEPS):
            middle = (low + high) / 2
            over = _log_exp(behind - middle, t).logsumexp(1, keepdim=True) > 0
            low, high = torch.where(over, middle, low), torch.where(over, high, middle)
        shift = (low + high) / 2
    for _ in range(2):
        log_p = _log_exp(behind - shift, t)
        # d ln p_k / d u_k = p_k^(t-1): the slope of the sum in c is -sum p^t
        shift = shift + (log_p.exp().sum(1, keepdim=True) - 1) / (t * log_p).exp().sum(1, keepdim=True)
    return _log_exp(behind - shift, t)


def _log_exp(u: Tensor, t: float) -> Tensor:
    """ln exp_t(u) for t > 1 and u <= 0."""
    return -((t - 1) * -u).log1p() / (t - 1)


def bi_tempered(logits: Logits, *, t1: float, t2: float) -> PerClass:
    """Bi-tempered logistic loss: the Bregman divergence of log_t1 between e_k and the t2-tempered softmax q.

    -log_t1(q_k) - 1/(2-t1) + sum_j q_j^(2-t1) / (2-t1), with log_t(x) = (x^(1-t) - 1) / (1-t). t1 = t2 = 1 is
    cross-entropy; bounded for t1 < 1.

    Args:
        logits: scores.
        t1: temperature of the logarithm, from 0 to 1.
        t2: temperature of the softmax, from 1 on.

    Example:
        >>> scores = torch.tensor([[2.0, 1.0, 0.1, -1.0]], dtype=torch.float64)
        >>> round(bi_tempered(scores, t1=0.8, t2=1.2)[0, 1].item(), 8)
        1.0620641

    Source: Amid et al., NeurIPS 2019 (arXiv:1906.03361), eq. 7.
    """
    log_q = log_tempered_softmax(logits, t=t2)
    power = 2 - t1
    fit = -log_q if t1 == 1 else -((1 - t1) * log_q).expm1() / (1 - t1)
    return fit + ((power * log_q).exp().sum(1, keepdim=True) - 1) / power


@LOSSES.register(
    "bi-tempered", paper="arXiv:1906.03361", symmetric=False, active=False, bounded=True, asymmetric="never"
)
class BiTempered(Loss):
    """Bi-tempered logistic loss, see `bi_tempered`."""

    def __init__(self, t1: float = 0.8, t2: float = 1.2, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.t1, self.t2 = in_range("t1", t1, 0, 1), in_range("t2", t2, 1, math.inf)

    def per_class(self, logits: Logits) -> PerClass:
        return bi_tempered(logits, t1=self.t1, t2=self.t2)
