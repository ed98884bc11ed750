"""Relabelling: suspect labels replaced by the likeliest ones before training."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from noiseproof.losses import Loss
from noiseproof.methods.base import METHODS, Batch, Method, Preparing, Task
from noiseproof.methods.suspects import Suspect, suspect_of

__all__ = ["Relabel"]


@METHODS.register("relabel", paper="arXiv:2110.06283", cost=1.0)
class Relabel(Method):
    """Relabelling: a loss on labels of which the suspect ones are replaced by the likeliest, once before training.

    Args:
        loss: of each sample.
        by: knn, confident or aum, with parameters: by=knn(k=20).
        k, folds: of `by`, written beside it: by=knn, k=20.
    """

    positional: ClassVar[str] = "by"

    def __init__(
        self, loss: str | Loss = "ce", by: str | Suspect = "knn", k: int | None = None, folds: int | None = None
    ) -> None:
        super().__init__(loss)
        self.by, self.k, self.folds = suspect_of(by, k=k, folds=folds), None, None

    def setup(self, task: Task) -> None:
        self.register_buffer("labels", task.given.clone())

    def prepare(self, task: Task) -> Preparing:
        suspect, likely = yield from self.by.look(task)
        self.labels.copy_(torch.where(suspect, likely, task.given))  # type: ignore[operator]
        return None

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = batch.logits()
        return self.loss(logits, self.labels[batch.index]), logits  # type: ignore[index]
