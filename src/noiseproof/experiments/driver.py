"""The driver: hands out the runs of a grid that have no record yet, and records what comes back.

Workers compute, the driver records; so a worker may die at any moment. The driver may too: what is recorded stays,
the rest is found without a record by whoever drives next.

Only what a run's own code raises is a result, `failed`. Trouble of the machine (workers that die, hang or do not
start, a lack of memory) and of the data leaves no record: the same command tries again.
"""

from __future__ import annotations

import itertools
import shutil
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from noiseproof.errors import DataError, DataMissingError, InputError, MachineError, NoiseproofError
from noiseproof.experiments import records
from noiseproof.experiments.callbacks import Callback, Summary
from noiseproof.experiments.executors.base import (
    Call,
    Event,
    Finished,
    Lost,
    OutOfMemory,
    Pool,
    Progress,
    Raised,
    Stalled,
)
from noiseproof.experiments.executors.shard import WHOLE, Shard
from noiseproof.experiments.records import Record, RunText
from noiseproof.experiments.specification import Run
from noiseproof.storage import files
from noiseproof.storage.lock import Lock, take

if TYPE_CHECKING:
    from noiseproof.train import Team

__all__ = ["Callback", "Summary", "estimate", "open_folder", "pending", "run_all", "run_one"]

_ATTEMPTS = 3  # of a run that raises
_LOSSES = 10  # of workers over one run that gets no further; more is no accident
_STARTS = 3  # workers that end before they are ready, when none ever was
_ROOM = 64 << 20  # bytes that must be free before anything starts


@dataclass
class _Attempt:
    run: Run
    begun: float


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
            if records.is_of_other_files(record):
                why = "was computed on files that are not the official ones"
            elif not (retry_failed and record["status"] == "failed"):
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
    waiting: Sequence[Run],
    known: Sequence[Record],
    probe: Callable[[Run], float | None] = lambda run: None,
    cost: Callable[[RunText], float] = lambda spec: 1.0,
) -> float | None:
    """Estimated seconds for the pending runs, from the finished runs most similar to each.

    Args:
        waiting: what is to do.
        known: what is recorded.
        probe: seconds of an epoch where no finished run is alike; asked once for all runs that are alike.
        cost: work of a run's method beside cross-entropy, to judge one method by another.

    Returns:
        None where neither the records nor the probe can say.
    """
    done = [record for record in known if record["status"] == "done"]
    probed: dict[str, float | None] = {}
    total = 0.0
    for run in waiting:
        work = _work(run.spec)
        alike = [record for record in done if _work(record["run"]) == work]
        near = [record for record in alike if record["run"]["method"] == run.spec["method"]] or alike
        if near:
            unit = fmean(one["seconds"] / one["run"]["settings"]["train"]["epochs"] / cost(one["run"]) for one in near)
        else:
            if work not in probed:
                asked = probe(run)
                probed[work] = None if asked is None else asked / cost(run.spec)
            if (found := probed[work]) is None:
                return None
            unit = found
        epoch = unit * cost(run.spec)
        total += epoch * run.spec["settings"]["train"]["epochs"]
    return total


def _work(spec: RunText) -> str:
    """Key of runs whose epochs take equally long: data, model, samples, batch size."""
    settings = spec["settings"]
    train = settings["train"]
    return records.canonical([spec["data"], settings["model"], train.get("samples"), train["batch_size"]])


def run_one(
    run: Run,
    folder: Path,
    call: Call,
    *,
    callback: Callback | None = None,
    team: Team | None = None,
    retry_failed: bool = False,
) -> Record | None:
    """Compute and record one run in this process, unless it has a record.

    Several can work in the same folder at a time, one at each run. What the computation raises is left as a note
    beside the run and raised.

    Args:
        run: what to compute.
        folder: the results folder.
        call: the computation; it returns the run's record.
        callback: called at every step.
        team: the processes that share the computation. The first one decides whether there is something to do, and
            records.
        retry_failed: compute it again if it is recorded as failed.

    Returns:
        The record; None at the other processes of a team.
    """
    callback = callback or Callback()
    place = records.location(folder, run.run_id).parent
    with ExitStack() as stack:

        def begin() -> bool:
            files.need_space(folder, _ROOM)
            stack.callback(take(files.make_folder(place)).release)
            _clear(place)
            waiting, known = pending([run], folder, callback, retry_failed=retry_failed)
            callback.begin(len(waiting), len(known))
            return not known

        to_do = team.broadcast(begin) if team else begin()
        first = team is None or team.rank == 0
        run_id = run.run_id
        if to_do:
            record = _compute(run, place, call, callback)
            run_id = record["run_id"]  # another one's, where the run was stopped on the way
            if first:
                _keep(run, folder, record, callback)
        return records.read(records.location(folder, run_id)) if first else None


def _compute(run: Run, place: Path, call: Call, callback: Callback) -> Record:
    callback.started(run)
    try:
        record: Record = call(progress=lambda content: callback.progress(run, content))
    except Exception:
        _leave_note(place, traceback.format_exc())
        raise
    return record


