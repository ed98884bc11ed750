"""The driver: hands out the runs of a grid that have no record yet, and records what comes back.

Workers compute, the driver records; so a worker may die at any moment. The driver may too: what is recorded stays,
the rest is found without a record by whoever drives next.
"""

from __future__ import annotations

import itertools
import shutil
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from noiseproof.errors import DataError, DataMissingError, MachineError, NoiseproofError
from noiseproof.experiments import records
from noiseproof.experiments.executors.base import Call, Event, Finished, Lost, Pool, Progress, Raised
from noiseproof.experiments.records import Record, RunText
from noiseproof.experiments.specification import Run
from noiseproof.storage import files
from noiseproof.storage.lock import WHOLE, Lock, Shard, take

__all__ = ["Callback", "Summary", "estimate", "open_folder", "pending", "run_all", "run_one"]

_ATTEMPTS = 3  # of a run that raises
_LOSSES = 10  # of workers over one run before it has something to tell; more is no accident
_ROOM = 64 << 20  # bytes that must be free before anything starts


class Callback:
    """Callbacks of a sweep: subclass and override."""

    def begin(self, waiting: int, recorded: int) -> None:
        """The sweep begins: counts of the pending runs and of those recorded before."""

    def started(self, run: Run) -> None:
        """A worker has started the run."""

    def progress(self, run: Run, content: Any) -> None:
        """A worker reports progress of its run, usually once an epoch."""

    def recorded(self, run: Run, record: Record) -> None:
        """The record is on the disk."""

    def note(self, text: str) -> None:
        """A message for the user."""


@dataclass
class Summary:
    """Counts of the runs of a sweep by how they ended."""

    recorded: int = 0
    present: int = 0  # had a record before
    discarded: int = 0  # another driver was faster
    failed: list[tuple[Run, str]] = field(default_factory=list)
    diverged: list[Run] = field(default_factory=list)


@dataclass
class _Attempt:
    run: Run
    begun: float
    told: bool = False


def pending(
    runs: Iterable[Run], folder: Path, callback: Callback | None = None, *, retry_failed: bool = False
) -> tuple[list[Run], list[Record]]:
    """The runs without a record, in their order, and the records of the others.

    A damaged record counts as none, and so does that of a failed run under `retry_failed`. If a `callback` is given,
    such records are moved among the notes, so that the run can be recorded again.
    """
    waiting, known = [], []
    for run in dict.fromkeys(runs):
        path, why = records.location(folder, run.run_id), ""
        try:
            record = records.read(path)
            if not (retry_failed and record["status"] == "failed"):
                known.append(record)
                continue
        except DataMissingError:
            pass
        except DataError as error:
            why = f"is damaged: {error}"
        waiting.append(run)
        if callback and path.exists():
            moved = files.move_aside(path, path.parent / "notes")
            callback.note(f"{path} {why or 'failed and is tried again'}; moved to {moved}")
    return waiting, known


def estimate(
    waiting: Sequence[Run], known: Sequence[Record], probe: Callable[[Run], float | None] = lambda run: None
) -> float | None:
    """Seconds of work that the waiting runs are, by the finished runs most like each.

    Args:
        waiting: what is to do.
        known: what is recorded.
        probe: seconds of an epoch where no finished run is alike; asked once for all runs that are alike.

    Returns:
        None where neither the records nor the probe can say.
    """
    done = [record for record in known if record["status"] == "done"]
    probed: dict[str, float | None] = {}
    total = 0.0
    for run in waiting:
        work = _work(run.told)
        alike = [record for record in done if _work(record["run"]) == work]
        near = [record for record in alike if record["run"]["method"] == run.told["method"]] or alike
        if near:
            epoch = fmean(one["seconds"] / one["run"]["settings"]["train"]["epochs"] for one in near)
        else:
            if work not in probed:
                probed[work] = probe(run)
            if (asked := probed[work]) is None:
                return None
            epoch = asked
        total += epoch * run.told["settings"]["train"]["epochs"]
    return total


def _work(told: RunText) -> str:
    """What decides how long an epoch takes, but for the method."""
    settings = told["settings"]
    train = settings["train"]
    return records.canonical([told["data"], settings["model"], train.get("samples"), train["batch_size"]])


def run_one(run: Run, folder: Path, call: Call, *, callback: Callback | None = None) -> Record:
    """Compute and record one run in this process, unless it has a record.

    Several can work in the same folder at a time, one at each run. What the computation raises is left as a note
    beside the run and raised.
    """
    callback = callback or Callback()
    files.need_space(folder, _ROOM)
    place = files.make_folder(records.location(folder, run.run_id).parent)
    lock = take(place)
    try:
        _clear(place)
        waiting, known = pending([run], folder, callback)
        callback.begin(len(waiting), len(known))
        if known:
            return known[0]
        callback.started(run)
        try:
            record: Record = call(progress=lambda content: callback.progress(run, content))
        except Exception:
            _leave_note(place, traceback.format_exc())
            raise
        if not records.write(folder, record):
            callback.note("recorded by somebody else in the meantime; this result is discarded")
            return records.read(records.location(folder, run.run_id))
        shutil.rmtree(place / "checkpoints", ignore_errors=True)
        callback.recorded(run, record)
        return record
    finally:
        lock.release()


def open_folder(folder: Path, shard: Shard = WHOLE) -> Lock:
    """Make a results folder ready for its one driver: room, the lock, nothing left of dead writers.

    Raises:
        MachineError: it cannot be written, is nearly full, or another driver works on it.
    """
    files.need_space(folder, _ROOM)
    files.make_folder(folder / "runs")
    lock = take(folder, shard)
    for place in [folder, *(folder / "runs").iterdir()]:
        _clear(place)
    return lock


