"""Outcome of a run: accuracies, curves, health and, on request, outputs of every sample."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof.data.pipeline.crops_and_flips import Augment
from noiseproof.features import Extractor
from noiseproof.train import inference
from noiseproof.train.health import LIMIT, health

__all__ = ["Outcome", "outcome_of"]

_HURRIED = 100  # samples that health looks at where training was stopped

# `training` below is a `loop.Training`, which imports this module.


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
        stopped_after: steps after which training ended before its last epoch was whole; None: it was.
        augment: the preprocessing that the model's inputs had, with the mean and std that were measured.
        extractor: fitted, which made the vectors that the model takes; None where it takes the data themselves.
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
    extractor: Extractor | None = None
    stopped_after: int | None = None


def outcome_of(training: Any, *, keep_outputs: bool = False) -> Outcome:
    """The outcome of a run so far."""
    team, config = training.team, training.config
    also = {}
    for name, split in training.data.also.items():
        correct, _ = inference.count_correct(training.predictor, training.as_they_are(split), split.given, config)
        also[name] = 100 * team.all_reduce(correct).item() / len(split)
    return Outcome(
        status="done" if training.diverged_at is None else "diverged",
        accuracy=training.curves["test_accuracy"][-1],
        curves=training.curves,
        precision=config.precision,
        mode=training.mode,
        device=str(config) if team.size == 1 else f"{team.size} x {config}",
        seconds=sum(training.curves["seconds"]),
        model=training.predictor.to(memory_format=torch.contiguous_format),
        also=also,
        health=team.broadcast(partial(_health, training)),
        outputs=_outputs(training) if keep_outputs and team.rank == 0 else None,
        diverged_at=training.diverged_at,
        notes=training.notes,
        augment=training.augment,
        extractor=training.extractor,
        stopped_after=training.stopped_after,
    )


def _health(training: Any) -> dict[str, Any]:
    given, split = training.given, training.data.train
    limit = LIMIT if training.stopped_after is None else _HURRIED
    chosen = torch.arange(0, len(given), math.ceil(len(given) / limit), device="cpu")
    _, logits = training.judged(split.take(chosen.tolist()))
    chosen = chosen.to(given.device)
    clean = None if split.clean is None else split.clean.to(logits.device)[chosen]
    return health(training.loss, logits, given[chosen], clean)


def _outputs(training: Any) -> dict[str, Tensor]:
    train, test = training.data.train, training.data.test
    _, train_logits = training.judged(train)
    test_features, test_logits = training.judged(test)
    p = train_logits.softmax(1)
    outputs = {
        "train_scores": train_logits,
        "train_probability_given": p.gather(1, training.given[:, None]).squeeze(1),
        "train_max_probability": p.amax(1),
        "test_scores": test_logits,
        "test_features": test_features,
        "test_clean": test.given if test.clean is None else test.clean,
    }
    if train.clean is not None:
        outputs["flipped"] = training.given.cpu() != train.clean
    return {name: tensor.cpu().contiguous() for name, tensor in outputs.items()}
