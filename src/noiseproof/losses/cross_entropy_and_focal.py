"""Cross-entropy and focal loss: active losses, quick to fit and not robust."""

from __future__ import annotations

from typing import Unpack

import torch
from torch import Tensor

from noiseproof.errors import in_range, true_or_false
from noiseproof.losses.base import LOSSES, Logits, LogProbs, Loss, Options, PerClass
from noiseproof.losses.stable import log_softmax, one_minus_exp

__all__ = ["CE", "FL", "cross_entropy", "focal_loss", "focal_weight"]


def cross_entropy(log_p: LogProbs) -> PerClass:
    """Cross-entropy: -log p_k. Infinite for a masked class.

    Example:
        >>> even = torch.zeros(1, 4).log_softmax(1)                   # p_k = 1/4
        >>> cross_entropy(even).exp().round(decimals=4).tolist()      # 1 / p_k
        [[4.0, 4.0, 4.0, 4.0]]
    """
    return -log_p


def focal_weight(log_p: LogProbs, *, gamma: float, detach: bool = False) -> Tensor:
    """(1 - p_k)^gamma: small for samples that fit already.

    Args:
        log_p: log-probabilities of the classes.
        gamma: from 0 on; 0 makes every weight 1.
        detach: hold the weight constant in the gradient, as all published code does.

    Example:
        >>> even = torch.zeros(1, 4).log_softmax(1)                   # 1 - p_k = 3/4
        >>> focal_weight(even, gamma=2.0).tolist()
        [[0.5625, 0.5625, 0.5625, 0.5625]]
    """
    rest = one_minus_exp(log_p)
    # Below the normal floats the slope, gamma (1 - p)^(gamma - 1), overflows, and weight times -log p is 0.
    normal = rest >= torch.finfo(rest.dtype).tiny
    weight = rest.where(normal, 1.0).pow(gamma).where(normal, 0.0)
    return weight.detach() if detach else weight


def focal_loss(log_p: LogProbs, *, gamma: float, detach: bool = False) -> PerClass:
    """Focal loss: (1 - p_k)^gamma * (-log p_k). Infinite for a masked class.

    The value near p_k = 1 is (1 - p_k)^(1 + gamma), so loss and slope are 0 there for every gamma.

    Args:
        log_p: log-probabilities of the classes.
        gamma: from 0 (cross-entropy) on; larger attends less to samples that fit.
        detach: the gradient of the published code, which holds the factor (1 - p_k)^gamma constant. Otherwise
            the true derivative.

    Example:
        >>> even = torch.zeros(1, 4).log_softmax(1)                   # 1 - p_k = 3/4
        >>> (focal_loss(even, gamma=2.0) / cross_entropy(even)).tolist()
        [[0.5625, 0.5625, 0.5625, 0.5625]]

    Source: Lin et al., ICCV 2017 (arXiv:1708.02002), as robust-loss papers use it with gamma = 0.5.
    """
    weight = focal_weight(log_p, gamma=gamma, detach=detach)
    masked = log_p.isneginf()
    return -(weight * log_p.masked_fill(masked, 0.0)).where(~masked, log_p)


@LOSSES.register("ce", symmetric=False, active=True, bounded=False, asymmetric="never")
class CE(Loss):
    """Cross-entropy, see `cross_entropy`."""

    def per_class(self, logits: Logits) -> PerClass:
        return cross_entropy(log_softmax(logits))


@LOSSES.register("fl", paper="arXiv:1708.02002", symmetric=False, active=True, bounded=False, asymmetric="never")
class FL(Loss):
    """Focal loss, see `focal_loss`."""

    def __init__(self, gamma: float = 0.5, detach: bool = False, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.gamma = in_range("gamma", gamma, 0)
        self.detach = true_or_false("detach", detach)

    def per_class(self, logits: Logits) -> PerClass:
        return focal_loss(log_softmax(logits), gamma=self.gamma, detach=self.detach)
