"""LT-APL: an active-passive loss on the Student-t likelihood of class centres."""

from __future__ import annotations

import torch
from torch import Tensor

from noiseproof.errors import in_range
from noiseproof.losses import Loss
from noiseproof.methods.base import METHODS, Batch, Method
from noiseproof.models import Network, StudentHead

__all__ = ["LTAPL"]


@METHODS.register(
    "lt-apl",
    paper="TPAMI 46(6), 2024",
    cost=1.0,
    settings={
        "cifar10": "alpha=0.1, lam=0.05 (symmetric 0.8: alpha=0.01, lam=0.001), Adam 1e-3",
        "cifar100": "alpha=0.05, lam=0.05, Adam 1e-3",
    },
)
class LTAPL(Method):
    """LT-APL: a loss on the logits of a Student-t head, and half the distance to the given class's centre.

    Args:
        loss: of the head's logits.
        alpha: margin of the given class, in training only.
        lam: factor of the centre term.

    Source: Zhang et al., TPAMI 46(6), 2024; see `noiseproof.models.StudentHead` for the equations.
    """

    captures = True

    def __init__(self, loss: str | Loss = "nce + 10*rce", alpha: float = 0.1, lam: float = 0.05) -> None:
        super().__init__(loss)
        self.alpha, self.lam = in_range("alpha", alpha, 0), in_range("lam", lam, 0)

    def adapt(self, network: Network, classes: int, generator: torch.Generator) -> None:
        head = StudentHead(network.width, classes, alpha=self.alpha, lam=self.lam)
        head.initialise(generator)
        network.fc = head

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        network = batch.modules[0]
        head = network.fc
        assert isinstance(head, StudentHead)
        logits, centre_term = head.training_scores(batch.features(), batch.given)
        return self.loss(logits, batch.given) + centre_term, logits
