"""Taking turns within one process: CPU time beside another way's, and the memory that a way needs."""

from __future__ import annotations

import ctypes
import gc
import statistics
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

__all__ = ["Loss", "Way", "batch", "peak", "side_by_side", "step"]

Loss = Callable[[Tensor, Tensor], Tensor]
Way = Callable[[], object]
Key = TypeVar("Key")


def batch(rows: int, classes: int) -> tuple[Tensor, Tensor]:
    """Random scores that need a gradient, and labels."""
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(rows, classes, generator=generator, requires_grad=True)
    return scores, torch.randint(classes, (rows,), generator=generator)


def step(loss: Loss, scores: Tensor, target: Tensor) -> Way:
    """Forward and backward of a loss."""

    def step() -> None:
        scores.grad = None
        loss(scores, target).backward()  # type: ignore[no-untyped-call]

    return step


def side_by_side(unit: Way, ways: Mapping[Key, Way], rounds: int, repeats: int) -> tuple[float, dict[Key, float]]:
    """The median CPU seconds of `unit`, and of each way the median of its multiples of the turn of `unit` before."""
    units: list[float] = []
    multiples: dict[Key, list[float]] = {name: [] for name in ways}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, way in ways.items():
                units.append(_turn(unit, repeats))
                multiples[name].append(_turn(way, repeats) / units[-1])
    finally:
        gc.enable()
    return statistics.median(units), {name: statistics.median(values) for name, values in multiples.items()}


def _turn(way: Way, repeats: int) -> float:
    """The CPU seconds of a call, after one that does not count: in training one loss is called again and again, too."""
    way()
    started = time.process_time()
    for _ in range(repeats):
        way()
    return (time.process_time() - started) / repeats


def peak(way: Way) -> int | None:
    """The bytes that a way needs beyond what is there before it; None where the system does not tell."""
    status, reset = Path("/proc/self/status"), Path("/proc/self/clear_refs")
    try:
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        with reset.open("w") as peak:
            peak.write("5")  # the highest mark starts anew
        before = _status(status, "VmRSS")
        way()
        return _status(status, "VmHWM") - before
    except (OSError, AttributeError):
        return None


def _status(path: Path, name: str) -> int:
    line = next(line for line in path.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024
