"""The seam of an addition: what goes with any method, `jal-ce + sam(rho=0.05)`.

Additions belong to the optimiser's step, the loss or the choice of weights; they know nothing of the method.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from noiseproof.losses import Loss
from noiseproof.methods.base import Outputs, Task
from noiseproof.models import Network
from noiseproof.registry import Registry

__all__ = ["ADDITIONS", "Addition", "EpochEnd", "WeightCopies"]


@dataclass(frozen=True, eq=False)
class EpochEnd:
    """Facts of the end of an epoch.

    Args:
        epoch: from 0.
        outputs: of every network on the training set, where they were wanted; else empty.
        networks: those that train.
        predict: the method's prediction from logits of all members.
        refresh: computes the batch-norm statistics of a network anew from the training set.
    """

    epoch: int
    outputs: Sequence[Outputs]
    networks: Sequence[Network]
    predict: Callable[[Sequence[Tensor]], Tensor]
    refresh: Callable[[Network], None]


class Addition(nn.Module):
    """An addition to a method; its buffers are saved and restored with the weights."""

    name: ClassVar[str]
    captures: ClassVar[bool] = True
    """A step with it can be recorded as a CUDA graph."""
    distributes: ClassVar[bool] = True
    """It holds where several processes share the work."""

    def setup(self, task: Task, networks: Sequence[Network]) -> None:
        """Allocate buffers and copies of networks."""

    def change_loss(self, loss: Loss) -> Loss:
        """The loss that the method trains with."""
        return loss

    def kept(self, order: Tensor) -> Tensor:
        """The part of a random order of samples that is trained on."""
        return order

    def schedule_epoch(self, epoch: int) -> int:
        """The epoch whose learning rate is used in this epoch."""
        return epoch

    def second_gradient(self, networks: Sequence[Network], evaluate: Callable[[], None]) -> None:
        """Called with the gradients of a step in place; `evaluate` computes them anew at the current weights."""

    def after_step(self, networks: Sequence[Network], step: int) -> None:
        """Called after every update of the weights, counted from 0 over the whole training."""

    def wants_outputs(self, epoch: int) -> bool:
        """True if `epoch_end` needs the outputs of this epoch."""
        return False

    def epoch_end(self, end: EpochEnd) -> None:
        """Called after each epoch."""

    def members(self, networks: Sequence[Network]) -> Sequence[Network]:
        """Networks that predict in place of these."""
        return networks

    def __str__(self) -> str:
        return ADDITIONS.write(self)


class WeightCopies(Addition):
    """A copy of each network that predicts in its place."""

    def setup(self, task: Task, networks: Sequence[Network]) -> None:
        self.copies = nn.ModuleList(copy.deepcopy(network).requires_grad_(False) for network in networks)

    def members(self, networks: Sequence[Network]) -> Sequence[Network]:
        return list(self.copies)  # type: ignore[arg-type]


ADDITIONS: Registry[Addition] = Registry("addition", "methods")