def _clear(place: Path) -> None:
    for inner in (place, place / "checkpoints", place / "notes"):
        files.clear_temporaries(inner)


def _leave_note(place: Path, text: str) -> None:
    """Keep the text of an error beside a run."""
    for number in itertools.count(1):
        if files.create_once(place / "notes" / f"attempt-{number}.txt", text):
            return


def run_all(
    runs: Iterable[Run],
    folder: Path,
    pool: Pool,
    call: Callable[[Run], Call],
    *,
    shard: Shard = WHOLE,
    callback: Callback | None = None,
    retry_failed: bool = False,
) -> Summary:
    """Compute and record every run of the shard that has no record.

    Args:
        runs: the grid.
        folder: the results folder.
        pool: who computes.
        call: what a worker is to do for a run; it returns the run's record.
        shard: which part of the grid is ours.
        callback: told of every step.
        retry_failed: run those again that are recorded as failed.

    Raises:
        MachineError: the folder is another driver's, or a disk failed; what is recorded stays.
        InputError: a run cannot be what its text says, or needs files that are not there.
    """
    callback = callback or Callback()
    lock = open_folder(folder, shard)
    try:
        if lock.note:
            callback.note(lock.note)
        mine = [run for run in runs if shard.holds(run.run_id)]
        waiting, known = pending(mine, folder, callback, retry_failed=retry_failed)
        callback.begin(len(waiting), len(known))
        return _Driver(folder, lock, pool, call, callback, Summary(present=len(known))).through(waiting)
    finally:
        pool.close()
        lock.release()


class _Driver:
    """State of a sweep: pending runs, attempts under way, how often each run went wrong."""

    def __init__(
        self, folder: Path, lock: Lock, pool: Pool, call: Callable[[Run], Call], callback: Callback, summary: Summary
    ) -> None:
        self.folder, self.lock, self.pool, self.call, self.callback, self.summary = (
            folder,
            lock,
            pool,
            call,
            callback,
            summary,
        )
        self.tickets = itertools.count(1)
        self.flying: dict[int, _Attempt] = {}
        self.raised: dict[Run, int] = {}
        self.lost: dict[Run, int] = {}

    def through(self, runs: Iterable[Run]) -> Summary:
        self.waiting = deque(runs)
        while self.waiting or self.flying:
            while self.waiting and len(self.flying) < self.pool.slots:
                self._start(self.waiting.popleft())
            for event in self.pool.events(timeout=1.0):
                # An attempt that was given up may still answer; nobody knows its ticket any more.
                if event.ticket in self.flying:
                    self._happened(event, self.flying[event.ticket])
        return self.summary

    def _start(self, run: Run) -> None:
        ticket = next(self.tickets)
        self.flying[ticket] = _Attempt(run, time.monotonic())
        self.pool.start(ticket, self.call(run))
        self.callback.started(run)

    def _happened(self, event: Event, attempt: _Attempt) -> None:
        if isinstance(event, Progress):
            attempt.told = True
            self.callback.progress(attempt.run, event.content)
            return
        del self.flying[event.ticket]
        if isinstance(event, Finished):
            self._record(attempt.run, event.value)
        elif isinstance(event, Raised):
            self._wrong(attempt, event)
        else:
            self._gone(attempt, event)

    def _wrong(self, attempt: _Attempt, event: Raised) -> None:
        """The run raised: stop where a person has to do something, else try again, else record the failure."""
        run, text = attempt.run, str(event.error)
        if isinstance(event.error, NoiseproofError):  # what was typed, the data or the disk
            raise type(event.error)(f"{run}: {text}")
        _leave_note(self._place(run), event.trace or text)
        self.raised[run] = tries = self.raised.get(run, 0) + 1
        if tries < _ATTEMPTS:
            self.callback.note(f"{run}: {text}; trying again")
            self.waiting.append(run)
        else:
            self._record(run, run.failure(text, time.monotonic() - attempt.begun))

    def _gone(self, attempt: _Attempt, event: Lost) -> None:
        run = attempt.run
        self.lost[run] = losses = 0 if attempt.told else self.lost.get(run, 0) + 1
        if losses < _LOSSES:
            self.callback.note(f"{run}: {event.why}; queued again")
            self.waiting.append(run)
        else:
            _leave_note(self._place(run), event.why)
            text = f"{losses} workers in a row were lost before the first epoch ended; the last: {event.why}"
            self._record(run, run.failure(text, time.monotonic() - attempt.begun))

    def _record(self, run: Run, record: Record) -> None:
        if not self.lock.held():
            raise MachineError(
                f"{self.folder} has another driver now: the lock {self.lock.path} is gone or was taken over; "
                "everything recorded stays, and this driver stops"
            )
        if not records.write(self.folder, record):
            self.summary.discarded += 1
            self.callback.note(f"{run}: recorded by somebody else in the meantime; this result is discarded")
            return
        self.summary.recorded += 1
        if record["status"] == "failed":
            self.summary.failed.append((run, record["error"] or ""))
        if record["status"] == "diverged":
            self.summary.diverged.append(run)
        shutil.rmtree(self._place(run) / "checkpoints", ignore_errors=True)
        self.callback.recorded(run, record)

    def _place(self, run: Run) -> Path:
        return records.location(self.folder, run.run_id).parent
