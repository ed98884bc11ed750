"""Early stopping on given labels: the weights of the epoch that agrees best with held-out given labels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from noiseproof.data.dataset import stratified
from noiseproof.errors import InputError, in_range
from noiseproof.methods.additions.averages import average_into
from noiseproof.methods.additions.base import ADDITIONS, EpochEnd, WeightCopies
from noiseproof.methods.base import Task
from noiseproof.models import Network

__all__ = ["EarlyStop"]


@ADDITIONS.register("early-stop", paper="arXiv:2409.06830", cost=1.0)
class EarlyStop(WeightCopies):
    """Early stopping: the epoch with the best accuracy on held-out given labels predicts; the first of equals.

    A share of each given class is not trained on. Accuracy, not loss, selects: under noise that leaves the true label
    the most frequent one, the best epoch by noisy accuracy is near the best by clean accuracy.

    Args:
        share: of the training samples, held out.
    """

    def __init__(self, share: float = 0.1) -> None:
        super().__init__()
        self.share = in_range("share", share, 0, 0.5, above=True)

    def setup(self, task: Task, networks: Sequence[Network]) -> None:
        super().setup(task, networks)
        given = task.given.cpu().numpy()
        _, held_out = stratified(given, self.share)
        if not len(held_out):
            raise InputError(f"early-stop(share={self.share:g}): {len(given)} samples are too few to hold some out")
        chosen = np.zeros(len(given), dtype=bool)
        chosen[held_out] = True
        self.given = task.given
        self.register_buffer("held_out", torch.from_numpy(chosen).to(task.device))
        self.register_buffer("best_correct", torch.full((), -1, dtype=torch.int64, device=task.device))

    def kept(self, order: Tensor) -> Tensor:
        return order[~self.held_out[order]]  # type: ignore[index]

    def wants_outputs(self, epoch: int) -> bool:
        return True

    def epoch_end(self, end: EpochEnd) -> None:
        held_out: Tensor = self.held_out  # type: ignore[assignment]
        predicted = end.predict([each.logits[held_out] for each in end.outputs]).argmax(1)
        correct = (predicted == self.given[held_out]).sum()
        if correct > self.best_correct:  # type: ignore[operator]
            self.best_correct.copy_(correct)  # type: ignore[operator]
            for best, network in zip(self.copies, end.networks, strict=True):
                average_into(best, network, 0.0)
