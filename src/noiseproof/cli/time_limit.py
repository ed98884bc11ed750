"""`--time-limit` of a network: an epoch is timed before training, and the schedule is fitted to what is left."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noiseproof.errors import InputError

if TYPE_CHECKING:
    from noiseproof.experiments.specification import Run

__all__ = ["fitted_schedule", "shortened"]

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


def shortened(run: Run, seconds: float, *, begun: float, root: Path | None, device: str) -> dict[str, Any]:
    """Time an epoch of a run here, say what fits, and give the recipe values to set.

    Args:
        run: as it would be without a limit.
        seconds: from `begun` on.
        begun: `time.monotonic()` of the command's start.
        root, device: of the run.
    """
    from noiseproof.experiments import identity
    from noiseproof.experiments.execution import protocol
    from noiseproof.experiments.time_estimate import seconds_per_epoch
    from noiseproof.reporting.humanize import duration

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError("--time-limit is for one process; under torchrun set --epochs")
    method, recipe = protocol(run)
    count = len(identity.load(run.spec, method, recipe, root).train)
    measured = seconds_per_epoch(run, root=root, device=device)
    assert measured is not None, "the data has just been read"
    left = max(1.0, seconds - (time.monotonic() - begun))
    samples = min(recipe.train.samples or count, count)
    found = fitted_schedule(left, measured, recipe.train.epochs, samples)
    epochs = found.get("train.epochs", recipe.train.epochs)
    part = f" on the first {found['train.samples']:,} samples" if "train.samples" in found else ""
    print(
        f"limit:   {duration(seconds)}; an epoch takes about {duration(measured)} here, so {epochs} of "
        f"{recipe.train.epochs} epochs{part}, the schedule fitted to them",
        file=sys.stderr, flush=True,
    )  # fmt: skip
    return found
