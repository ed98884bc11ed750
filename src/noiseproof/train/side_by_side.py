"""Several runs on one device, by turns."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from noiseproof.errors import InputError
from noiseproof.train.device import DeviceConfig, flags
from noiseproof.train.loop import Training
from noiseproof.train.outcome import Outcome

__all__ = ["fit_together"]


def fit_together(trainings: Sequence[Training]) -> list[Outcome]:
    """Train several runs by turns on one device; each gives the bits it gives alone.

    On a CUDA device every run has a stream of its own, so that a small network's steps fill the gaps of another's.

    Args:
        trainings: runs of one mode and precision on one device.
    """
    kinds = {(training.mode, training.config) for training in trainings}
    if len(kinds) != 1:
        raise InputError(f"runs side by side need one mode, device and precision, got {len(kinds)} different ones")
    (mode, config) = kinds.pop()
    with flags(mode, config):
        waiting = [(training.steps(), _stream(config)) for training in trainings]
        while waiting:
            going = []
            for steps, stream in waiting:
                with stream:
                    if next(steps, _ENDED) is not _ENDED:
                        going.append((steps, stream))
            waiting = going
        if config.device.type == "cuda":
            torch.cuda.synchronize(config.device)
        return [training.outcome() for training in trainings]


_ENDED = object()


def _stream(config: DeviceConfig) -> AbstractContextManager[object]:
    if config.device.type != "cuda":
        return nullcontext()
    own = torch.cuda.Stream(config.device)  # type: ignore[no-untyped-call]
    own.wait_stream(torch.cuda.current_stream(config.device))  # the weights and the data are on their way there
    return torch.cuda.stream(own)
