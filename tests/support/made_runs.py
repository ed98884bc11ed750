"""Small runs without any training, for the tests of whatever drives runs."""

from __future__ import annotations

import os
import random
import signal
import time
from functools import partial
from pathlib import Path
from typing import Any

from noiseproof.errors import DataMissingError
from noiseproof.experiments import records
from noiseproof.experiments.specification import Run
from support.made_records import made


def runs(count: int, **told: Any) -> list[Run]:
    return [Run(records.canonical(made(seed, **told)["run"])) for seed in range(1, count + 1)]


def accuracy(run: Run) -> float:
    return random.Random(run.run_id).uniform(50, 99)


def expected(count: int) -> dict[int, float]:
    """What a sweep of so many runs records, by seed."""
    return {run.told["seed"]: accuracy(run) for run in runs(count)}


def results(folder: Path) -> dict[int, float | None]:
    """The accuracies in a folder of sound records, by seed."""
    reading = records.read_folder(folder)
    assert reading.damaged == ()
    return {record["run"]["seed"]: record["result"]["accuracy"] for record in reading.records}


def work(
    run: Run, *, seconds: float = 0.0, log: Path | None = None, until: Path | None = None, progress: Any
) -> records.Record:
    """Take a while, until the file `until` is there, tell once, and return the record that this run always has."""
    if log:
        with log.open("a") as file:  # one line an attempt, short enough to be written in one piece
            file.write(f"{os.getpid()} {run.told['seed']}\n")
    progress({"epoch": 1})
    time.sleep(seconds)
    while until and not until.exists():
        time.sleep(0.01)
    told = run.told
    return {**made(**{**told, "accuracy": accuracy(run)})}


def fails(run: Run, *, when: Path, times: int, progress: Any) -> records.Record:
    """Raise the first `times` times; every attempt leaves a mark in the folder `when`."""
    when.mkdir(exist_ok=True)
    attempt = len(list(when.glob(f"{run.run_id}.*")))
    (when / f"{run.run_id}.{attempt}").touch()
    if attempt < times:
        raise RuntimeError(f"attempt {attempt} broke")
    return work(run, progress=progress)


def misses_data(run: Run, *, progress: Any) -> records.Record:
    raise DataMissingError("there is no file cifar10")


def dies(run: Run, *, progress: Any) -> records.Record:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def stops(run: Run, *, when: Path, progress: Any) -> records.Record:
    """Fall silent the first time, in the midst of work."""
    try:
        when.touch(exist_ok=False)
    except FileExistsError:
        return work(run, progress=progress)
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(60)
    raise AssertionError("unreachable")


def hangs(run: Run, *, when: Path, progress: Any) -> records.Record:
    """Compute for ever the first time, alive and without progress."""
    try:
        when.touch(exist_ok=False)
    except FileExistsError:
        return work(run, progress=progress)
    while True:
        time.sleep(0.01)


def needs_memory(run: Run, *, progress: Any) -> records.Record:
    raise MemoryError


def ticks(run: Run, *, times: int, progress: Any) -> str:
    """Tell once a second."""
    for number in range(times):
        time.sleep(1)
        progress(number)
    return "done"


def diverges(run: Run, *, progress: Any) -> records.Record:
    return {**work(run, progress=progress), "status": "diverged"}


def calling(function: Any, **named: Any) -> Any:
    return lambda run: partial(function, run, **named)


def gated(gate: Path, first: int, **named: Any) -> Any:
    """Work whose runs from seed `first` on end only when the file `gate` is there.

    With as many of them as workers a grid cannot end before, however fast or slow the machine: whoever does something
    to it has all the time there is.
    """
    return lambda run: partial(work, run, until=gate if run.told["seed"] >= first else None, **named)
