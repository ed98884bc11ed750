"""Relabelling: suspect labels replaced by the likeliest ones before training."""

from __future__ import annotations

import torch
from torch import Tensor

from noiseproof.methods.base import METHODS, Batch, Preparing, Task
from noiseproof.methods.suspects import SuspectMethod

__all__ = ["Relabel"]


@METHODS.register("relabel", paper="arXiv:2110.06283", cost=1.0)
class Relabel(SuspectMethod):
    """Relabelling: a loss on labels of which the suspect ones are replaced by the likeliest, once before training."""

    def setup(self, task: Task) -> None:
        self.register_buffer("labels", task.given.clone())

    def prepare(self, task: Task) -> Preparing:
        suspect, likely = yield from self.by.look(task)
        self.labels.copy_(torch.where(suspect, likely, task.given))  # type: ignore[operator]
        return None

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = batch.logits()
        return self.loss(logits, self.labels[batch.index]), logits  # type: ignore[index]
