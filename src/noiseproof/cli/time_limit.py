"""`--time-limit` of a network: an epoch is timed, the schedule fitted to what is left, and the end is kept."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noiseproof.errors import InputError

if TYPE_CHECKING:
    from noiseproof.experiments.specification import Run

__all__ = ["fitted_schedule", "shortened", "time_to_close"]

_SHARE = 0.75  # of the limit that is planned for; the rest is for start, evaluation and busy neighbours


def fitted_schedule(seconds: float, per_epoch: float, epochs: int, samples: int) -> dict[str, Any]:
    """Recipe values that make a training last no longer than this; none where the recipe's own do.

    Args:
        seconds: there are.
        per_epoch: seconds of an epoch over all samples.
        epochs: of the recipe.
        samples: of the training set.

    Raises:
        InputError: not even a hundred samples can be trained on.

    Example:
        >>> fitted_schedule(600, 50, epochs=120, samples=1000)
        {'train.epochs': 9}
        >>> fitted_schedule(600, 900, epochs=120, samples=1000)
        {'train.epochs': 1, 'train.samples': 500}
    """
    possible = _SHARE * seconds / max(per_epoch, 1e-9)
    if possible >= epochs:
        return {}
    if possible >= 1:
        return {"train.epochs": int(possible)}
    few = int(possible * samples)
    if few < 100:
        raise InputError(
            f"an epoch of this network takes about {per_epoch:.0f} s here; give it more time, or leave --method out to "
            "learn on frozen features"
        )
    return {"train.epochs": 1, "train.samples": few}


def time_to_close(seconds: float, per_epoch: float, samples: int, tests: int) -> float:
    """Seconds of the limit that are kept for the last evaluation and the model folder.

    A judged sample takes about a third of a trained one's work; a stopped training judges the test split and a hundred
    samples, and twice that time is kept.

    Example:
        >>> round(time_to_close(600, 55, samples=1000, tests=300), 1)               # 5 % and 2 x 55 x 133 / 1100
        43.3
    """
    return min(0.4 * seconds, 0.05 * seconds + 2 * (tests + 100) * _judging(per_epoch, samples, tests))


def _judging(per_epoch: float, samples: int, tests: int) -> float:
    """Seconds that a judged sample takes."""
    return per_epoch / (3 * samples + tests) if samples else 0.0


def shortened(
    run: Run, seconds: float, *, begun: float, root: Path | None, device: str
) -> tuple[dict[str, Any], Callable[[], bool]]:
    """Time an epoch of a run here, say what fits, and give the recipe values to set and what ends the training.

    Args:
        run: as it would be without a limit.
        seconds: from `begun` on.
        begun: `time.monotonic()` of the command's start.
        root, device: of the run.
    """
    from noiseproof.experiments import run_content
    from noiseproof.experiments.single_run import protocol
    from noiseproof.experiments.time_estimate import seconds_per_epoch
    from noiseproof.humanize import duration
    from noiseproof.train.health import LIMIT

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("--time-limit is for one process; under torchrun set --epochs")
    method, recipe = protocol(run)
    read = run_content.load(run.spec, method, recipe, root)
    count = len(read.train)
    measured = seconds_per_epoch(run, root=root, device=device)
    assert measured is not None, "the data has just been read"
    left = max(1.0, seconds - (time.monotonic() - begun))
    samples = min(recipe.train.samples or count, count)
    looks = min(samples, LIMIT) * _judging(measured, samples, len(read.test))  # of a training that ends by itself
    found = fitted_schedule(left - min(0.4 * left, looks), measured, recipe.train.epochs, samples)
    epochs = found.get("train.epochs", recipe.train.epochs)
    part = f" on the first {found['train.samples']:,} samples" if "train.samples" in found else ""
    print(
        f"limit:   {duration(seconds)}; an epoch takes about {duration(measured)} here, so {epochs} of "
        f"{recipe.train.epochs} epochs{part}, the schedule fitted to them",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    last = begun + seconds - time_to_close(seconds, measured, samples, len(read.test))
    return found, lambda: time.monotonic() >= last
