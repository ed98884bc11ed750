"""T-revision: importance reweighting with a transition matrix that is revised while training."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from noiseproof.errors import in_range
from noiseproof.losses import Loss
from noiseproof.methods.base import METHODS, Batch, Group, Preparing, Task, epochs_of, per_sample
from noiseproof.methods.forward import Corrected
from noiseproof.methods.reweight import importance
from noiseproof.methods.transition_estimates import Matrix, normalised

__all__ = ["TRevision"]


@METHODS.register(
    "t-revision",
    paper="arXiv:1906.00189",
    cost=1.1,
    settings={"cifar10, cifar100": "lr=5e-7, warmup=20 (15) epochs, then 200 reweighted and 200 of revision"},
)
class TRevision(Corrected):
    """T-revision: reweighting from the first network's weights, then with T + D, D learned from zero.

    In the last part the gradient flows through the weights p_y / (p (T + D))_y. T + D is clipped at zero and its rows
    are normalised (the published code does neither; D stays small). One schedule serves both parts.

    Args:
        loss: of each sample.
        transition: the matrix T.
        lr: of D, with Adam.
        start: epochs of plain reweighting, or below 1 their share of the training.
        warmup: epochs of the first network, or below 1 the share of the training.

    Source: Xia et al., NeurIPS 2019 (arXiv:1906.00189), section 3.2.
    """

    captures = False

    def __init__(
        self,
        loss: str | Loss = "ce",
        transition: str | Matrix = "anchor",
        lr: float = 5e-7,
        start: float = 0.5,
        warmup: float = 0.1,
    ) -> None:
        super().__init__(loss, transition, warmup)
        self.lr, self.start = in_range("lr", lr, 0), in_range("start", start, 0)

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.first = epochs_of("start", self.start, task.epochs)
        self.slack = nn.Parameter(torch.zeros(task.classes, task.classes, device=task.device))

    def prepare(self, task: Task) -> Preparing:
        matrix, trained = yield from self.transition.estimate(task, self.warmup)
        self.matrix.copy_(matrix)  # type: ignore[operator]
        return None if trained is None else trained.weights

    def groups(self) -> list[Group]:
        return [Group([self.slack], self.lr, adam=True)]

    def revised(self) -> Tensor:
        """T + D as a matrix whose rows sum to one."""
        return normalised((self.matrix + self.slack).clamp_min(0))  # type: ignore[operator]

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = batch.logits()
        losses = per_sample(self.loss, logits, batch.given)
        if batch.epoch < self.first:
            weight = importance(logits, batch.given, self.matrix).detach()  # type: ignore[arg-type]
        else:
            weight = importance(logits, batch.given, self.revised())
        return (weight * losses).mean(), logits
