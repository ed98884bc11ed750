"""Benchmark of the row kernel on a GPU, beside compiled cross-entropies and beside a copy of the scores.

A loss must read N K scores and write as many gradients, so a copy is the floor. The ways take turns within one
process; what counts is the median. Nobody has measured this yet: it waits for a GPU.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from noiseproof import __version__, losses
from noiseproof.errors import MachineError
from noiseproof.storage import files

__all__ = ["run"]

SIZES = ((8192, 32000), (4096, 128256))
TEXTS = ("ce", "nce + amse", "5*nce + 5*nnce", "nfl(detach=true) + amse")

Way = Callable[[], object]


def run(
    *,
    device: str = "cuda",
    sizes: Sequence[tuple[int, int]] = SIZES,
    texts: Sequence[str] = TEXTS,
    rounds: int = 20,
    output: str | Path | None = None,
) -> dict[str, Any]:
    """Measure the losses in bfloat16, forward and backward.

    Args:
        device: "cuda", or "cuda:1"; on "cpu" it runs as well, which says nothing about a GPU.
        sizes: (rows, classes) of the scores.
        texts: the losses.
        rounds: how often each way takes its turn; the median counts.
        output: a JSON file that takes the result.

    Raises:
        MachineError: this machine has no such device.
    """
    place = torch.device(device)
    if place.type != "cpu" and not torch.cuda.is_available():
        raise MachineError("this machine has no CUDA device; without --device the losses are measured on the CPU")
    rows = [row for size in sizes for row in _rows(place, size, texts, rounds)]
    reached = all(row["of_compiled"] <= 1.05 and row["of_copy_bandwidth"] >= 0.8 for row in rows)
    result = {
        "what": "losses forward and backward in bfloat16: milliseconds, and what they are of others'",
        "device": torch.cuda.get_device_name(place) if place.type == "cuda" else str(place),
        "versions": {"noiseproof": __version__, "torch": torch.__version__},
        "date": datetime.now(UTC).date().isoformat(),
        "rounds": rounds,
        "rows": rows,
        "goal": "1.05 times the quickest compiled cross-entropy at most, 0.8 of a copy's bandwidth at least",
        "reached": reached,
    }
    if output is not None:
        files.write_atomic(output, json.dumps(result, indent=1) + "\n")
    return result


def _rows(place: torch.device, size: tuple[int, int], texts: Sequence[str], rounds: int) -> list[dict[str, Any]]:
    draw = torch.Generator(place).manual_seed(1)
    scores = torch.randn(size, generator=draw, device=place, dtype=torch.bfloat16)
    target = torch.randint(size[1], size[:1], generator=draw, device=place)
    copied = torch.empty_like(scores)
    torch._dynamo.reset()
    compiled: dict[str, Way] = {
        "torch.compile": _step(torch.compile(F.cross_entropy, dynamic=False), scores, target),
        **({"Liger": _step(liger, scores.clone(), target)} if (liger := _liger()) else {}),
    }
    ours = {text: _step(losses.parse(text), scores, target) for text in texts}
    times = _interleaved({"copy": lambda: copied.copy_(scores), **compiled, **ours}, place, rounds)
    quickest = min(times[name] for name in compiled)
    return [
        {
            "size": f"{size[0]} x {size[1]}",
            "loss": text,
            "ms": round(times[text] * 1e3, 4),
            "of_compiled": round(times[text] / quickest, 3),
            "of_copy_bandwidth": round(times["copy"] / times[text], 3),
            **{f"{name}_ms": round(times[name] * 1e3, 4) for name in compiled},
        }
        for text in texts
    ]


def _liger() -> Callable[[Tensor, Tensor], Tensor] | None:
    """Liger's cross-entropy, where it is installed; it overwrites the scores."""
    try:
        found: Callable[[Tensor, Tensor], Tensor] = import_module(
            "liger_kernel.transformers.functional"
        ).liger_cross_entropy
    except ImportError:
        return None
    return found


def _step(loss: Callable[[Tensor, Tensor], Tensor], scores: Tensor, target: Tensor) -> Way:
    leaf = scores.detach().requires_grad_()

    def step() -> None:
        leaf.grad = None
        loss(leaf, target).backward()  # type: ignore[no-untyped-call]

    return step


def _interleaved(ways: dict[str, Way], place: torch.device, rounds: int) -> dict[str, float]:
    """The median seconds of each way, which take turns; three rounds warm up."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(rounds + 3):
        for name, way in ways.items():
            seconds = _seconds(way, place)
            if turn >= 3:
                taken[name].append(seconds)
    return {name: statistics.median(seconds) for name, seconds in taken.items()}


def _seconds(way: Way, place: torch.device) -> float:
    if place.type == "cpu":
        started = time.perf_counter()
        way()
        return time.perf_counter() - started
    start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    torch.cuda.synchronize(place)
    start.record()
    way()
    end.record()
    end.synchronize()
    return float(start.elapsed_time(end)) / 1e3
