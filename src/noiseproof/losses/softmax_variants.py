"""Losses that change the scores first: clipped logits, eps-softmax, label-distributionally robust KL."""

from __future__ import annotations

import math
from typing import Unpack

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from noiseproof.errors import in_range, true_or_false
from noiseproof.losses.base import LOSSES, Logits, LogProbs, Loss, Options, PerClass
from noiseproof.losses.cross_entropy_and_focal import cross_entropy, focal_loss
from noiseproof.losses.stable import is_largest, log_softmax, one_minus_exp

__all__ = ["ECE", "EFL", "LC", "LDR", "clip_logits", "eps_softmax", "ldr_kl"]


def clip_logits(logits: Logits, *, delta: float) -> Logits:
    """Scores whose norm exceeds 1/delta get the norm delta: delta z / ||z||. The others stay.

    As published: the map jumps at ||z|| = 1/delta unless delta = 1, and for delta > 1 it *lengthens* what it
    touches. Masked scores stay masked and do not count in the norm.

    Args:
        logits: scores of the classes.
        delta: the new norm; its inverse is the threshold (1/delta is the paper's temperature).

    Example:
        >>> clip_logits(torch.tensor([[3.0, 4.0], [0.3, 0.0]]), delta=2.5).tolist()
        [[1.5, 2.0], [0.30000001192092896, 0.0]]

    Source: Wei et al., ICML 2023 (arXiv:2212.04055), with the constants of its code.
    """
    masked = logits.isneginf()
    scores = logits.masked_fill(masked, 0.0)
    square = scores.square().sum(1, keepdim=True)  # of the norm; a root at 0 has no slope
    clipped = scores * (delta / square.clamp(min=delta**-2).sqrt())
    return torch.where(square > delta**-2, clipped, scores).masked_fill(masked, -math.inf)


def eps_softmax(log_p: LogProbs, *, m: float) -> LogProbs:
    """Log of (p + m e_j) / (m + 1), where j is the class predicted now: a softmax close to one-hot.

    The bonus goes to the *predicted* class, whatever the label. It jumps where the prediction changes.

    Args:
        log_p: log-probabilities of the classes.
        m: from 0 (the plain softmax) on.

    Example:
        >>> half = torch.tensor([[0.5, 0.25, 0.25]]).log()
        >>> eps_softmax(half, m=1.0).exp().tolist()                   # (1.5, 0.25, 0.25) / 2
        [[0.75, 0.125, 0.125]]

    Source: Wang et al., NeurIPS 2024 (arXiv:2508.02387).
    """
    predicted = (-one_minus_exp(log_p) / (m + 1)).log1p()  # log of 1 - (1 - p) / (m + 1)
    return torch.where(is_largest(log_p), predicted, log_p - math.log1p(m))


def ldr_kl(logits: Logits, *, c: float, lam: float) -> PerClass:
    r"""$\lambda \log \frac1K \sum_j \exp((s_j - s_k + c [j \ne k]) / \lambda)$, s the softplus scores over their mean.

    Computed as $\lambda (\log(1 + (e^{c/\lambda} - 1)(1 - r_k)) - \log K r_k)$ with
    $r = \mathrm{softmax}(s / \lambda)$, which is the same. The smallest value is below 0.

    Args:
        logits: scores of the classes.
        c: margin, from 0 on.
        lam: above 0; small looks at the worst label only, large at the average. c / lam is at most 80.

    Example:
        >>> even = torch.zeros(1, 2)                                  # s = (1, 1)
        >>> ldr_kl(even, c=math.log(3), lam=1.0).exp().round(decimals=4).tolist()         # (1 + 3) / 2
        [[2.0, 2.0]]

    Source: Zhu et al., ICML 2023 (arXiv:2112.14869), with the normalised softplus of its code.
    """
    K = logits.shape[1]
    s = K * log_softmax(log_softplus(logits)).exp()
    x = (s - 1) / lam  # the mean of s is 1
    log_r = log_softmax(x)
    even = x.abs().amax(1, keepdim=True) < 1  # then log K r is small: x - log(mean of e^x)
    log_K = (
        torch.full_like(x[:, :1], K, dtype=torch.float64).log().to(x.dtype)
    )  # a number would fix K in a compiled graph
    less = torch.where(even, x.clamp(-1, 1).expm1().mean(1, keepdim=True).log1p(), -log_K)
    log_Kr = torch.where(even, x, log_r) - less
    return lam * ((math.expm1(c / lam) * one_minus_exp(log_r)).log1p() - log_Kr)


def log_softplus(logits: Logits) -> Tensor:
    """log(log(1 + e^z)), exact where softplus itself is too small for a float."""
    low, high = logits.clamp(max=-20), logits.clamp(min=-20)
    return torch.where(logits < -20, low - low.exp() / 2, (-logsigmoid(-high)).log())  # torch's softplus rounds from 20


@LOSSES.register(
    "lc",
    paper="arXiv:2212.04055",
    symmetric=False,
    active=True,
    bounded=True,
    shift_invariant=False,
    kinks="where the norm of the scores is 1/delta (a jump)",
)
class LC(Loss):
    """Cross-entropy of clipped logits, see `clip_logits`. For training; predict with the raw scores."""

    def __init__(self, delta: float = 1.0, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.delta = in_range("delta", delta, 0, above=True)

    def per_class(self, logits: Logits) -> PerClass:
        return cross_entropy(log_softmax(clip_logits(logits, delta=self.delta)))


@LOSSES.register(
    "ece",
    paper="arXiv:2508.02387",
    symmetric=False,
    active=True,
    bounded=False,
    kinks="where the largest score changes (a jump)",
)
class ECE(Loss):
    """Cross-entropy of the eps-softmax, see `eps_softmax`."""

    def __init__(self, m: float = 1e5, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.m = in_range("m", m, 0)

    def per_class(self, logits: Logits) -> PerClass:
        return cross_entropy(eps_softmax(log_softmax(logits), m=self.m))


@LOSSES.register(
    "efl",
    paper="arXiv:2508.02387",
    symmetric=False,
    active=True,
    bounded=False,
    kinks="where the largest score changes (a jump)",
)
class EFL(Loss):
    """Focal loss of the eps-softmax, see `eps_softmax` and `focal_loss`."""

    def __init__(self, m: float = 1e5, gamma: float = 0.1, detach: bool = False, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.m = in_range("m", m, 0)
        self.gamma = in_range("gamma", gamma, 0)
        self.detach = true_or_false("detach", detach)

    def per_class(self, logits: Logits) -> PerClass:
        return focal_loss(eps_softmax(log_softmax(logits), m=self.m), gamma=self.gamma, detach=self.detach)


@LOSSES.register("ldr", paper="arXiv:2112.14869", symmetric=False, active=False, bounded=True, shift_invariant=False)
class LDR(Loss):
    """Label-distributionally robust KL loss, see `ldr_kl`."""

    def __init__(self, c: float = 0.1, lam: float = 1.0, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.c = in_range("c", c, 0)
        self.lam = in_range("lam", lam, 0, above=True)
        in_range("c / lam", self.c / self.lam, 0, 80)

    def per_class(self, logits: Logits) -> PerClass:
        return ldr_kl(logits, c=self.c, lam=self.lam)
