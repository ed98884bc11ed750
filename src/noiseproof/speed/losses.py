"""Benchmark of the losses, forward and backward, beside torch's cross_entropy and two usual ways of writing them.

The ways take turns within one process and on one thread. Each turn comes right after one of
`torch.nn.functional.cross_entropy`; what counts is the median of the ratios of their CPU times. Each size has a process
of its own, since memory that one leaves behind would spare some ways of the next their page faults; and so has what is
compiled, since the compiler slows down the Python beside it.

"Usual" is a plain restatement of how published code writes a loss: softmax, one-hot labels, products, mean. "Compiled"
is `torch.compile` of this library's formula.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

from noiseproof import __version__, losses
from noiseproof.losses import _kernels
from noiseproof.losses._kernels import cpu
from noiseproof.runtime.machine import processor_name
from noiseproof.speed.interleaved import Loss, Way, batch, peak, side_by_side, step
from noiseproof.speed.published_style import usual_loss
from noiseproof.storage import files

__all__ = ["run"]

ONE_PASS = ("ce", "mae", "gce", "sce", "agce(a=6, q=1.5)", "nce", "amse", "nce + amse", "5*nce + 5*nnce")
FOCAL = ("nfl(detach=true)", "nfl(detach=true) + amse", "5*nfl(detach=true) + 5*nnfl(detach=true)")
COMPILED = ("ce", "nce + amse", "5*nce + 5*nnce", "nfl(detach=true) + amse")
SIZES = ((128, 10), (128, 100), (8192, 1000), (2048, 32000))
LINEAR = (1024, 256, 32000)  # rows, features, classes
OPTIONS = (8192, 1000)
JAL, ANL = "nce + amse", "5*nce + 5*nnce"
SMALL = 1e6  # scores; up to there a turn has many calls
LARGE = 1e7  # from there on only these losses are written the usual way, too
COMPARED = (JAL, ANL, FOCAL[1])

Size = tuple[int, int]
Name = tuple[str, str]  # loss, way


def _without_node(loss: losses.Loss) -> Loss:
    """The loss without its C++ node of autograd, if that was compiled."""

    def value(scores: Tensor, target: Tensor) -> Tensor:
        node, _kernels.cpp_node = _kernels.cpp_node, None
        try:
            without: Tensor = loss(scores, target)
        finally:
            _kernels.cpp_node = node
        return without

    return value


WAYS: Mapping[str, Callable[[losses.Loss], Loss]] = {
    "noiseproof": lambda loss: loss,
    "without_node": _without_node,
    "usual": usual_loss,
    "compiled": lambda loss: torch.compile(loss, dynamic=False),
}
Measured = TypeVar("Measured")


def run(
    *,
    sizes: Sequence[Size] = SIZES,
    texts: Sequence[str] = (*ONE_PASS, *FOCAL),
    compiled: Sequence[str] = COMPILED,
    linear: tuple[int, int, int] = LINEAR,
    options: Size = OPTIONS,
    rounds: int = 7,
    output: str | Path | None = None,
) -> dict[str, Any]:
    """Measure time, memory and the fused linear layer.

    Args:
        sizes: (rows, classes) of the scores.
        texts: the losses.
        compiled: the losses that are compiled, too; each takes a while at each size.
        linear: rows, features and classes of the fused linear layer.
        options: (rows, classes) of the calls with an option.
        rounds: how often each way takes its turn at the largest sizes; twice as often at middle ones, ten times at
            small ones.
        output: a JSON file that takes the result.
    """
    rows = [row for size in sizes for row in _rows(size, texts, compiled, rounds)]
    memory = _apart(_memory, max(sizes, key=math.prod))
    fused = _apart(_linear, *linear, max(1, rounds // 2))
    measured = _apart(_options, options, max(1, rounds // 2))
    goals = [*_goals(rows, memory, fused), *_option_goals(measured)]
    result = {
        "what": "losses forward and backward: CPU time as a multiple of F.cross_entropy's, one thread",
        "device": processor_name(),
        "instructions": "closed form" if cpu.kernel is None else cpu.kernel.instructions,
        "node": _kernels.cpp_node is not None,
        "threads": 1,
        "versions": {"noiseproof": __version__, "torch": torch.__version__},
        "date": datetime.now(UTC).date().isoformat(),
        "rounds": rounds,
        "rows": rows,
        "memory": memory,
        "linear": fused,
        "options": measured,
        "goals": goals,
        "goal": f"{len(goals)} goals",
        "reached": all(goal["reached"] for goal in goals),
    }
    if output is not None:
        files.write_atomic(output, json.dumps(result, indent=1) + "\n")
    return result


def _apart(measure: Callable[..., Measured], *arguments: object) -> Measured:
    """Measure in a new process, on one thread."""
    with ProcessPoolExecutor(1, get_context("spawn"), torch.set_num_threads, (1,)) as process:
        return process.submit(measure, *arguments).result()


# Time


def _rows(size: Size, texts: Sequence[str], compiled: Sequence[str], rounds: int) -> list[dict[str, Any]]:
    written = [text for text in texts if math.prod(size) < LARGE or text in COMPARED]
    plain = [(text, "noiseproof") for text in texts] + [(text, "usual") for text in written]
    if math.prod(size) < SMALL and _kernels.cpp_node is not None:
        plain += [(text, "without_node") for text in texts]
    unit, times = _apart(_times, size, plain, rounds)
    if compiled:
        times |= _apart(_times, size, [(text, "compiled") for text in texts if text in compiled], rounds)[1]
    return [
        {
            "size": f"{size[0]} x {size[1]}",
            "loss": text,
            "cross_entropy_us": round(unit * 1e6, 1),
            **{way: round(times[text, way], 3) if (text, way) in times else None for way in WAYS},
            "times_usual": round(times[text, "usual"] / times[text, "noiseproof"], 1) if text in written else None,
        }
        for text in texts
    ]


def _times(size: Size, names: Sequence[Name], rounds: int) -> tuple[float, dict[Name, float]]:
    """The seconds of cross_entropy, and of each (loss, way) its multiple of them."""
    scores, target = batch(*size)
    ways = {(text, way): step(WAYS[way](losses.parse(text)), scores, target) for text, way in names}
    for name in names:
        ways[name]()  # what compiles, compiles out of turn
    small, large = math.prod(size) < SMALL, math.prod(size) >= LARGE
    rounds, repeats = rounds * (10 if small else 1 if large else 2), 50 if small else 1
    return side_by_side(step(F.cross_entropy, scores, target), ways, rounds, repeats)


# Options: each beside torch's own loss with the same option


def _options(size: Size, rounds: int) -> list[dict[str, Any]]:
    """Time and memory with label smoothing, probabilities, float64, and of the sigmoid form."""
    scores, target = batch(*size)
    soft = torch.randn(size, generator=torch.Generator().manual_seed(2)).softmax(1)
    one_hot = F.one_hot(target, size[1]).to(scores.dtype)
    smooth = partial(F.cross_entropy, label_smoothing=0.1)
    cases: dict[str, tuple[Loss, Callable[[str], Loss], Tensor, Tensor]] = {
        "label_smoothing": (smooth, lambda text: losses.parse(text, label_smoothing=0.1), scores, target),
        "probabilities": (F.cross_entropy, losses.parse, scores, soft),
        "float64": (F.cross_entropy, losses.parse, scores.detach().double().requires_grad_(), target),
        "sigmoid": (F.binary_cross_entropy_with_logits, losses.SigmoidLoss, scores, one_hot),
        "sigmoid, probabilities": (F.binary_cross_entropy_with_logits, losses.SigmoidLoss, scores, soft),
    }
    measured = []
    for name, (usual, make, given, labels) in cases.items():
        ways = {text: step(make(text), given, labels) for text in ("ce", JAL, ANL, FOCAL[1])}
        unit, times = side_by_side(step(usual, given, labels), ways, rounds, 1)
        for text, way in ways.items():
            given.grad = None
            extra = peak(way)
            measured.append(
                {
                    "size": f"{size[0]} x {size[1]}",
                    "option": name,
                    "loss": text,
                    "time": round(times[text], 3),
                    "torch_ms": round(unit * 1e3, 2),
                    "extra": None if extra is None else round(extra / given.nbytes, 3),
                }
            )
    return measured


def _option_goals(options: list[dict[str, Any]]) -> list[dict[str, Any]]:
    goals = []
    for name in dict.fromkeys(row["option"] for row in options):
        rows = [row for row in options if row["option"] == name]
        for what, limit, column in (
            ("one-pass losses, of torch's time", 0.6, [row["time"] for row in rows if row["loss"] not in FOCAL]),
            ("normalized focal losses, of torch's time", 1.0, [row["time"] for row in rows if row["loss"] in FOCAL]),
            (
                "memory beyond the scores, in their size",
                1.1,
                [row["extra"] for row in rows if row["extra"] is not None],
            ),
        ):
            if column:
                most = max(column)
                goals.append({"goal": f"{name}: {what}", "limit": limit, "measured": most, "reached": most <= limit})
    return goals


# Memory


def _memory(size: Size) -> list[dict[str, Any]]:
    """The largest memory beyond the scores, in units of the scores."""
    scores, target = batch(*size)
    unit = scores.nbytes
    jal = losses.parse(JAL)
    ways = {
        "F.cross_entropy": step(F.cross_entropy, scores, target),
        f"{JAL}, usual": step(usual_loss(jal), scores, target),
        f"{ANL}, usual": step(usual_loss(losses.parse(ANL)), scores, target),
        f"{JAL}, noiseproof": step(jal, scores, target),
        f"{ANL}, noiseproof": step(losses.parse(ANL), scores, target),
        f"{FOCAL[-1]}, noiseproof": step(losses.parse(FOCAL[-1]), scores, target),
        f"{JAL}, noiseproof in place": lambda: losses.value_and_grad(jal, scores, target, inplace=True),
    }
    found = []
    for name, way in ways.items():
        scores.grad = None
        extra = peak(way)
        found.append(
            {"size": f"{size[0]} x {size[1]}", "way": name, "extra": None if extra is None else round(extra / unit, 3)}
        )
    return found


# The fused linear layer


def _linear(rows: int, features: int, classes: int, rounds: int) -> list[dict[str, Any]]:
    generator = torch.Generator().manual_seed(1)
    hidden = torch.randn(rows, features, generator=generator, requires_grad=True)
    weight = (torch.randn(classes, features, generator=generator) / features**0.5).requires_grad_()
    target = torch.randint(classes, (rows,), generator=generator)
    jal, smoothed = losses.parse(JAL), losses.parse(JAL, label_smoothing=0.1)
    soft = torch.zeros(rows, classes).scatter_(1, target[:, None], 1.0)
    chunked: Any = getattr(F, "linear_cross_entropy", None)  # torch's own, from 2.13 on

    def backward_of(value: Callable[[], Tensor]) -> Way:
        def way() -> None:
            hidden.grad = weight.grad = None
            value().backward()  # type: ignore[no-untyped-call]

        return way

    def separate(loss: Loss) -> Way:
        return backward_of(lambda: loss(F.linear(hidden, weight), target))

    cross_entropy = separate(F.cross_entropy)
    ways = {
        **(
            {
                "F.linear_cross_entropy": backward_of(
                    lambda: chunked(hidden, weight, target, options=torch.nn.LinearCrossEntropyOptions())
                )
            }
            if chunked
            else {}
        ),
        f"linear + usual {JAL}": separate(usual_loss(jal)),
        f"linear + {JAL}": separate(jal),
        f"linear_loss {JAL}, smoothed": backward_of(lambda: losses.linear_loss(smoothed, hidden, weight, target)),
        f"linear_loss {JAL}, probabilities": backward_of(lambda: losses.linear_loss(jal, hidden, weight, soft)),
        f"linear_loss {JAL}": backward_of(lambda: losses.linear_loss(jal, hidden, weight, target)),
    }
    unit, times = side_by_side(cross_entropy, ways, rounds, 1)
    found = []
    for name, way in {"linear + F.cross_entropy": cross_entropy, **ways}.items():
        hidden.grad = weight.grad = None
        extra = peak(way)
        found.append(
            {
                "size": f"{rows} x {features} x {classes}",
                "way": name,
                "time": round(times.get(name, 1.0), 3),
                "seconds": round(times.get(name, 1.0) * unit, 4),
                "extra_mb": None if extra is None else round(extra / 1e6, 1),
            }
        )
    return found


# Goals


def _goals(
    rows: list[dict[str, Any]], memory: list[dict[str, Any]], fused: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    goals: list[dict[str, Any]] = []

    def most(goal: str, limit: float, measured: Iterable[float | None]) -> None:
        known = [value for value in measured if value is not None]
        if known:
            goals.append({"goal": goal, "limit": limit, "measured": max(known), "reached": max(known) <= limit})

    def least(goal: str, limit: float, measured: Iterable[float]) -> None:
        known = list(measured)
        if known:
            goals.append({"goal": goal, "limit": limit, "measured": min(known), "reached": min(known) >= limit})

    def column(name: str, size: str, texts: Iterable[str]) -> list[Any]:
        return [row[name] for row in rows if row["size"] == size and row["loss"] in texts]

    compiled = _kernels.cpp_node is not None
    for size, with_node, limit in (("128 x 10", 0.6, 0.95), ("128 x 100", 0.8, 1.2)):
        plain = "without_node" if compiled else "noiseproof"
        if compiled:
            goal = f"one-pass losses at {size} with the C++ node, of F.cross_entropy"
            most(goal, with_node, column("noiseproof", size, ONE_PASS))
        goal = f"one-pass losses at {size} without the C++ node, of F.cross_entropy"
        most(goal, limit, column(plain, size, ONE_PASS))
    for size, limit in (("8192 x 1000", 0.45), ("2048 x 32000", 0.45)):
        most(f"one-pass losses at {size}, of F.cross_entropy", limit, column("noiseproof", size, ONE_PASS))
    for size, jal, anl in (("8192 x 1000", 20, 25), ("2048 x 32000", 12, 15)):
        most(f"normalized focal losses at {size}, of F.cross_entropy", 0.7, column("noiseproof", size, FOCAL))
        least(f"JAL-CE at {size}, times faster than the usual way", jal, column("times_usual", size, [JAL]))
        least(f"ANL-CE at {size}, times faster than the usual way", anl, column("times_usual", size, [ANL]))
    ours = [row for row in memory if row["way"].endswith("noiseproof")]
    most("memory beyond the scores, in their size", 1.05, (row["extra"] for row in ours))
    most("the same in place", 0.05, (row["extra"] for row in memory if row["way"].endswith("in place")))
    most("linear_loss, of linear + F.cross_entropy's time", 0.85, [fused[-1]["time"]])
    usual = next(row for row in fused if "usual" in row["way"])
    if usual["extra_mb"] and fused[-1]["extra_mb"]:
        for row in (row for row in fused if row["way"].startswith("linear_loss")):
            most(f"{row['way']}, of the usual way's memory", 1 / 15, [row["extra_mb"] / usual["extra_mb"]])
    return goals
