"""SELC: self-ensemble label correction."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from noiseproof.errors import in_range
from noiseproof.losses import Loss
from noiseproof.methods.base import METHODS, Batch, Method, Task, epochs_of

__all__ = ["SELC"]


@METHODS.register(
    "selc",
    paper="IJCAI 2022 (arXiv:2205.01156)",
    cost=1.0,
    neutral="selc(start=1000000)",
    settings={
        "cifar10": "alpha=0.9, start=40 (symmetric .4, .6: 30) of 200 epochs; ResNet-34, lr .02, weight decay 1e-3",
        "cifar100": "alpha=0.9, start=30, 20, 30, 40 (symmetric .2 to .8), 20 (asymmetric)",
    },
)
class SELC(Method):
    """Self-ensemble label correction: targets t_i <- alpha t_i + (1-alpha) p_i, from the given label on.

    The first epochs train on given labels; then the loss is taken against t_i, updated before use.

    Args:
        loss: of each possible label.
        alpha: weight of the past in t.
        start: epochs on given labels first, or below 1 their share of the training.

    Source: Lu et al., IJCAI 2022, eq. 4; MacLLL/SELC.
    """

    def __init__(self, loss: str | Loss = "ce", alpha: float = 0.9, start: float = 40) -> None:
        super().__init__(loss)
        self.alpha, self.start = in_range("alpha", alpha, 0, 1), in_range("start", start, 0)

    def setup(self, task: Task) -> None:
        self.first = epochs_of("start", self.start, task.epochs)
        self.register_buffer("targets", F.one_hot(task.given, task.classes).float())

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = batch.logits()
        if batch.epoch < self.first:
            return self.loss(logits, batch.given), logits
        targets: Tensor = self.targets  # type: ignore[assignment]
        target = targets[batch.index]
        if not batch.again:
            p = logits.detach().float().softmax(1)
            target = self.alpha * target + (1 - self.alpha) * p
            targets[batch.index] = target
        return self.loss(logits.float(), target), logits
