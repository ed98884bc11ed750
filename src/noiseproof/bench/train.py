"""How fast a training step is, beside a plain restatement of the published loop, interleaved in one process.

The step is CIFAR-10's: CNN-8, batches of 128, JAL-CE with L1, clipping and momentum, batches cut from the data set and
augmented. The published loop is float32 in NCHW with the L1 penalty through autograd, 48 operations for the loss,
`.item()` every step, and Pillow's image by image augmentation, which its loader runs in other processes: it is left out
of the published side's time here, and counted in ours.
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noiseproof import files, recipes
from noiseproof.data import Data, Split
from noiseproof.train import Training
from noiseproof.train.place import flags
from noiseproof.train.start import network_for

__all__ = ["GOAL", "run"]

GOAL = 2.5  # times the images per second of the published loop, on a CPU with bf16

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
    ways: dict[str, Step] = {"published loop, fp32": _published(data, device, steps, batch)}
    for precision in ("fp32", "bf16") if device == "cpu" else ("fp32", "tf32", "bf16"):
        ways[f"noiseproof, {precision}"] = _ours(data, device, precision, steps, batch)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    clock, wait = (time.process_time, _nothing) if device == "cpu" else (time.perf_counter, torch.cuda.synchronize)
    for turn in range(rounds + 1):
        for name, way in ways.items():
            wait()
            started = clock()
            way()
            wait()
            if turn > 0:  # the first turn warms up
                seconds[name].append(clock() - started)
    rates = {name: batch * steps / statistics.median(taken) for name, taken in seconds.items()}
    slowest = rates["published loop, fp32"]
    result = {
        "what": f"CNN-8, JAL-CE, batch {batch}: images per second of {'CPU' if device == 'cpu' else 'wall-clock'} time",
        "device": platform.machine() + " CPU" if device == "cpu" else torch.cuda.get_device_name(),
        "processor": _processor(),
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
        "goal": GOAL,
        "reached": max(rates.values()) / slowest >= GOAL,
    }
    if output is not None:
        _fold(Path(output), device, result)
    return result


def _nothing() -> None: ...


def _pictures(count: int) -> Data:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (count, 3, 32, 32), generator=generator, dtype=torch.uint8)
    labels = torch.randint(10, (count,), generator=generator)
    split = Split(pixels, labels, None, tuple("0123456789"))
    return Data("random pictures", split, split, "0" * 64)


def _ours(data: Data, device: str, precision: str, steps: int, batch: int) -> Step:
    recipe = recipes.load("cifar10", {"train.batch_size": batch, "train.epochs": 10_000})
    training = Training(data, None, "jal-ce", recipe, seed=1, device=device, precision=precision)
    updates = _only_steps(training)

    def turn() -> None:
        with flags("deterministic", training.place):
            for _ in range(steps):
                next(updates)

    return turn


def _only_steps(training: Training) -> Iterator[None]:
    """Epoch after epoch without their evaluation."""
    step = training.step()
    while True:
        yield from training.train_epoch(step)


def _published(data: Data, device: str, steps: int, batch: int) -> Step:
    recipe = recipes.load("cifar10")
    network: nn.Module = network_for(data, recipe.method("jal-ce"), recipe, seed=1).to(device).train()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9)
    images = ((data.train.inputs.float() / 255 - 0.5) / 0.25)[: batch * steps]  # type: ignore[union-attr]
    labels = data.train.given[: batch * steps]

    def turn() -> None:
        for inputs, target in zip(torch.split(images, batch), torch.split(labels, batch), strict=True):
            inputs, target = inputs.to(device), target.to(device)
            optimizer.zero_grad()
            loss = _published_loss(network(inputs), target)
            loss = loss + 5e-5 * sum(parameter.abs().sum() for parameter in network.parameters())
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            loss.item()

    return turn


def _published_loss(scores: Tensor, target: Tensor) -> Tensor:
    """JAL-CE as a sum of eager operations on one-hot labels."""
    one_hot = F.one_hot(target, scores.shape[1])
    log_p = scores.log_softmax(1)
    nce = (-(one_hot * log_p).sum(1) / -log_p.sum(1)).mean()
    return nce + ((scores.softmax(1) - 30 * one_hot) ** 2).mean()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.processor())


def _fold(path: Path, device: str, result: dict[str, Any]) -> None:
    """Put the result into a file, in the place of an earlier one of this kind of device."""
    known = json.loads(path.read_text()) if path.exists() else {}
    files.write_atomic(path, json.dumps({**known, device: result}, indent=1) + "\n")
