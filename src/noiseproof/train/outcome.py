"""Outcome of a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from noiseproof.data.pipeline.augment import Augment

__all__ = ["Outcome"]


@dataclass
class Outcome:
    """Outcome of a run.

    Attributes:
        status: "done", or "diverged" when the loss was no finite number; `diverged_at` is then the step, from 0.
        accuracy: test accuracy of the last epoch, percent.
        curves: one value an epoch: `test_accuracy`, `train_accuracy` (on the given labels, as trained, percent),
            `train_loss` (the method's loss without its L1 penalty), `seconds`.
        also: last-epoch accuracy on the data set's further test splits, percent.
        health: how the training set was fitted, see `noiseproof.train.health`.
        outputs: on request, of the last epoch and on the CPU: `train_scores` and `test_scores` (N, K),
            `train_probability_given`, `train_max_probability`, `flipped` (where the truth is known), `test_features`,
            `test_clean`.
        notes: what a reader of the result has to know, such as where a stopped run went on.
        model: takes normalised inputs; `artifacts.of_outcome` makes the model that takes raw ones.
        augment: the preprocessing that the model's inputs had, with the mean and std that were measured.
    """

    status: str
    accuracy: float
    curves: dict[str, list[float]]
    precision: str
    mode: str
    device: str
    seconds: float
    model: nn.Module
    also: dict[str, float] = field(default_factory=dict)
    health: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Tensor] | None = None
    diverged_at: int | None = None
    notes: tuple[str, ...] = ()
    augment: Augment | None = None
