"""The plain method: a loss of each sample on its own."""

from __future__ import annotations

from torch import Tensor

from noiseproof.losses import Loss
from noiseproof.methods.base import METHODS, Batch, Method

__all__ = ["Plain"]


@METHODS.register("plain", cost=1.0, neutral="plain")
class Plain(Method):
    """A loss alone. A loss text is short for it: `jal-ce`, `nce + amse(a=30)`."""

    captures = distributes = takes_soft = True

    def __init__(self, loss: str | Loss = "ce") -> None:
        super().__init__(loss)

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = batch.logits()
        return self.loss(logits, batch.targets), logits

    def __str__(self) -> str:
        return " + ".join([str(self.loss), *map(str, self.additions)])
