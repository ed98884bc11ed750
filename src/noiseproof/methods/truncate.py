"""Truncated loss: samples that the network finds implausible are left out, and looked at again later."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from noiseproof.errors import in_range
from noiseproof.losses import Loss
from noiseproof.losses.power import GCE
from noiseproof.methods.base import METHODS, Batch, Method, Outputs, Task, epochs_of, per_sample
from noiseproof.models import Network

__all__ = ["Truncate"]


@METHODS.register(
    "truncate",
    paper="arXiv:1805.07836",
    cost=1.0,
    neutral="truncate(loss=ce, start=1000000)",
    settings={
        "cifar10": "loss=gce(q=0.7), k=0.5, start=40 of 120 epochs, every 10",
        "cifar100": "loss=gce(q=0.7), k=0.5, start=80 of 150 epochs, every 10",
    },
)
class Truncate(Method):
    """Truncated loss: mean of w_i (L_i - L at p = k), w_i = 1 where p_y > k at the latest pruning, else 0.

    Dropped samples count in the mean. L at p = k, a constant, is subtracted for loss=gce only, as published. The
    samples are chosen at the end of epoch `start` and every so many epochs after it, by the current network without
    augmentation. (The published code takes the network that is best on test data.)

    Args:
        loss: of each sample.
        k: smallest probability of the given label that is kept.
        start: epochs before the first pruning, or below 1 their share.
        every: epochs between two prunings.

    Source: Zhang & Sabuncu, NeurIPS 2018 (arXiv:1805.07836), section 3.3.
    """

    def __init__(self, loss: str | Loss = "gce", k: float = 0.5, start: float = 40, every: int = 10) -> None:
        super().__init__(loss)
        self.k = in_range("k", k, 0, 1, below=True)
        self.start, self.every = in_range("start", start, 0), int(in_range("every", every, 1))

    def setup(self, task: Task) -> None:
        self.first = max(1, epochs_of("start", self.start, task.epochs))
        self.given = task.given
        self.at_k = (1 - self.k**self.loss.q) / self.loss.q if isinstance(self.loss, GCE) else 0.0
        self.register_buffer("kept", torch.ones(task.samples, dtype=torch.bool, device=task.device))

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = batch.logits()
        if batch.epoch < self.first:
            return self.loss(logits, batch.given) - self.at_k, logits
        losses = per_sample(self.loss, logits, batch.given) - self.at_k
        return (losses * self.kept[batch.index]).mean(), logits  # type: ignore[index]

    def wants_outputs(self, epoch: int) -> bool:
        return epoch + 1 >= self.first and (epoch + 1 - self.first) % self.every == 0

    def epoch_end(self, epoch: int, outputs: Sequence[Outputs], networks: Sequence[Network]) -> None:
        if self.wants_outputs(epoch):
            p = outputs[0].logits.softmax(1).gather(1, self.given[:, None]).squeeze(1)
            self.kept.copy_(p > self.k)  # type: ignore[operator]
