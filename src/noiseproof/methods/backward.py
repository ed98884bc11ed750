"""Backward correction: losses of all labels weighted by the inverse of the transition matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from noiseproof.errors import InputError
from noiseproof.methods.base import METHODS, Batch, Preparing, Task
from noiseproof.methods.forward import Corrected

__all__ = ["Backward"]


@METHODS.register("backward", paper="arXiv:1609.03683", cost=1.1)
class Backward(Corrected):
    """Backward correction: sum_j (T^-1)[y][j] L_j, unbiased for the loss on true labels; may be negative.

    Source: Patrini et al., CVPR 2017 (arXiv:1609.03683), theorem 1.
    """

    def setup(self, task: Task) -> None:
        super().setup(task)
        self.register_buffer("inverse", torch.eye(task.classes, device=task.device))

    def prepare(self, task: Task) -> Preparing:
        yield from super().prepare(task)
        try:
            inverse = torch.linalg.inv(self.matrix.double().cpu())
        except RuntimeError:
            raise InputError(f"the matrix of {self} has no inverse; use forward, which needs none") from None
        self.inverse.copy_(inverse)  # type: ignore[operator]
        return None

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = batch.logits()
        losses = self.loss.per_class(logits.float())
        return (losses * self.inverse[batch.given]).sum(1).mean(), logits  # type: ignore[index]
