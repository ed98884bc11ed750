"""Co-teaching+: co-teaching among the samples on which the networks disagree."""

from __future__ import annotations

from torch import Tensor

from noiseproof.errors import in_range
from noiseproof.losses import Loss
from noiseproof.methods.base import METHODS, Batch, Task, epochs_of, per_sample
from noiseproof.methods.two_networks import Peers

__all__ = ["CoTeachingPlus"]


@METHODS.register(
    "co-teaching-plus",
    paper="arXiv:1901.04215",
    cost=2.1,
    settings={"cifar10": "start=20", "cifar100": "start=5", "both": "forget rate = noise rate, ramp=10 of 200 epochs"},
)
class CoTeachingPlus(Peers):
    """Co-teaching+: after `start` epochs of co-teaching, the same among samples whose two predictions differ.

    A batch without disagreement changes nothing. (The published code takes the softmax twice and divides by the
    number of kept samples twice; this is the paper's method.)

    Args:
        start: epochs of co-teaching first, or below 1 their share of the training.

    Source: Yu et al., ICML 2019 (arXiv:1901.04215), algorithm 1.
    """

    def __init__(
        self,
        loss: str | Loss = "ce",
        forget_rate: float | str = "estimated",
        ramp: float = 10,
        start: float = 20,
        warmup: float = 0.1,
    ) -> None:
        super().__init__(loss, forget_rate, ramp, warmup)
        self.start = in_range("start", start, 0)

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.first = epochs_of("start", self.start, task.epochs)

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = self.both(batch)
        losses = [per_sample(self.loss, each, batch.given) for each in logits]
        if batch.epoch >= self.first:
            differ = (logits[0].argmax(1) != logits[1].argmax(1)).nonzero().squeeze(1)
            if not len(differ):
                return losses[0].detach().sum() * 0, logits[0]  # no gradient, so no step
            losses = [each[differ] for each in losses]
        return self.crosswise(losses, self.kept(batch.epoch, len(losses[0]))), logits[0]
