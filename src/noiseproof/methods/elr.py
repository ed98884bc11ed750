"""ELR: early-learning regularisation."""

from __future__ import annotations

import torch
from torch import Tensor

from noiseproof.errors import in_range
from noiseproof.losses import Loss
from noiseproof.methods.base import METHODS, Batch, Method, Task

__all__ = ["CLAMP", "ELR", "agreement_penalty", "clamped"]

CLAMP = 1e-4  # probabilities lie in [CLAMP, 1 - CLAMP] where the method uses them, as published


def clamped(logits: Tensor) -> Tensor:
    """Softmax probabilities, clamped to [1e-4, 1 - 1e-4]; a clamped entry has no gradient."""
    return logits.float().softmax(1).clamp(CLAMP, 1 - CLAMP)


def agreement_penalty(target: Tensor, p: Tensor) -> Tensor:
    """mean ln(1 - <t, p>): falls as predictions agree with their targets.

    Example:
        >>> agreement_penalty(torch.tensor([[0.3, 0.0]]), torch.tensor([[1.0, 0.0]])).exp().item().__round__(4)
        0.7
    """
    return (1 - (target * p).sum(1)).log().mean()


@METHODS.register(
    "elr",
    paper="arXiv:2007.00151",
    cost=1.0,
    neutral="elr(lam=0)",
    settings={
        "cifar10": "beta=0.7, lam=3 (asymmetric: beta=0.9, lam=1); lr .02, weight decay 1e-3, ResNet-34",
        "cifar100": "beta=0.9, lam=7; lr .02, weight decay 1e-3, ResNet-34",
    },
)
class ELR(Method):
    """Early-learning regularisation: a loss, and lam mean ln(1 - <t_i, p_i>) with a running average t_i of p_i.

    For the samples of a batch t_i <- beta t_i + (1-beta) p_i / sum p_i, then the penalty; p is clamped to
    [1e-4, 1 - 1e-4], t starts at 0. The loss may become negative: the penalty reaches about lam ln(K 1e-4).

    Args:
        loss: of each sample.
        beta: weight of the past in t, from 0 to below 1.
        lam: factor of the penalty.

    Source: Liu et al., NeurIPS 2020, eq. 6; shengliu66/ELR.
    """

    captures = True

    def __init__(self, loss: str | Loss = "ce", beta: float = 0.7, lam: float = 3.0) -> None:
        super().__init__(loss)
        self.beta, self.lam = in_range("beta", beta, 0, 1, below=True), in_range("lam", lam, 0)

    def setup(self, task: Task) -> None:
        self.register_buffer("targets", torch.zeros(task.samples, task.classes, device=task.device))

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = batch.logits()
        value = self.loss(logits, batch.given)
        if not self.lam:
            return value, logits
        p = clamped(logits)
        targets: Tensor = self.targets  # type: ignore[assignment]
        target = targets[batch.index]
        if not batch.again:
            now = p.detach()
            target = self.beta * target + (1 - self.beta) * now / now.sum(1, keepdim=True)
            targets[batch.index] = target
        return value + self.lam * agreement_penalty(target, p), logits
