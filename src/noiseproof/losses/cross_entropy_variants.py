"""Cross-entropy bent where it is steep: each is a function of the given label's probability alone.

The slope of -ln p grows without limit as p falls to 0, and with it the pull of a wrong label. These bound the slope,
cut the logarithm's series or give up labels that are too implausible.
"""

from __future__ import annotations

import math
from typing import Unpack

import torch

from noiseproof.errors import InputError, in_range
from noiseproof.losses.base import LOSSES, Logits, LogProbs, Loss, Options, PerClass, parse
from noiseproof.losses.stable import log_softmax, one_minus_exp

__all__ = [
    "VCE",
    "PHuber",
    "PiecewiseZero",
    "TaylorCE",
    "partially_huberised",
    "piecewise_zero",
    "taylor_cross_entropy",
    "variation_bounded",
]


def variation_bounded(log_p: LogProbs, *, a: float) -> PerClass:
    """Variation-bounded cross-entropy: -ln(p_k + a). Negative where p_k + a > 1.

    The largest slope in p is (1+a)/a times the smallest: a -> 0 gives cross-entropy, a -> inf a line in p.

    Args:
        log_p: log-probabilities of the classes.
        a: above 0.

    Example:
        >>> even = torch.zeros(1, 4).log_softmax(1)                   # p_k = 1/4
        >>> variation_bounded(even, a=0.75).tolist()
        [[-0.0, -0.0, -0.0, -0.0]]

    Source: arXiv:2511.12143 (AAAI 2026).
    """
    # From the side where p is 1: a + 1 - (1-p) keeps every digit there.
    return -((-one_minus_exp(log_p) / (1 + a)).log1p() + math.log1p(a))


def taylor_cross_entropy(log_p: LogProbs, *, t: int) -> PerClass:
    """Taylor cross-entropy: sum over i = 1..t of (1 - p_k)^i / i, the series of -ln p_k cut after t terms.

    t = 1 gives 1 - p_k; the largest value is 1 + 1/2 + ... + 1/t.

    Args:
        log_p: log-probabilities of the classes.
        t: number of terms, from 1 on.

    Example:
        >>> even = torch.zeros(1, 4).log_softmax(1)                   # 1 - p_k = 3/4
        >>> taylor_cross_entropy(even, t=2).tolist()                  # 3/4 + 9/32
        [[1.03125, 1.03125, 1.03125, 1.03125]]

    Source: Feng et al., IJCAI 2020, eq. 5.
    """
    rest = one_minus_exp(log_p)
    total = torch.zeros_like(rest)
    for i in range(t, 0, -1):  # Horner
        total = rest * (total + 1 / i)
    return total


def partially_huberised(log_p: LogProbs, *, tau: float, q: float = 0.0) -> PerClass:
    """Partially Huberised cross-entropy: -ln p_k where p_k > 1/tau, else its tangent there, -tau p_k + ln tau + 1.

    With q the same of generalised cross-entropy, (1 - p_k^q) / q, whose slope is -tau at p = tau^(1/(q-1)).

    Args:
        log_p: log-probabilities of the classes.
        tau: steepest slope in p, from 1 on.
        q: of generalised cross-entropy, below 1; 0: cross-entropy.

    Example:
        >>> even = torch.zeros(1, 4).log_softmax(1)                   # 1/4 is below 1/2: 1 + ln 2 - 1/2
        >>> [round(value, 4) for value in partially_huberised(even, tau=2.0)[0].tolist()]
        [1.1931, 1.1931, 1.1931, 1.1931]

    Source: Menon et al., ICLR 2020, definition 2.
    """
    corner = math.log(tau) / (q - 1)  # log p where the slope is -tau
    at_corner = -math.expm1(q * corner) / q if q else -corner
    steep = log_p <= corner
    line = -tau * log_p.exp() + (at_corner + (tau * math.exp(corner) if q else 1.0))
    curve = log_p.masked_fill(steep, 0.0)
    return torch.where(steep, line, -(q * curve).expm1() / q if q else -curve)


def piecewise_zero(log_p: LogProbs, *, c: float) -> PerClass:
    """Piecewise-zero cross-entropy: -ln p_k where p_k >= c, else 0 and without a gradient.

    Args:
        log_p: log-probabilities of the classes.
        c: from 0 to below 1; a label less plausible than c is given up.

    Example:
        >>> even = torch.zeros(1, 4).log_softmax(1)                   # p_k = 1/4
        >>> piecewise_zero(even, c=0.3).tolist()
        [[0.0, 0.0, 0.0, 0.0]]

    Source: arXiv:2511.16512.
    """
    given_up = log_p < (math.log(c) if c else -math.inf)
    return torch.where(given_up, 0.0, -log_p.masked_fill(given_up, 0.0))


@LOSSES.register("vce", paper="arXiv:2511.12143", symmetric=False, active=True, bounded=True, asymmetric="strictly")
class VCE(Loss):
    """Variation-bounded cross-entropy, see `variation_bounded`."""

    def __init__(self, a: float = 4.0, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.a = in_range("a", a, 0, above=True)

    def per_class(self, logits: Logits) -> PerClass:
        return variation_bounded(log_softmax(logits), a=self.a)


@LOSSES.register("taylor-ce", symmetric=False, active=True, bounded=True, asymmetric="strictly")
class TaylorCE(Loss):
    """Taylor cross-entropy, see `taylor_cross_entropy`."""

    def __init__(self, t: int = 2, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        if in_range("t", t, 1, 1000) != int(t):
            raise InputError(f"t must be a whole number, got t={t!r}")
        self.t = int(t)

    def per_class(self, logits: Logits) -> PerClass:
        return taylor_cross_entropy(log_softmax(logits), t=self.t)


@LOSSES.register(
    "phuber", symmetric=False, active=True, bounded=True, asymmetric="strictly", kinks="where p_k is 1/tau"
)
class PHuber(Loss):
    """Partially Huberised cross-entropy or generalised cross-entropy (loss=gce), see `partially_huberised`."""

    form_parameters = ("tau", "q")

    def __init__(self, tau: float = 2.0, loss: str | Loss = "ce", **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.tau = in_range("tau", tau, 1)
        self.loss = parse(loss) if isinstance(loss, str) else loss
        name = getattr(self.loss, "name", "")  # a sum has none
        q = getattr(self.loss, "q", 0.0 if name == "ce" else 1.0)
        if name not in ("ce", "gce") or q >= 1:
            raise InputError(f"phuber takes loss=ce or loss=gce(q=...) with q below 1, got loss={loss!s}")
        self.q = float(q)

    def per_class(self, logits: Logits) -> PerClass:
        return partially_huberised(log_softmax(logits), tau=self.tau, q=self.q)


@LOSSES.register(
    "piecewise-zero",
    paper="arXiv:2511.16512",
    symmetric=False,
    active=True,
    bounded=True,
    kinks="where p_k is c (a jump)",
    gives_up="where p_k is below c",
)
class PiecewiseZero(Loss):
    """Piecewise-zero cross-entropy, see `piecewise_zero`."""

    def __init__(self, c: float = 0.05, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.c = in_range("c", c, 0, 1, below=True)

    def per_class(self, logits: Logits) -> PerClass:
        return piecewise_zero(log_softmax(logits), c=self.c)
