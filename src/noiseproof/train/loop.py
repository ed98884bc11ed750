"""One training loop for every data set, method and device.

All methods of a seed see the same labels, initial weights and order; nothing in an epoch waits for the device; the
result is the accuracy of the last epoch.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof import rng
from noiseproof.data.dataset import Data, Split
from noiseproof.data.pipeline.batches import Batches
from noiseproof.data.pipeline.crops_and_flips import Augment
from noiseproof.methods import Batch, Outputs
from noiseproof.methods import Method as Rule
from noiseproof.methods.additions.base import EpochEnd
from noiseproof.methods.ensemble import Ensemble
from noiseproof.models import Network, is_of_library
from noiseproof.noise import NoisyLabels
from noiseproof.recipes import Method, Recipe
from noiseproof.recipes.content import method_content, recipe_content
from noiseproof.runtime.isolation import isolated
from noiseproof.train import checkpoint, inference, method_preparation
from noiseproof.train.cuda_graph import Captured
from noiseproof.train.device import flags, resolve_device
from noiseproof.train.distributed import Team
from noiseproof.train.initial import network_for, start_of
from noiseproof.train.optimiser import group_optimiser, lr_at, optimiser, set_lr
from noiseproof.train.outcome import Outcome, outcome_of
from noiseproof.train.state import resume, state_of
from noiseproof.train.step import Step

__all__ = ["Progress", "Training", "fit"]

Progress = Callable[[int, dict[str, float]], object]


def fit(
    data: Data,
    noisy: NoisyLabels | None,
    method: Method | str,
    recipe: Recipe,
    *,
    seed: int,
    device: str = "auto",
    precision: str = "auto",
    mode: str = "deterministic",
    checkpoint_dir: str | Path | None = None,
    on_epoch: Progress | None = None,
    keep_outputs: bool = False,
    checkpoint_every: float = 30.0,
    team: Team | None = None,
    stop: Callable[[], bool] | None = None,
) -> Outcome:
    """Train one method on given labels.

    Args:
        data: what to train and test on.
        noisy: the given labels; None: those the data came with.
        method: a method, or its name or loss text in this recipe.
        recipe: model, optimiser, schedule and augmentation.
        seed: of the initial weights, the order and the augmentation.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        precision: "fp32", "tf32", "bf16"; "auto": bf16 for convolutions where the processor has it, else fp32.
        mode: "deterministic": the same bits every time on the same machine; or "fast".
        checkpoint_dir: where to save the state as the run goes; a run that finds its own state there goes on from it.
        on_epoch: called after every epoch with its number, from 0, and its row of the curves.
        keep_outputs: also give the scores and features of the last epoch.
        checkpoint_every: seconds between two saves, which follow the end of an epoch; the last epoch is always saved.
        team: the processes that share the work, from `Team.assemble()`; None: this one alone.
        stop: asked after every step; training ends there once it says so, and `Outcome.stopped_after` is the number of
            steps, which as `train.max_steps` gives the same weights without asking.

    Example:
        >>> from noiseproof import data, recipes
        >>> recipe = recipes.load("digits", {"train.epochs": 5})
        >>> fit(data.load("digits"), None, "ce", recipe, seed=1).accuracy > 90
        True
    """
    with isolated():
        training = Training(
            data, noisy, method, recipe, seed=seed, device=device, precision=precision, mode=mode, team=team
        )
        with flags(mode, training.config):
            training.stop = stop
            steps = training.steps(checkpoint_dir=checkpoint_dir, on_epoch=on_epoch, checkpoint_every=checkpoint_every)
            for _ in steps:
                pass
            return training.outcome(keep_outputs=keep_outputs)


class Training:
    """A run in progress; see `fit` for the arguments.

    `rule` and `augment` stand in for those of the method and the recipe, where a method trains another network first.
    """

    def __init__(
        self,
        data: Data,
        noisy: NoisyLabels | None,
        method: Method | str,
        recipe: Recipe,
        *,
        seed: int,
        device: str = "auto",
        precision: str = "auto",
        mode: str = "deterministic",
        team: Team | None = None,
        rule: Rule | None = None,
        augment: Augment | None = None,
    ) -> None:
        if isinstance(method, str):
            method = recipe.method(method, noise=None if noisy is None else noisy.text)
        self.noisy, self.method, self.recipe, self.seed, self.mode = noisy, method, recipe, seed, mode
        self.team = team = team or Team()
        start = start_of(data, noisy, recipe, augment)
        data, given = start.data, start.given
        self.data, self.augment, self.extractor, self.notes = data, start.augment, start.extractor, start.notes
        self.rule = rule = rule or method.rule()
        self.folder: Path | None = None
        method_preparation.check_processes(rule, method.name, team.size)
        networks = [network_for(data, method, recipe, seed=seed, number=number) for number in range(rule.networks)]
        self.config = resolve_device(team.device or device, precision, networks[0])
        self.networks: list[Network] = [
            network.to(device=self.config.device, memory_format=self.config.memory_format)  # type: ignore[call-overload]
            for network in networks
        ]
        self.network = self.networks[0]
        self.frozen, notes = method_preparation.freeze(self.networks, recipe.train.frozen_layers)
        self.notes += notes
        rows = nn.modules.batchnorm._BatchNorm if is_of_library(recipe.model.name) else nn.BatchNorm1d
        self.normalises_rows = any(isinstance(module, rows) for module in self.network.modules())
        self.given = given.to(self.config.device)
        self.soft = method_preparation.soft_targets(
            data.train, noisy is not None, rule, method.name, self.config.device
        )
        self.task = method_preparation.task_of(self)
        rule.setup(self.task)
        rule.attach(self.networks)
        for addition in rule.additions:
            addition.setup(self.task, self.networks)
            rule.loss = addition.change_loss(rule.loss)
        self.loss = rule.loss.to(self.config.device)
        rule.to(self.config.device)
        self.notes += method_preparation.memory_notes(rule, method.name, len(given))
        self.batches = Batches(
            data.train,
            recipe.train.batch_size,
            augment=self.augment,
            seed=seed,
            train=True,
            device=self.config.device,
            shard=(team.rank, team.size),
        )
        self.test = self.as_they_are(data.test)
        self.optimizer = optimiser(self.networks, method, recipe.train, self.config)
        self.groups = rule.groups()
        self.own = [group_optimiser(group) for group in self.groups]
        self.curves: dict[str, list[float]] = {
            name: [] for name in ("test_accuracy", "train_loss", "train_accuracy", "seconds")
        }
        self.diverged_at: int | None = None
        self.stop: Callable[[], bool] | None = None
        self.stopped_after: int | None = None
        self._seen = self.batches.count  # samples of the current epoch

    @property
    def predictor(self) -> Network:
        """The network that predicts: the one trained, an average of it, or several that predict as one."""
        members = self.rule.members(self.networks)
        for addition in self.rule.additions:
            members = addition.members(members)
        if len(members) == 1:
            return members[0]
        return Ensemble(members, self.rule.predict, self.rule.combination_name)

    def as_they_are(self, split: Split, *, share: bool = True) -> Batches:
        """The samples of a split in their own order, not augmented; or this process's share of them."""
        return Batches(
            split,
            self.recipe.train.eval_batch_size,
            augment=self.augment,
            device=self.config.device,
            shard=(self.team.rank, self.team.size) if share else (0, 1),
        )

    @property
    def epoch(self) -> int:
        """Epochs that are behind it."""
        return len(self.curves["seconds"])

    # Training

    def steps(
        self,
        *,
        checkpoint_dir: str | Path | None = None,
        on_epoch: Progress | None = None,
        checkpoint_every: float = 30.0,
    ) -> Iterator[None]:
        """Train to the last epoch; stops after every step, so that several runs can take turns."""
        folder = None if checkpoint_dir is None else Path(checkpoint_dir)
        self.team.same("data, labels, method, recipe or seed", self.identity())
        if folder is not None:
            self._resume(folder)
        if self.epoch == 0:
            yield from method_preparation.prepare(self, folder)
        update, saved = self.step(), time.monotonic()
        while self.epoch < self.recipe.train.epochs and self.diverged_at is None and self.stopped_after is None:
            started = time.perf_counter()
            losses, fitted = yield from self.train_epoch(update)
            row = self._close_epoch(losses, fitted)
            row["seconds"] = time.perf_counter() - started
            for name, value in row.items():
                self.curves[name].append(value)
            due = self.epoch == self.recipe.train.epochs or time.monotonic() - saved >= checkpoint_every
            whole = self.diverged_at is None and self.stopped_after is None
            if folder is not None and due and whole and self.team.rank == 0:
                checkpoint.save(folder, state_of(self))
                saved = time.monotonic()
            if on_epoch is not None and self.team.rank == 0:
                on_epoch(self.epoch - 1, row)

    def step(self) -> Step | Captured:
        """Step that updates the weights: for one process on a CUDA device a recorded graph."""
        step = Step(
            self.rule,
            self.networks,
            [self.team.wrap(network) for network in self.networks],
            self.optimizer,
            self.own,
            self.config,
            self.method.l1,
            self.recipe.train.clip_norm,
        )
        recordable = (
            self.soft is None and self.rule.captures and all(addition.captures for addition in self.rule.additions)
        )
        return Captured(step) if self.config.device.type == "cuda" and self.team.size == 1 and recordable else step

    def train_epoch(self, update: Step | Captured) -> Generator[None, None, tuple[Tensor, Tensor]]:
        """Every step of the current epoch; gives the summed loss of each and how many given labels were predicted."""
        size, batch_size, epoch = self.team.size, self.recipe.train.batch_size, self.epoch
        for network in self.networks:
            network.train()
        for module in self.frozen:
            module.eval()
        self._set_rates()
        self.rule.epoch_start(epoch, self.networks)
        order = self.batches.order(epoch)
        for addition in self.rule.additions:
            order = addition.kept(order)
        passes = self.rule.plan(order, batch_size, epoch)
        total = sum(len(each.batches) for each in passes)
        self._seen = sum(len(index) for each in passes for index in each.batches)
        losses = torch.zeros(total, dtype=torch.float32, device=self.config.device)
        fitted = torch.zeros((), dtype=torch.int64, device=self.config.device)
        views = [self.batches.view(number) for number in range(self.rule.views)]
        number = 0
        for each in passes:
            streams = [view.batches(each.batches, epoch) for view in views]
            for position, (whole, *found) in enumerate(zip(map(len, each.batches), *streams, strict=True)):
                number += 1
                if whole // size < (2 if self.normalises_rows else 1):
                    continue  # too few samples for every process to have one, or two where rows are normalised by rows
                index = found[0][1]
                step = epoch * len(self.batches) + number - 1
                batch = Batch(
                    tuple(self.config.laid_out(inputs) for inputs, _ in found),
                    self.given[index],
                    index,
                    epoch + position / len(each.batches),
                    network=each.network,
                    networks=(),
                    draw=partial(rng.generator, self.seed, "method", epoch, number, device=self.config.device.type),
                    soft=None if self.soft is None else self.soft[index],
                )
                # Processes average their gradients: a process with fewer samples than another counts for less.
                value, correct = update(batch, len(index) * size / whole)
                losses[number - 1] = value * len(index)
                fitted += correct
                self._after_step(step)
                yield
                if self._is_over(step + 1):
                    self._seen = int(sum(len(index) for one in passes for index in one.batches[:number]))
                    return losses, fitted
        return losses, fitted

    def _is_over(self, steps: int) -> bool:
        """True once the last step is done that the recipe allows, or that there is time for."""
        if steps == self.recipe.train.max_steps or (self.stop is not None and self.stop()):
            self.stopped_after = steps
        return self.stopped_after is not None

    def _set_rates(self) -> None:
        """Give every optimiser its learning rate of the current epoch."""
        epoch, first, train = self.epoch, self.method.lr or self.recipe.train.lr, self.recipe.train
        for addition in self.rule.additions:
            epoch = addition.schedule_epoch(epoch)
        now = lr_at(epoch, first, train)
        set_lr(self.optimizer, now)
        for group, optimizer in zip(self.groups, self.own, strict=True):
            set_lr(optimizer, group.lr * now / first if group.follows else group.lr)

    def _after_step(self, step: int) -> None:
        self.rule.after_step(self.networks, step)
        for addition in self.rule.additions:
            addition.after_step(self.networks, step)

    def _end_of_epoch(self) -> None:
        """The method's and the additions' turn, with the outputs on the training set where they are wanted."""
        epoch, parts = self.epoch, (self.rule, *self.rule.additions)
        outputs: list[Outputs] = []
        if any(part.wants_outputs(epoch) for part in parts):
            outputs = [self.outputs_of(network) for network in self.networks]
        self.rule.epoch_end(epoch, outputs, self.networks)
        for addition in self.rule.additions:
            addition.epoch_end(EpochEnd(epoch, outputs, self.networks, self.rule.predict, self._refresh))

    def outputs_of(self, network: Network) -> Outputs:
        """Outputs of a network on the whole training set, in index order."""
        batches = self.as_they_are(self.data.train, share=False)
        features, logits = inference.features_and_logits(network, batches, self.config)
        return Outputs(logits.clone(), features.clone())  # ordinary tensors again

    def _refresh(self, network: Network) -> None:
        inference.refresh_statistics(network, self.as_they_are(self.data.train, share=False), self.config)

    def _close_epoch(self, losses: Tensor, fitted: Tensor) -> dict[str, float]:
        """The row of the curves; nothing else in an epoch waits for the device."""
        count, all_reduce = max(self._seen, 1), self.team.all_reduce
        for network in self.networks:
            self.team.sync(network)
        self._end_of_epoch()
        predicted, broken = inference.count_correct(self.predictor, self.test, self.data.test.given, self.config)
        numbers = all_reduce(torch.stack([losses.sum() / count, fitted, predicted, broken]))
        loss, fitted_count, correct, not_finite = numbers.tolist()
        if not math.isfinite(loss) or not_finite:
            infinite = (~all_reduce(losses).isfinite()).nonzero()
            within = int(infinite[0]) if len(infinite) else len(losses) - 1
            self.diverged_at = self.epoch * len(losses) + within
        return {
            "test_accuracy": 100 * correct / len(self.data.test),
            "train_loss": loss,
            "train_accuracy": 100 * fitted_count / count,
        }

    # What has to be kept to go on bit for bit: the order and the augmentation follow from (seed, epoch).

    def _resume(self, folder: Path) -> None:
        resume(self, folder)

    def identity(self) -> dict[str, Any]:
        """Everything that decides the weights."""
        return {
            "data": self.data.fingerprint,
            "given": hashlib.sha256(self.given.cpu().numpy().tobytes()).hexdigest(),
            "method": self.method.settings(),
            "recipe": self.recipe.settings(),
            "seed": self.seed,
            "precision": self.config.precision,
            "mode": self.mode,
            "device": self.config.device.type,
            "processes": self.team.size,
        } | ({"content": content} if (content := method_content(self.method) | recipe_content(self.recipe)) else {})

    # Looking at what came out

    def judged(self, split: Split) -> tuple[Tensor, Tensor]:
        """Features and logits of all samples of a split."""
        return inference.features_and_logits(self.predictor, self.as_they_are(split, share=False), self.config)

    def outcome(self, *, keep_outputs: bool = False) -> Outcome:
        """The result so far."""
        return outcome_of(self, keep_outputs=keep_outputs)
