"""Estimated time of an epoch on this machine from a few timed steps, before a similar run is recorded."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import torch

from noiseproof.errors import DataMissingError
from noiseproof.experiments import run_content
from noiseproof.experiments.single_run import protocol
from noiseproof.experiments.specification import Run
from noiseproof.train import Training
from noiseproof.train.device import flags

__all__ = ["seconds_per_epoch"]

_FEW = 16  # images; on a processor a convolution's time grows with their number, so few tell of many
_STEPS = 16  # of vectors, or on a GPU: one alone would count what an epoch spends once
_FORWARD = 1 / 3  # of a training step's work, for a sample that is only judged


def seconds_per_epoch(run: Run, *, root: Path | None = None, device: str = "auto") -> float | None:
    """Rough seconds of an epoch of training and testing, on as many threads as torch uses here.

    Returns:
        Seconds; None where the data is not here.
    """
    spec, (method, recipe) = run.spec, protocol(run)
    try:
        found = run_content.load(spec, method, recipe, root)
    except DataMissingError:
        return None
    inputs = found.train.inputs
    vectors = recipe.model.features is not None or (isinstance(inputs, torch.Tensor) and inputs.dim() == 2)
    whole = vectors or (device != "cpu" and torch.cuda.is_available())
    samples = min(recipe.train.samples or len(found.train), len(found.train))
    batch = recipe.train.batch_size if whole else _FEW
    count = min(samples, _STEPS * batch if whole else _FEW)
    some = replace(found, train=found.train.take(range(count)), test=found.test.take(range(1)), also={})
    once = replace(recipe, train=recipe.train.model_copy(update={"batch_size": min(batch, count)}))
    training = Training(some, None, method, once, seed=0, device=device, precision=spec["precision"], mode=spec["mode"])
    with flags(spec["mode"], training.config):
        step = training.step()
        for _ in range(2):  # the first one warms up
            started = time.perf_counter()
            for _ in training.train_epoch(step):
                pass
            next(training.network.parameters()).sum().item()  # waits for the device
            taken = time.perf_counter() - started
    return taken / count * (samples + _FORWARD * len(found.test))
