"""Shared by the methods that train two networks: the forget rate, its ramp, and the choice of small losses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from noiseproof.errors import in_range
from noiseproof.losses import Loss
from noiseproof.methods.base import Batch, Method, Preparing, Task
from noiseproof.methods.transition_estimates import Matrix, transition_of

__all__ = ["Peers", "estimated_rate", "smallest"]


def smallest(losses: Tensor, count: int) -> Tensor:
    """Positions of the smallest losses, ties by position."""
    return torch.sort(losses.detach(), stable=True).indices[:count]


def estimated_rate(matrix: Tensor, given: Tensor) -> float:
    """Share of wrong labels by a transition matrix: 1 - sum_i prior_i T_ii, the prior solved from the given shares."""
    shares = given.bincount(minlength=len(matrix)).double().cpu() / len(given)
    matrix = matrix.double().cpu()
    prior = torch.linalg.lstsq(matrix.T, shares[:, None]).solution.squeeze(1).clamp_min(0)
    prior = prior / prior.sum() if prior.sum() > 0 else shares
    rate = float((1 - (prior * matrix.diagonal()).sum()).clamp(0, 1))
    return round(rate, 4)  # LAPACK's last bits depend on where the memory lies


class Peers(Method):
    """Two networks, and a share of samples that each step leaves out.

    Args:
        loss: of each sample.
        forget_rate: the share left out after the ramp: a number, `estimated` (by dual-T on a first network), the name
            of a transition matrix, or `oracle` for the true rate.
        ramp: epochs over which the share grows to it, or below 1 their share of the training.
        warmup: epochs of the first network that estimates, or below 1 the share of the training.
    """

    positional: ClassVar[str] = "forget_rate"
    networks = 2

    def __init__(
        self, loss: str | Loss = "ce", forget_rate: float | str = "estimated", ramp: float = 10, warmup: float = 0.1
    ) -> None:
        super().__init__(loss)
        self.forget_rate = forget_rate
        self._estimator: Matrix | None = None
        if isinstance(forget_rate, str):
            self._estimator = transition_of("dual-t" if forget_rate == "estimated" else forget_rate)
        else:
            self.forget_rate = in_range("forget_rate", forget_rate, 0, 1, below=True)
        self.ramp, self.warmup = in_range("ramp", ramp, 0), in_range("warmup", warmup, 0, above=True)

    def setup(self, task: Task) -> None:
        self.epochs = task.epochs
        rate = 0.0 if isinstance(self.forget_rate, str) else self.forget_rate
        self.register_buffer("rate", torch.tensor(rate, dtype=torch.float64, device="cpu"))

    def prepare(self, task: Task) -> Preparing:
        if self._estimator is not None:
            matrix, _ = yield from self._estimator.estimate(task, self.warmup)
            self.rate.fill_(min(estimated_rate(matrix, task.given), 0.95))  # type: ignore[operator]
        return None

    def kept(self, epoch: float, size: int) -> int:
        """Number of samples of a batch that are trained on in an epoch, at least one."""
        rate = float(self.rate)  # type: ignore[arg-type]
        ramp = self.ramp if self.ramp >= 1 or not self.ramp else max(1.0, self.ramp * self.epochs)
        share = rate if not ramp else rate * min(1.0, (int(epoch) + 1) / max(ramp - 1, 1))
        return max(1, math.floor((1 - share) * size + 1e-9))

    def crosswise(self, losses: Sequence[Tensor], count: int) -> Tensor:
        """Sum of both networks' mean losses, each on the samples that are small for the other."""
        if count >= len(losses[0]):
            return losses[0].mean() + losses[1].mean()
        first, second = (smallest(each, count) for each in losses)
        return losses[0][second].mean() + losses[1][first].mean()

    def both(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logits of the two networks."""
        return batch.logits(0), batch.logits(1)
