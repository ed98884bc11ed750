"""Label smoothing of any loss, positive and negative."""

from __future__ import annotations

import math

from noiseproof.errors import in_range
from noiseproof.losses import Loss
from noiseproof.losses.types import Logits, PerClass
from noiseproof.methods.additions.base import ADDITIONS, Addition

__all__ = ["Smooth", "Smoothed"]


class Smoothed(Loss):
    """(1 - r) L_y + r mean_k L_k of a loss L, for any r up to 1; negative r pushes away from the other labels.

    Example:
        >>> import torch
        >>> from noiseproof import losses
        >>> Smoothed(losses.parse("ce"), -0.6)(torch.tensor([[2.0, 1.0, 0.1, -1.0]]), torch.tensor([1])).item()
        1.16431...
    """

    def __init__(self, loss: Loss, r: float) -> None:
        super().__init__()
        self.of, self.r = loss, r

    def per_class(self, logits: Logits) -> PerClass:
        values = self.of.per_class(logits)
        return (1 - self.r) * values + self.r * values.mean(1, keepdim=True)


@ADDITIONS.register("smooth", paper="arXiv:2106.04149", cost=1.0)
class Smooth(Addition):
    """Label smoothing of the method's loss: (1 - r) L_y + r mean_k L_k.

    With r < 0 (negative smoothing) it equals backward correction by symmetric noise of rate eta:
    r = -Ke / (1 - Ke), e = eta / (K - 1); unbounded below for losses without an upper bound.

    Args:
        r: up to 1; published from -8 to 0.8.

    Source: Wei et al., ICML 2022 (arXiv:2106.04149), eq. 1.
    """

    def __init__(self, r: float = 0.1) -> None:
        super().__init__()
        self.r = in_range("r", r, -math.inf, 1)

    def change_loss(self, loss: Loss) -> Loss:
        return Smoothed(loss, self.r) if self.r else loss