def _keep(run: Run, folder: Path, record: Record, callback: Callback) -> None:
    if not records.write(folder, record):
        callback.note("recorded by somebody else in the meantime; this result is discarded")
        return
    shutil.rmtree(records.location(folder, run.run_id).parent / "checkpoints", ignore_errors=True)
    callback.recorded(run, record)


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
        callback: called at every step.
        retry_failed: run those again that are recorded as failed.

    Returns:
        Counts; runs that could not be finished are listed as `unfinished` with the reason.

    Raises:
        MachineError: the folder is another driver's, a disk failed or no worker starts; what is recorded stays.
        NoiseproofError: no run at all could be recorded, for the reason of the first.
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
        self.folder, self.lock, self.pool, self.call = folder, lock, pool, call
        self.callback, self.summary = callback, summary
        self.tickets = itertools.count(1)
        self.flying: dict[int, _Attempt] = {}
        self.raised: Counter[Run] = Counter()
        self.lost: Counter[Run] = Counter()
        self.furthest: dict[Run, float] = {}
        self.never_ready = 0  # workers in a row that ended before they could take a call
        self.workers_start = False

    def through(self, runs: Iterable[Run]) -> Summary:
        self.waiting = deque(runs)
        while self.waiting or self.flying:
            while self.waiting and len(self.flying) < self.pool.slots:
                self._start(self.waiting.popleft())
            for event in self.pool.events(timeout=1.0):
                # An attempt that was given up may still answer; its ticket is no longer known.
                if event.ticket in self.flying:
                    self._happened(event, self.flying[event.ticket])
        if self.summary.unfinished and not self.summary.recorded:
            run, error = self.summary.unfinished[0]
            raise type(error)(f"{run}: {error}")
        return self.summary

    def _start(self, run: Run) -> None:
        ticket = next(self.tickets)
        self.flying[ticket] = _Attempt(run, time.monotonic())
        self.pool.start(ticket, self.call(run))
        self.callback.started(run)

    def _happened(self, event: Event, attempt: _Attempt) -> None:
        run = attempt.run
        if isinstance(event, Stalled):
            self.callback.note(f"{run}: no progress for {event.seconds:.0f} s; --stuck-after SECONDS gives it up")
            return
        if not (isinstance(event, Lost) and not event.started):
            self.workers_start, self.never_ready = True, 0
        if isinstance(event, Progress):
            self._moved(run, event.content)
            self.callback.progress(run, event.content)
            return
        del self.flying[event.ticket]
        if isinstance(event, Finished):
            self._record(run, event.value)
        elif isinstance(event, Raised):
            self._wrong(attempt, event)
        else:
            self._gone(run, event)

    def _moved(self, run: Run, content: Any) -> None:
        """A run that gets further than ever before has met no obstacle so far."""
        epoch = content.get("epoch", 0) if isinstance(content, Mapping) else 0
        if epoch > self.furthest.get(run, 0):
            self.furthest[run] = epoch
            self.lost[run] = 0

    def _wrong(self, attempt: _Attempt, event: Raised) -> None:
        """The run raised: leave it where a person has to do something, else try again, else record the failure."""
        run, error, text = attempt.run, event.error, str(event.error)
        if isinstance(error, OutOfMemory):
            self._again(run, error, most=_ATTEMPTS)
            return
        if isinstance(error, InputError):
            self._leave(run, error)
            return
        if isinstance(error, NoiseproofError):  # the disk, or a package that is missing: nothing else would work
            raise type(error)(f"{run}: {text}")
        _leave_note(self._place(run), event.trace or text)
        self.raised[run] += 1
        if self.raised[run] < _ATTEMPTS:
            self.callback.note(f"{run}: {text}; trying again")
            self.waiting.append(run)
        else:
            self._record(run, run.failure(text, time.monotonic() - attempt.begun))

    def _gone(self, run: Run, event: Lost) -> None:
        if not event.started:
            self.never_ready += 1
            if self.never_ready >= (_LOSSES if self.workers_start else _STARTS):
                raise MachineError(f"no worker starts; {event.why}")
        self._again(run, MachineError(event.why), most=_ATTEMPTS if event.stuck else _LOSSES)

    def _again(self, run: Run, error: MachineError, *, most: int) -> None:
        """Try again after the machine's trouble, up to so many times in a row; what cannot be done is no result."""
        self.lost[run] += 1
        if self.lost[run] < most:
            self.callback.note(f"{run}: {error}; queued again")
            self.waiting.append(run)
            return
        _leave_note(self._place(run), str(error))
        self._leave(run, type(error)(f"gave up after {most} attempts that got no further; the last: {error}"))

    def _leave(self, run: Run, error: NoiseproofError) -> None:
        """Go on without the run, and if its data are at fault, without all others on them."""
        same_data = [other for other in self.waiting if other.spec["data"] == run.spec["data"]]
        for left in [run, *(same_data if isinstance(error, DataError) else [])]:
            self.summary.unfinished.append((left, error))
            if left is not run:
                self.waiting.remove(left)
        if self.waiting or self.flying:
            self.callback.note(f"{run}: {error}; the other runs go on")

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
