"""Choose among methods without a clean label: by accuracy on held-out given labels.

Every candidate is trained on the same part of the training split and judged by the labels that the rest was given.
Neither clean labels nor the test split can be seen: they are taken away before anything is trained.

It ranks fairly where the noise does not depend on what the model learns: if wrong labels are spread evenly or the clean
label dominates, the method that is right more often also agrees more often with given labels.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from noiseproof import models
from noiseproof.data import Data, Split
from noiseproof.data.dataset import stratified
from noiseproof.errors import DataError, InputError
from noiseproof.noise import NoisyLabels
from noiseproof.recipes import Method, Recipe
from noiseproof.recipes.content import method_content, recipe_content
from noiseproof.runtime.own_code_hash import code_of
from noiseproof.storage import files
from noiseproof.train import fit

__all__ = ["Choice", "Trial", "blinded", "tune"]

Progress = Callable[[str, float], object]


@dataclass(frozen=True)
class Trial:
    """One candidate: its name, its accuracy on held-out given labels (percent) and that number's standard error."""

    method: str
    accuracy: float
    error: float
    status: str


@dataclass(frozen=True)
class Choice:
    """The candidates, best first; `method` is the winner's name."""

    trials: tuple[Trial, ...]
    held_out: int
    """Number of samples they were judged on."""

    @property
    def method(self) -> str:
        """The best candidate."""
        return self.trials[0].method

    @property
    def tied(self) -> tuple[str, ...]:
        """Candidates within one standard error of the best, the best among them."""
        best = self.trials[0]
        return tuple(one.method for one in self.trials if one.accuracy >= best.accuracy - best.error)

    def __str__(self) -> str:
        lines = [f"accuracy on {self.held_out} held-out given labels:"]
        lines += [
            f"  {one.method}: {one.accuracy:.2f} +- {one.error:.2f}"
            if one.status == "done"
            else f"  {one.method}: {one.status}"
            for one in self.trials
        ]
        also = f" (within one standard error: {', '.join(self.tied[1:])})" if len(self.tied) > 1 else ""
        return "\n".join([*lines, f"chosen: {self.method}{also}"])

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "method": self.method,
            "tied": list(self.tied),
            "held_out": self.held_out,
            "trials": [vars(one) for one in self.trials],
        }


def blinded(data: Data, noisy: NoisyLabels | None, share: float = 0.2) -> Data:
    """The training split alone, with given labels for labels: a part to train on and a part to judge by."""
    given = data.train.given if noisy is None else torch.from_numpy(noisy.labels)
    whole = Split(data.train.inputs, given, None, data.train.classes)
    stay, held_out = stratified(given.numpy(), share)
    if not len(held_out) or not len(stay):
        raise InputError(f"{data.name}: {len(whole)} samples are too few to hold out {share:.0%} of each class")
    return replace(data, train=whole.take(stay), test=whole.take(held_out), also={}, held_out=None)


def tune(
    data: Data,
    noisy: NoisyLabels | None,
    methods: Sequence[Method | str],
    recipe: Recipe,
    *,
    seed: int = 1,
    share: float = 0.2,
    device: str = "auto",
    on_trial: Progress | None = None,
    keep: Path | None = None,
) -> Choice:
    """Train every candidate on four fifths of the given labels and rank them by the other fifth.

    Args:
        data: its training split is used, and nothing else.
        noisy: the given labels; None: those the data came with.
        methods: candidates, by name, loss text or as methods.
        recipe: network and schedule of all of them.
        seed: of the training; all candidates share it.
        share: of each given class, held out.
        device: as in `train.fit`.
        on_trial: called with each candidate's name and accuracy.
        keep: a folder for finished trials and checkpoints of the others; a trial that lies there is not trained again.

    Raises:
        InputError: no candidates, too few samples, or every candidate diverged.

    Example:
        >>> from noiseproof import data, noise, recipes
        >>> digits = data.load("digits")
        >>> noisy = noise.corrupt(digits.train.given, "symmetric(0.4)", num_classes=10, seed=1)
        >>> choice = tune(digits, noisy, ["ce", "jal-ce"], recipes.load("digits", {"train.epochs": 12}))
        >>> choice.method
        'jal-ce'
    """
    if not methods:
        raise InputError("give at least one method to choose from")
    blind = blinded(data, noisy, share)
    count = len(blind.test)
    trials = []
    for method in methods:
        chosen = recipe.method(method, noise=None) if isinstance(method, str) else method
        trial = _trial(blind, chosen, recipe, seed, device, keep)
        trials.append(trial)
        if on_trial is not None:
            on_trial(chosen.name, trial.accuracy)
    if all(one.status != "done" for one in trials):
        raise InputError("every candidate diverged; try a smaller train.lr")
    return Choice(tuple(sorted(trials, key=lambda one: -one.accuracy)), count)


def _trial(blind: Data, method: Method, recipe: Recipe, seed: int, device: str, keep: Path | None) -> Trial:
    """One candidate, trained and judged, or as it was kept."""
    place = None if keep is None else keep / _key(blind, method, recipe, seed)
    if place is not None and (kept := _kept(place / "trial.json", method.name)):
        return kept
    checkpoints = None if place is None else place / "checkpoints"
    outcome = fit(blind, None, method, recipe, seed=seed, device=device, checkpoint_dir=checkpoints)
    accuracy = outcome.accuracy if outcome.status == "done" else 0.0
    correct = accuracy / 100
    error = 100 * float(np.sqrt(correct * (1 - correct) / len(blind.test)))
    trial = Trial(method.name, accuracy, error, outcome.status)
    if place is not None:
        files.write_atomic(place / "trial.json", json.dumps(vars(trial)))
        shutil.rmtree(place / "checkpoints", ignore_errors=True)
    return trial


def _key(blind: Data, method: Method, recipe: Recipe, seed: int) -> str:
    """Hash of everything that decides a trial."""
    labels = [hashlib.sha256(split.given.numpy().tobytes()).hexdigest() for split in (blind.train, blind.test)]
    code = {code_of(module) for module in method.loss.modules()}
    code |= {*method_content(method).values(), *recipe_content(recipe).values()}
    weights = models.weights_content(recipe.model.weights) if recipe.model.weights else {}
    content = [blind.fingerprint, labels, method.settings(), recipe.settings(), weights, seed, sorted(code)]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _kept(path: Path, method: str) -> Trial | None:
    try:
        found = Trial(**json.loads(files.read(path, at_most=1 << 20)))
    except (DataError, ValueError, TypeError):  # none, or a damaged one
        return None
    return replace(found, method=method)
