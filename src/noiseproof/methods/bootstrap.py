"""Bootstrapping: the given label mixed with what the network believes."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from noiseproof.errors import in_range, one_of
from noiseproof.losses import Loss
from noiseproof.methods.base import METHODS, Batch, Method, per_sample

__all__ = ["Bootstrap"]


@METHODS.register(
    "bootstrap",
    paper="arXiv:1412.6596",
    cost=1.0,
    neutral="bootstrap(beta=1)",
    settings={"the paper": "soft beta=0.95, hard beta=0.8"},
)
class Bootstrap(Method):
    """Bootstrapping: the loss against beta e_y + (1-beta) q, q the prediction (soft) or its largest class (hard).

    q is held constant in the gradient.

    Args:
        loss: of each possible label.
        beta: share of the given label.
        kind: soft or hard.

    Source: Reed et al., ICLR 2015 workshop (arXiv:1412.6596), eq. 6 and 7.
    """

    positional: ClassVar[str] = "kind"
    captures = distributes = True

    def __init__(self, loss: str | Loss = "ce", beta: float = 0.8, kind: str = "hard") -> None:
        super().__init__(loss)
        self.beta = in_range("beta", beta, 0, 1)
        self.kind = one_of("kind", kind, ("soft", "hard"))

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = batch.logits()
        value = self.loss(logits, batch.given)
        if self.beta == 1:
            return value, logits
        if self.kind == "hard":
            own = per_sample(self.loss, logits, logits.detach().argmax(1)).mean()
        else:
            p = logits.detach().float().softmax(1)
            own = self.loss(logits, p.to(logits.dtype))
        return self.beta * value + (1 - self.beta) * own, logits
