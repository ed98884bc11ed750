"""mixup: convex combinations of samples and of their losses."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from noiseproof.errors import in_range
from noiseproof.losses import Loss
from noiseproof.methods.base import METHODS, Batch, Method

__all__ = ["Mixup", "draw_mix", "mix"]


def draw_mix(generator: torch.Generator, count: int, alpha: float, *, mostly_own: bool = False) -> tuple[float, Tensor]:
    """A share l ~ Beta(alpha, alpha), or max(l, 1-l), and a permutation of a batch, int64 (count,)."""
    seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
    draws = np.random.Generator(np.random.Philox(key=seed))
    share = float(draws.beta(alpha, alpha))
    share = max(share, 1 - share) if mostly_own else share
    return share, torch.from_numpy(draws.permutation(count)).to(generator.device)


def mix(values: Tensor, share: float, partner: Tensor) -> Tensor:
    """share x_i + (1 - share) x_j of each row i and its partner j.

    Example:
        >>> mix(torch.tensor([0.0, 8.0]), 0.75, torch.tensor([1, 0])).tolist()
        [2.0, 6.0]
    """
    return share * values + (1 - share) * values[partner]


@METHODS.register(
    "mixup",
    paper="arXiv:1710.09412",
    cost=1.0,
    neutral="mixup(alpha=0)",
    settings={"cifar10": "alpha=1, lr .1 (x.1 at 100, 150 of 200 epochs), weight decay 1e-4"},
)
class Mixup(Method):
    """mixup: l L(z, y) + (1-l) L(z, y') on logits z of l x + (1-l) x', one l ~ Beta(alpha, alpha) a batch.

    Args:
        loss: of each sample.
        alpha: of the Beta distribution; 0 mixes nothing.

    Source: Zhang et al., ICLR 2018 (arXiv:1710.09412); facebookresearch/mixup-cifar10.
    """

    distributes = True

    def __init__(self, loss: str | Loss = "ce", alpha: float = 1.0) -> None:
        super().__init__(loss)
        self.alpha = in_range("alpha", alpha, 0)

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        if not self.alpha:
            logits = batch.logits()
            return self.loss(logits, batch.given), logits
        share, partner = draw_mix(batch.draw(), len(batch.given), self.alpha)
        logits = batch.networks[0](mix(batch.inputs, share, partner))
        value = share * self.loss(logits, batch.given) + (1 - share) * self.loss(logits, batch.given[partner])
        return value, logits
