"""Speed of training, beside a plain restatement of the published loop, interleaved in one process.

The step is CIFAR-10's: CNN-8, batches of 128, JAL-CE with L1, clipping and momentum, batches cut from the data set and
augmented. The published loop is float32 in NCHW with the L1 penalty through autograd, 48 operations for the loss,
`.item()` every step, and Pillow's image by image augmentation, which its loader runs in other processes: it is left out
of the published side's time here, and counted in ours. On a CUDA device whole runs are judged too, by a few epochs with
their evaluation; the published side's evaluation is left out.
"""

from __future__ import annotations

import json
import math
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noiseproof import recipes
from noiseproof.data import Data, Split
from noiseproof.runtime.machine import processor_name
from noiseproof.storage import files
from noiseproof.train import Training, fit
from noiseproof.train.device import flags
from noiseproof.train.initial import network_for

__all__ = ["GOAL", "run", "whole_run"]

GOAL = 2.5  # times the images per second of the published loop, on a CPU with bf16
RUNS = {"cifar10": 22.0, "cifar100": 230.0}  # by recipe: the seconds aimed at on an H100

Step = Callable[[], object]


def run(
    *, device: str = "cpu", rounds: int = 5, steps: int = 1, batch: int = 128, output: str | Path | None = None
) -> dict[str, Any]:
    """Measure and return a table; the first row is the published loop, the others say how many times as fast they are.

    Args:
        device: "cpu": CPU time of this process, on as many threads as torch uses; "cuda": wall-clock time.
        rounds: how often each way takes its turn; the median counts.
        steps: training steps a turn.
        batch: images a step.
        output: a JSON file that takes the result; those of other devices that it holds are kept.
    """
    data = _pictures(batch * max(steps, 2))
    ways: dict[str, Step] = {"published loop, fp32": _published(data, "cifar10", device, steps, batch)}
    for precision in ("fp32", "bf16") if device == "cpu" else ("fp32", "tf32", "bf16"):
        ways[jal := f"noiseproof, {precision}"] = _ours(data, "jal-ce", device, precision, steps, batch)
    ways[plain := f"{jal}, cross-entropy"] = _ours(data, "ce", device, "bf16", steps, batch)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    clock, wait = _clock(device)
    for turn in range(rounds + 1):
        for name, way in ways.items():
            taken = _timed(way, clock, wait)
            if turn > 0:  # the first turn warms up
                seconds[name].append(taken)
    rates = {name: batch * steps / statistics.median(taken) for name, taken in seconds.items()}
    slowest = rates["published loop, fp32"]
    result = {
        "what": f"CNN-8, JAL-CE, batch {batch}: images per second of {'CPU' if device == 'cpu' else 'wall-clock'} time",
        "device": platform.machine() + " CPU" if device == "cpu" else torch.cuda.get_device_name(),
        "processor": processor_name(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "rounds": rounds,
        "rows": [
            {
                "way": name,
                "images_per_second": round(rate, 1),
                "times_published": round(rate / slowest, 2),
                "seconds": [round(taken, 4) for taken in seconds[name]],
            }
            for name, rate in rates.items()
        ],
        "jal_and_l1_over_ce": round(rates[plain] / rates[jal] - 1, 4),
        "goal": GOAL,
        "reached": max(rates.values()) / slowest >= GOAL,
        "runs": [whole_run(name, device=device) for name in RUNS] if device == "cuda" else [],
    }
    if output is not None:
        _fold(Path(output), device, result)
    return result


def whole_run(
    name: str, *, device: str, images: int = 50_000, test: int = 10_000, epochs: int = 2, steps: int = 50
) -> dict[str, Any]:
    """A run of a recipe with JAL-CE from its first epoch to its last, extrapolated from a few; wall-clock time.

    Args:
        name: "cifar10" or "cifar100".
        device: "cpu" or "cuda".
        images, test: sizes of the two sets.
        epochs: how many are measured, after one that warms up.
        steps: how many of the published loop's are measured, after as many that warm up.
    """
    whole = recipes.load(name).train
    data = _pictures(images, test, classes=10 if name == "cifar10" else 100)
    recipe = recipes.load(name, {"train.epochs": epochs + 1})
    ours = statistics.median(fit(data, None, "jal-ce", recipe, seed=1, device=device).curves["seconds"][1:])
    theirs, (_, wait) = _published(data, name, device, steps, whole.batch_size), _clock(device)
    step = min(_timed(theirs, time.perf_counter, wait) for _ in range(2)) / steps
    published = step * math.ceil(images / whole.batch_size)
    return {
        "run": f"{recipe.model.name}, {whole.epochs} epochs",
        "seconds": round(ours * whole.epochs, 1),
        "published_loop_seconds": round(published * whole.epochs, 1),
        "times_published": round(published / ours, 2),
        "goal_seconds": RUNS[name],
        "epochs_measured": epochs,
    }


def _clock(device: str) -> tuple[Callable[[], float], Callable[[], None]]:
    """Clock, and a function that waits for the device."""
    return (time.process_time, lambda: None) if device == "cpu" else (time.perf_counter, torch.cuda.synchronize)


def _timed(way: Step, clock: Callable[[], float], wait: Callable[[], None]) -> float:
    wait()
    started = clock()
    way()
    wait()
    return clock() - started


def _pictures(train: int, test: int = 0, classes: int = 10) -> Data:
    def split(count: int) -> Split:
        pixels = torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
        labels = torch.randint(classes, (count,), generator=generator)
        return Split(pixels, labels, None, tuple(map(str, range(classes))))

    generator = torch.Generator().manual_seed(1)
    first = split(train)
    return Data("random pictures", first, split(test) if test else first, "0" * 64)


def _ours(data: Data, method: str, device: str, precision: str, steps: int, batch: int) -> Step:
    recipe = recipes.load("cifar10", {"train.batch_size": batch, "train.epochs": 10_000})
    training = Training(data, None, method, recipe, seed=1, device=device, precision=precision)
    updates = _only_steps(training)

    def turn() -> None:
        with flags("deterministic", training.config):
            for _ in range(steps):
                next(updates)

    return turn


def _only_steps(training: Training) -> Iterator[None]:
    """Epoch after epoch without their evaluation."""
    step = training.step()
    while True:
        yield from training.train_epoch(step)


_PUBLISHED = {"cifar10": (1, 30, 5e-5), "cifar100": (5, 20, 5e-6)}  # factor of NCE, a of AMSE, L1


def _published(data: Data, name: str, device: str, steps: int, batch: int) -> Step:
    recipe, (alpha, a, l1) = recipes.load(name), _PUBLISHED[name]
    network: nn.Module = network_for(data, recipe.method("jal-ce"), recipe, seed=1).to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=recipe.train.lr, momentum=0.9)
    index = torch.arange(batch * steps) % len(data.train)
    images = (data.train.inputs[index].float() / 255 - 0.5) / 0.25
    labels = data.train.given[index]

    def turn() -> None:
        for inputs, target in zip(torch.split(images, batch), torch.split(labels, batch), strict=True):
            inputs, target = inputs.to(device), target.to(device)
            optimizer.zero_grad()
            loss = _published_loss(network(inputs), target, alpha, a)
            loss = loss + l1 * sum(parameter.abs().sum() for parameter in network.parameters())
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            loss.item()

    return turn


def _published_loss(scores: Tensor, target: Tensor, alpha: float = 1, a: float = 30) -> Tensor:
    """JAL-CE as a sum of eager operations on one-hot labels."""
    one_hot = F.one_hot(target, scores.shape[1])
    log_p = scores.log_softmax(1)
    nce = (-(one_hot * log_p).sum(1) / -log_p.sum(1)).mean()
    return alpha * nce + ((scores.softmax(1) - a * one_hot) ** 2).mean()


def _fold(path: Path, device: str, result: dict[str, Any]) -> None:
    """Put the result into a file, in the place of an earlier one of this kind of device."""
    known = json.loads(path.read_text()) if path.exists() else {}
    files.write_atomic(path, json.dumps({**known, device: result}, indent=1) + "\n")
