r"""Losses divided by their sum over all labels (active), and the same of their mirror image (passive).

$L_k / \sum_j L_j$ is the share of label k in the sum, so all four are symmetric: the shares add up to 1, those of
the others to K - 1. A masked class has an infinite cross-entropy and with it the whole sum: its share is 1 (divided
among the masked), that of every other class 0 with no slope. The mirrored losses count it as p_min.

They need two classes or more.
"""

from __future__ import annotations

import math
from typing import Unpack

from torch import Tensor

from noiseproof.errors import InputError, in_range, true_or_false
from noiseproof.losses.base import LOSSES, Logits, LogProbs, Loss, Options, PerClass
from noiseproof.losses.cross_entropy_and_focal import cross_entropy, focal_loss, focal_weight
from noiseproof.losses.stable import HUGE, log_softmax, share, sum_of_others

__all__ = [
    "NCE",
    "NFL",
    "NNCE",
    "NNFL",
    "normalized_cross_entropy",
    "normalized_focal_loss",
    "normalized_negative_cross_entropy",
    "normalized_negative_focal_loss",
]


def normalized(losses: PerClass) -> PerClass:
    """Each label's share of the sum over all labels: L_k / sum_j L_j."""
    losses = losses.clamp(max=HUGE)
    return share(losses, sum_of_others(losses))


def mirrored(heights: PerClass) -> PerClass:
    """The share of the other labels: 1 - h_k / sum_j h_j."""
    return share(sum_of_others(heights), heights)


def normalized_cross_entropy(log_p: LogProbs) -> PerClass:
    """log p_k / sum_j log p_j, in [0, 1].

    Example:
        >>> import torch
        >>> normalized_cross_entropy(torch.zeros(1, 4).log_softmax(1)).tolist()
        [[0.25, 0.25, 0.25, 0.25]]

    Source: Ma et al., ICML 2020 (arXiv:2006.13554).
    """
    return normalized(cross_entropy(log_p))


def normalized_focal_loss(log_p: LogProbs, *, gamma: float, detach: bool = False) -> PerClass:
    """F_k / sum_j F_j with the focal loss F_k = -(1 - p_k)^gamma log p_k; in [0, 1].

    Args:
        log_p: log-probabilities of the classes.
        gamma: from 0 (normalized cross-entropy) on.
        detach: the gradient of the published code: every (1 - p_j)^gamma is held constant.

    Example:
        >>> import torch
        >>> normalized_focal_loss(torch.zeros(1, 4).log_softmax(1), gamma=0.5).tolist()
        [[0.25, 0.25, 0.25, 0.25]]

    Source: Ma et al., ICML 2020 (arXiv:2006.13554).
    """
    return normalized(focal_loss(log_p, gamma=gamma, detach=detach))


def normalized_negative_cross_entropy(log_p: LogProbs, *, p_min: float) -> PerClass:
    """1 - (A + log p_k) / sum_j (A + log p_j) with A = -log p_min and every p raised to p_min at least; in [0, 1].

    A + log p is how far a class is above p_min: the mirror image of cross-entropy. No slope below p_min.

    Args:
        log_p: log-probabilities of the classes.
        p_min: below 1/K. The JAL paper's code has 1e-8, that of ANL 1e-7.

    Example:
        >>> import torch
        >>> even = torch.zeros(1, 4).log_softmax(1)
        >>> normalized_negative_cross_entropy(even, p_min=1e-8).tolist()          # 1 - 1/4
        [[0.75, 0.75, 0.75, 0.75]]

    Source: Ye et al., NeurIPS 2023 (arXiv:2412.02373).
    """
    A = -log_of_p_min(p_min, log_p)
    return mirrored((A + log_p).clamp(min=0.0))


def normalized_negative_focal_loss(log_p: LogProbs, *, gamma: float, p_min: float, detach: bool = False) -> PerClass:
    """1 - (A - F_k) / sum_j (A - F_j), F_k = -(1 - p_k)^gamma log max(p_k, p_min), A = -(1 - p_min)^gamma log p_min.

    Args:
        log_p: log-probabilities of the classes.
        gamma: from 0 (normalized negative cross-entropy) on.
        p_min: below 1/K. The JAL paper's code has 1e-8, that of ANL 1e-7.
        detach: the gradient of the published code: every (1 - p_j)^gamma is held constant.

    Example:
        >>> import torch
        >>> normalized_negative_focal_loss(torch.zeros(1, 4).log_softmax(1), gamma=0.5, p_min=1e-8).tolist()
        [[0.75, 0.75, 0.75, 0.75]]

    Source: Ye et al., NeurIPS 2023 (arXiv:2412.02373).
    """
    log_p_min = log_of_p_min(p_min, log_p)
    F = -focal_weight(log_p, gamma=gamma, detach=detach) * log_p.clamp(min=log_p_min)
    less = log_p_min * math.expm1(gamma * math.log1p(-p_min))  # -log p_min - A: small, but counted K times
    return mirrored((-log_p_min - F) - less)


def log_of_p_min(p_min: float, log_p: Tensor) -> float:
    """log p_min, if some class is always above it."""
    if not p_min * log_p.shape[1] < 1:
        raise InputError(f"p_min must be below 1/K, here 1/{log_p.shape[1]}, got p_min={p_min!r}")
    return math.log(p_min)


@LOSSES.register("nce", paper="arXiv:2006.13554", symmetric=True, active=True, bounded=True)
class NCE(Loss):
    """Normalized cross-entropy, see `normalized_cross_entropy`."""

    def per_class(self, logits: Logits) -> PerClass:
        return normalized_cross_entropy(log_softmax(logits))


@LOSSES.register("nfl", paper="arXiv:2006.13554", symmetric=True, active=True, bounded=True)
class NFL(Loss):
    """Normalized focal loss, see `normalized_focal_loss`."""

    def __init__(self, gamma: float = 0.5, detach: bool = False, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.gamma = in_range("gamma", gamma, 0)
        self.detach = true_or_false("detach", detach)

    def per_class(self, logits: Logits) -> PerClass:
        return normalized_focal_loss(log_softmax(logits), gamma=self.gamma, detach=self.detach)


@LOSSES.register(
    "nnce", paper="arXiv:2412.02373", symmetric=True, active=False, bounded=True, kinks="where p_k = p_min"
)
class NNCE(Loss):
    """Normalized negative cross-entropy, see `normalized_negative_cross_entropy`."""

    def __init__(self, p_min: float = 1e-8, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.p_min = in_range("p_min", p_min, 0, 1, above=True, below=True)

    def per_class(self, logits: Logits) -> PerClass:
        return normalized_negative_cross_entropy(log_softmax(logits), p_min=self.p_min)


@LOSSES.register(
    "nnfl", paper="arXiv:2412.02373", symmetric=True, active=False, bounded=True, kinks="where p_k = p_min"
)
class NNFL(Loss):
    """Normalized negative focal loss, see `normalized_negative_focal_loss`."""

    def __init__(
        self, gamma: float = 0.5, p_min: float = 1e-8, detach: bool = False, **options: Unpack[Options]
    ) -> None:
        super().__init__(**options)
        self.gamma = in_range("gamma", gamma, 0)
        self.p_min = in_range("p_min", p_min, 0, 1, above=True, below=True)
        self.detach = true_or_false("detach", detach)

    def per_class(self, logits: Logits) -> PerClass:
        return normalized_negative_focal_loss(
            log_softmax(logits), gamma=self.gamma, p_min=self.p_min, detach=self.detach
        )
