"""VolMinNet: a transition matrix of least volume, learned with the network."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from noiseproof.errors import in_range
from noiseproof.losses import Loss
from noiseproof.methods.base import METHODS, Batch, Group, Method, Task
from noiseproof.methods.forward import through

__all__ = ["VolMinNet", "default_init", "learned_matrix"]


def learned_matrix(w: Tensor) -> Tensor:
    """Rows of I + sigmoid(w) off the diagonal, divided by their sums; the diagonal leads in each row.

    Example:
        >>> learned_matrix(torch.full((10, 10), -2.0)).diagonal()[0].item()
        0.4824...
    """
    eye = torch.eye(len(w), dtype=w.dtype, device=w.device)
    rows = eye + w.sigmoid() * (1 - eye)
    return rows / rows.sum(1, keepdim=True)


def default_init(classes: int) -> float:
    """-w at the start, so that T_ii is about .48: 2 for 10 classes, 4.5 for 100, as published."""
    share = min(0.5, 1.0728 / max(classes - 1, 1))
    return round(math.log((1 - share) / share), 1)


@METHODS.register(
    "volminnet",
    paper="arXiv:2102.02400",
    cost=1.0,
    settings={
        "cifar10": "lam=1e-4, init=2; w by SGD lr .01 momentum .9",
        "cifar100": "lam=1e-4, init=4.5; w by Adam lr .01",
    },
)
class VolMinNet(Method):
    """VolMinNet: the loss of ln(p T) plus lam ln |det T|, T learned with the weights; p predicts.

    Args:
        loss: of each sample.
        lam: factor of the volume.
        init: w starts at -init off the diagonal; None: 2 for 10 classes, 4.5 for 100.
        lr: of w, SGD with momentum .9, on the schedule of the weights.

    Source: Li et al., ICML 2021 (arXiv:2102.02400), eq. 5.
    """

    captures = True

    def __init__(self, loss: str | Loss = "ce", lam: float = 1e-4, init: float | None = None, lr: float = 0.01) -> None:
        super().__init__(loss)
        self.lam, self.lr = in_range("lam", lam, 0), in_range("lr", lr, 0)
        self.init = None if init is None else in_range("init", init, -100, 100)

    def setup(self, task: Task) -> None:
        init = default_init(task.classes) if self.init is None else self.init
        self.w = nn.Parameter(torch.full((task.classes, task.classes), -float(init), device=task.device))

    def groups(self) -> list[Group]:
        return [Group([self.w], self.lr, momentum=0.9, follows=True)]

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits, matrix = batch.logits(), learned_matrix(self.w)
        return self.loss(through(logits, matrix), batch.given) + self.lam * matrix.slogdet().logabsdet, logits
