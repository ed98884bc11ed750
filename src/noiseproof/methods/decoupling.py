"""Decoupling: two networks that learn only where they disagree."""

from __future__ import annotations

from torch import Tensor

from noiseproof.errors import in_range
from noiseproof.losses import Loss
from noiseproof.methods.base import METHODS, Batch, Method, Task, epochs_of, per_sample

__all__ = ["Decoupling"]


@METHODS.register("decoupling", paper="arXiv:1706.02613", cost=2.0)
class Decoupling(Method):
    """Decoupling: after `start` epochs both networks learn from the samples whose two predictions differ.

    The sum of their losses is divided by max(B / 10, their number).

    Args:
        loss: of each sample.
        start: epochs on all samples first, or below 1 their share of the training.

    Source: Malach & Shalev-Shwartz, NeurIPS 2017 (arXiv:1706.02613), algorithm 1.
    """

    networks = 2

    def __init__(self, loss: str | Loss = "ce", start: float = 0.1) -> None:
        super().__init__(loss)
        self.start = in_range("start", start, 0)

    def setup(self, task: Task) -> None:
        self.first = epochs_of("start", self.start, task.epochs)

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        one, other = batch.logits(0), batch.logits(1)
        losses = per_sample(self.loss, one, batch.given) + per_sample(self.loss, other, batch.given)
        if batch.epoch < self.first:
            return losses.mean(), one
        differ = (one.argmax(1) != other.argmax(1)).to(losses.dtype)
        return (losses * differ).sum() / differ.sum().clamp_min(0.1 * len(losses)), one
