"""Preparation of a method before training: estimates, networks that are trained first, and refusals."""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof.data.dataset import Data, Split
from noiseproof.errors import InputError
from noiseproof.methods import Method as Rule
from noiseproof.methods.base import Outputs, Task, Trained
from noiseproof.models import Network, layers_of
from noiseproof.recipes import Method

__all__ = ["check_processes", "freeze", "memory_notes", "prepare", "soft_targets", "task_of"]


# `training` below is a `loop.Training`, which imports this module.


def check_processes(rule: Rule, name: str, processes: int) -> None:
    """Refuse to share a method's work among processes where its state or its head cannot be shared."""
    for part in (rule, *rule.additions):
        if processes > 1 and not part.distributes:
            raise InputError(
                f"method {name} trains in one process only: {part.name} has a state, a head or a gradient of its own"
            )


def soft_targets(split: Split, noisy: bool, rule: Rule, name: str, device: torch.device) -> Tensor | None:
    """Soft targets of a run, on the device; None where it trains on labels.

    Raises:
        InputError: the run has noise, or a method that takes one label a sample.
    """
    if split.soft is None:
        return None
    if noisy:
        raise InputError("noise changes labels, and --soft trains on shares; leave --soft out or give --noise clean")
    if not rule.takes_soft:
        raise InputError(
            f"method {name} takes one label a sample; with --soft give a loss, such as --method jal-ce, or leave it out"
        )
    return split.soft.to(device)


def freeze(networks: Sequence[Network], count: int) -> tuple[list[nn.Module], tuple[str, ...]]:
    """Keep the first layers of each network as they are.

    Returns:
        Their modules, which stay in evaluation mode so that their statistics stay too, and a note that names them.

    Raises:
        InputError: nothing would be left to train.
    """
    modules: list[nn.Module] = []
    notes: tuple[str, ...] = ()
    for network in networks if count else ():
        layers = layers_of(network)
        if count >= len(layers):
            raise InputError(
                f"the network has {len(layers)} layers ({', '.join(layer.name for layer in layers[:4])}, ...); "
                f"train.frozen_layers must be below that, got {count}"
            )
        frozen = layers[:count]
        for layer in frozen:
            modules += layer.modules
            for parameter in layer.parameters:
                parameter.requires_grad_(False)
        notes = (f"{count} of {len(layers)} layers kept their starting weights: up to {frozen[-1].name}",)
    return modules, notes


def memory_notes(rule: Rule, name: str, samples: int) -> tuple[str, ...]:
    """The memory of a method's state by sample, in words; nothing where it has none."""
    modules = (rule, *rule.additions)
    kept = [tensor for module in modules for tensor in module.state_dict().values() if samples in tensor.shape]
    size = sum(tensor.numel() * tensor.element_size() for tensor in kept)
    return (f"method {name} keeps {_bytes(size)} of state for {samples} samples",) if kept else ()


def _bytes(size: int) -> str:
    power = 0 if size < 1000 else min(3, int(math.log(size, 1000)))
    return f"{size / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB')[power]}"


def task_of(training: Any) -> Task:
    """The facts that a method may know: neither clean labels nor the test split."""
    count = 0

    def train(
        rule: Rule, epochs: int, *, only: Tensor | None = None, given: Tensor | None = None
    ) -> Generator[None, None, Trained]:
        nonlocal count
        count += 1
        folder = None if training.folder is None else training.folder / f"before-{count}"
        return _train_before(training, rule, epochs, only, training.given if given is None else given, folder)

    def oracle() -> Tensor:
        clean = training.data.train.clean
        if clean is None:
            raise InputError(f"method {training.method.name} says oracle, but no true labels of this data are known")
        training.notes += (f"method {training.method.name} saw the true labels (oracle)",)
        truth: Tensor = clean.to(training.given.device)
        return truth

    return Task(
        samples=len(training.given),
        classes=training.data.num_classes,
        given=training.given,
        inputs=training.data.train.inputs,
        epochs=training.recipe.train.epochs,
        batch_size=training.recipe.train.batch_size,
        seed=training.seed,
        device=training.config.device,
        train=train,
        oracle=oracle,
    )


def prepare(training: Any, folder: Path | None) -> Generator[None, None, None]:
    """Let the method prepare; the first network starts from the weights it returns, if any."""
    training.folder = folder
    weights = yield from training.rule.prepare(training.task)
    if weights is not None:
        training.network.load_state_dict(weights)


def _train_before(
    training: Any, rule: Rule, epochs: int, only: Tensor | None, given: Tensor, folder: Path | None
) -> Generator[None, None, Trained]:
    """Train a network on given labels and give its outputs on all samples; a stopped run goes on from where it was."""
    split, method = training.data.train, training.method
    extra = tuple(f"extra {number}" for number in range(int(given.max()) + 1 - len(split.classes)))
    blind = Split(split.inputs, given.cpu(), None, split.classes + extra)
    part = blind if only is None else blind.take(only.tolist())
    first = blind.take([0])  # a test set that nothing depends on
    data = Data(training.data.name, part, first, training.data.fingerprint)
    recipe = replace(  # the data has its final form already
        training.recipe,
        model=training.recipe.model.model_copy(update={"features": None}),
        train=training.recipe.train.model_copy(update={"epochs": epochs, "samples": None, "hold_out": 0.0}),
    )
    row = Method(str(rule), rule.loss, method.l1, method.l2, None, method.optimizer, method.lr, method=str(rule))
    inner = type(training)(  # the loop itself, which this module lies below
        data,
        None,
        replace(row, lr=method.lr),
        recipe,
        seed=training.seed,
        device=str(training.config.device),
        precision=training.config.precision,
        mode=training.mode,
        rule=rule,
        augment=training.augment,
    )
    yield from inner.steps(checkpoint_dir=folder)
    inner.data = replace(data, train=blind)
    outputs = inner.outputs_of(inner.network)
    if not bool(torch.isfinite(outputs.logits).all()):
        raise InputError(f"the network that {method.name} trains first diverged; try a smaller train.lr")
    return Trained(
        Outputs(outputs.logits, outputs.features),
        inner.rule,
        {name: tensor.clone() for name, tensor in inner.network.state_dict().items()},
    )
