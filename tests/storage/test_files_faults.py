"""Whatever call of a write fails, or wherever the process dies, its reader finds the old state or the new one.

Every operation runs in a fork of its own, in which the n-th call of `os` that can fail does fail, for every n.
"""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from test_lock import owner, written

from conftest import count
from noiseproof.errors import NoiseproofError
from noiseproof.experiments import records
from noiseproof.reporting import report
from noiseproof.storage import files, lock
from noiseproof.train import checkpoint
from support.limits import in_a_child
from support.made_records import made

CALLS = ("open", "read", "write", "fsync", "fstat", "close", "replace", "link", "unlink", "mkdir", "scandir")
FAULTS = {
    "full": errno.ENOSPC,
    "broken": errno.EIO,
    "interrupted": errno.EINTR,
    "forbidden": errno.EACCES,
    "Ctrl+C": KeyboardInterrupt,
    "crash": signal.SIGKILL,
}


@dataclass(frozen=True)
class Operation:
    """What is written, from which state, and what a reader sees."""

    begin: Callable[[Path], object]
    act: Callable[[Path], object]
    view: Callable[[Path], object]


# The five that write


def begun(folder: Path) -> None:
    records.write(folder, made(1))


def seen_records(folder: Path) -> object:
    reading = records.read_folder(folder)
    return sorted(record["run"]["seed"] for record in reading.records), reading.damaged


def state(epoch: int) -> checkpoint.State:
    curves = {"loss": [1.0 / (n + 1) for n in range(epoch)]}
    return checkpoint.State({"seed": 1}, epoch, {"curves": curves}, {"model.w": torch.full((3,), float(epoch))})


def seen_state(folder: Path) -> object:
    found, notes = checkpoint.newest(folder, {"seed": 1}, {"model.w": torch.empty(3)})
    return found and (found.epoch, found.tensors["model.w"].tolist()), notes


def seen_lock(folder: Path) -> object:
    """Who has the place once we ask for it: the dead owner's successor is always one driver, and that is we."""
    taken = lock.take(folder)
    held = taken.held(), [path.name.partition(".")[0] for path in (folder / "locks").iterdir()]
    taken.release()
    return held


def seen_page(folder: Path) -> object:
    page = folder / "report.html"
    return page.read_text() if page.exists() else None


def seen_short(folder: Path) -> object:
    return records.read_folder(folder, whole=False)


OPERATIONS = {
    "record": Operation(begun, lambda folder: records.write(folder, made(2)), seen_records),
    "checkpoint": Operation(
        lambda folder: [checkpoint.save(folder, state(epoch)) for epoch in (1, 2)],
        lambda folder: checkpoint.save(folder, state(3)),
        seen_state,
    ),
    "takeover": Operation(
        lambda folder: written(folder, owner(boot="another")), lambda folder: take(folder), seen_lock
    ),
    "report": Operation(
        lambda folder: files.write_atomic(folder / "report.html", "old" * 9_000),
        lambda folder: report.write([made(1)], folder / "report.html"),
        seen_page,
    ),
    "cache": Operation(
        lambda folder: [records.write(folder, made(seed)) for seed in (1, 2, 3)], seen_short, seen_short
    ),
}


def take(folder: Path) -> None:
    lock.take(folder).release()


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(records, "_WORTH_A_CACHE", 2)
    page = report.page([made(1)])
    monkeypatch.setattr(report, "page", lambda records, **options: page)  # its figures take a while each time


# Failing


class Failing:
    """Counts the calls of `os` and lets one of them fail; lives and dies with its fork."""

    def __init__(self, at: int, fault: object) -> None:
        self.at, self.fault, self.seen = at, fault, list[str]()
        for name in CALLS:
            setattr(os, name, self.guard(name, getattr(os, name)))

    def guard(self, name: str, real: Callable) -> Callable:
        def call(*args, **kwargs):
            self.seen.append(name)
            if len(self.seen) - 1 != self.at:
                return real(*args, **kwargs)
            if self.fault is signal.SIGKILL:
                os.kill(os.getpid(), signal.SIGKILL)
            if name == "close":
                real(*args, **kwargs)  # Linux gives the descriptor back even when close reports an error
            if self.fault is KeyboardInterrupt:
                raise KeyboardInterrupt
            raise OSError(self.fault, os.strerror(self.fault))

        return call


def attempt(operation: Operation, folder: Path, at: int, fault: object) -> tuple[list[str], str]:
    """In this process, which is a fork: what was called, and how it ended."""
    failing, end = Failing(at, fault), "done"
    try:
        operation.act(folder)
    except (NoiseproofError, KeyboardInterrupt) as error:
        end = f"{type(error).__name__}: {error}"
    return failing.seen, end


def fresh(operation: Operation, folder: Path) -> Path:
    folder.mkdir()
    operation.begin(folder)
    return folder


def leftovers(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob(".tmp,*")]


@pytest.mark.parametrize("name", OPERATIONS)
def test_at_every_call_and_with_every_fault_the_state_is_the_old_or_the_new_one(name, tmp_path, tally):
    operation = OPERATIONS[name]
    old = operation.view(fresh(operation, tmp_path / "old"))
    operation.act(fresh(operation, tmp_path / "warm"))  # what is imported or remembered is, from here on
    reference = fresh(operation, tmp_path / "new")
    calls, end = in_a_child(attempt, operation, reference, -1, None)
    assert end == "done"
    new = operation.view(reference)
    assert {"open", "write", "fsync", "close"} <= set(calls)
    cases = [(at, fault) for at in range(len(calls)) for fault in FAULTS]
    for number, (at, fault) in enumerate(cases if count(0, 1) else cases[::5]):
        where = f"{calls[at]} (call {at}), {fault}"
        folder = fresh(operation, tmp_path / str(number))
        if fault == "crash":
            with pytest.raises(AssertionError, match="signal 9"):
                in_a_child(attempt, operation, folder, at, FAULTS[fault])
        else:
            in_a_child(attempt, operation, folder, at, FAULTS[fault])
        for place in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            files.clear_temporaries(place)  # as the next start does
        assert leftovers(folder) == [], where
        assert operation.view(folder) in (old, new), where
        operation.act(folder)
        assert operation.view(folder) == new, f"{where}: the next start does not mend it"
    tally("faults at a call that writes", number + 1)
