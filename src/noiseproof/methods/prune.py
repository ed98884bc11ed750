"""Pruning: training without the samples whose labels are suspect."""

from __future__ import annotations

import torch
from torch import Tensor

from noiseproof.errors import InputError
from noiseproof.methods.base import METHODS, Batch, Pass, Preparing, Task
from noiseproof.methods.suspects import SuspectMethod

__all__ = ["Prune"]


@METHODS.register(
    "prune",
    paper="arXiv:2110.06283, arXiv:1911.00068, arXiv:2001.10528",
    cost=2.0,
    settings={"cifar10, cifar100": "by=knn(k=10); by=confident(folds=5); by=aum with 150 epochs"},
)
class Prune(SuspectMethod):
    """Pruning: a loss on the samples that are not suspect, chosen once before training."""

    def setup(self, task: Task) -> None:
        self.register_buffer("kept", torch.ones(task.samples, dtype=torch.bool, device=task.device))

    def prepare(self, task: Task) -> Preparing:
        suspect, _ = yield from self.by.look(task)
        if bool(suspect.all()):
            raise InputError(f"{self} finds every label suspect; use another by")
        self.kept.copy_(~suspect)  # type: ignore[operator]
        return None

    def plan(self, order: Tensor, batch_size: int, epoch: int) -> list[Pass]:
        return [Pass(torch.split(order[self.kept[order]], batch_size))]  # type: ignore[index]

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = batch.logits()
        return self.loss(logits, batch.given), logits
