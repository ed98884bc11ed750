"""Averages of the weights: exponential (EMA) and uniform over the last epochs (SWA)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import nn

from noiseproof.errors import InputError, in_range
from noiseproof.methods.additions.base import ADDITIONS, EpochEnd, WeightCopies
from noiseproof.methods.base import Task, epochs_of
from noiseproof.models import Network

__all__ = ["EMA", "SWA", "average_into"]


@torch.no_grad()
def average_into(average: nn.Module, network: nn.Module, decay: float) -> None:
    """average <- decay average + (1 - decay) network, buffers of floating type included; decay 0 copies."""
    for kept, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if decay and kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


@ADDITIONS.register("ema", paper="OpenReview 2M9CUnYnBA", cost=1.0)
class EMA(WeightCopies):
    """Exponential moving average of the weights, which predicts.

    Every so many steps w' <- d w' + (1-d) w with d = min(decay, (t+1)/(t+10)) at update t, so the first weights are
    forgotten soon. Running statistics of batch normalisation are averaged alike.

    Args:
        decay: d, from 0 to below 1; 0 copies the weights.
        every: steps between two updates.

    Source: Morales-Brotons et al., TMLR 2024: every 16 steps, decay .968 to .998.
    """

    positional: ClassVar[str] = "decay"

    def __init__(self, decay: float = 0.998, every: int = 16) -> None:
        super().__init__()
        self.decay = in_range("decay", decay, 0, 1, below=True)
        self.every = int(in_range("every", every, 1))

    def after_step(self, networks: Sequence[Network], step: int) -> None:
        if (step + 1) % self.every:
            return
        update = step // self.every
        decay = min(self.decay, (update + 1) / (update + 10))
        for average, network in zip(self.copies, networks, strict=True):
            average_into(average, network, decay)


@ADDITIONS.register("swa", paper="arXiv:1803.05407", cost=1.3)
class SWA(WeightCopies):
    """Stochastic weight averaging: the uniform mean of the weights after each of the last epochs, which predicts.

    The learning rate stays at its value of the first averaged epoch. Batch-norm statistics are computed anew from the
    training set after each average.

    Args:
        start: first epoch whose weights count, or below 1 the share of the training before it.

    Source: Izmailov et al., UAI 2018.
    """

    def __init__(self, start: float = 0.75) -> None:
        super().__init__()
        self.start = in_range("start", start, 0)

    def setup(self, task: Task, networks: Sequence[Network]) -> None:
        super().setup(task, networks)
        self.first = epochs_of("start", self.start, task.epochs)
        if self.start < 1:
            self.first = min(self.first, task.epochs - 1)  # a share of the training leaves at least its last epoch
        if self.first >= task.epochs:
            raise InputError(f"swa(start={self.start:g}) begins after the last of {task.epochs} epochs; use start=0.75")

    def schedule_epoch(self, epoch: int) -> int:
        return min(epoch, self.first)

    def epoch_end(self, end: EpochEnd) -> None:
        count = max(0, end.epoch - self.first)  # epochs in the average so far
        for average, network in zip(self.copies, end.networks, strict=True):
            average_into(average, network, count / (count + 1))
            if count:
                end.refresh(average)  # type: ignore[arg-type]
