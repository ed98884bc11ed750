"""The driver records every run exactly once, whatever breaks on the way."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from conftest import count
from noiseproof.errors import DataMissingError, MachineError
from noiseproof.experiments import driver, records
from noiseproof.experiments.driver import Callback, run_all
from noiseproof.experiments.executors.base import Finished, Lost, Raised
from noiseproof.experiments.executors.local import LocalPool
from noiseproof.experiments.executors.shard import Shard
from support.made_runs import (
    calling,
    dies,
    diverges,
    expected,
    fails,
    hangs,
    misses_data,
    needs_memory,
    results,
    runs,
    stops,
    work,
)

TESTS = Path(__file__).parents[1]


class Notes(Callback):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob(".tmp,*"))


def test_every_run_is_computed_once_and_the_second_drive_has_nothing_to_do(tmp_path):
    log = tmp_path / "log"
    first = run_all(runs(12), tmp_path / "out", LocalPool(2), calling(work, log=log))
    assert (first.recorded, first.present) == (12, 0)
    assert results(tmp_path / "out") == expected(12)
    second = run_all(runs(15), tmp_path / "out", LocalPool(2), calling(work, log=log))
    assert (second.recorded, second.present) == (3, 12)
    attempts = Counter(line.split()[1] for line in log.read_text().splitlines())
    assert set(attempts.values()) == {1}
    assert len(attempts) == 15
    assert len({line.split()[0] for line in log.read_text().splitlines()}) <= 4, "workers are used again"


def test_shards_share_a_grid_without_sharing_a_run(tmp_path):
    log = tmp_path / "log"
    sizes = []
    for number in (1, 2, 3):
        tally = run_all(runs(20), tmp_path / "out", LocalPool(1), calling(work, log=log), shard=Shard(number, 3))
        sizes.append(tally.recorded)
        assert tally.present == 0
    assert sum(sizes) == 20
    assert min(sizes) > 0
    assert results(tmp_path / "out") == expected(20)
    assert len(log.read_text().splitlines()) == 20


def test_two_drivers_of_different_shards_work_at_once_and_compute_every_run_once(tmp_path):
    for attempt in range(count(1, 20)):
        out, log = tmp_path / str(attempt), tmp_path / f"log {attempt}"
        first, second = (
            partial(run_all, runs(6), out, LocalPool(1), calling(work, seconds=0.05, log=log), shard=Shard(number, 2))
            for number in (1, 2)
        )
        with ThreadPoolExecutor() as side_by_side:
            tallies = list(side_by_side.map(lambda shard: shard(), (first, second)))
        assert sum(tally.recorded for tally in tallies) == 6
        assert results(out) == expected(6)
        computed = [line.split()[1] for line in log.read_text().splitlines()]
        assert len(computed) == len(set(computed)) == 6


def test_a_run_that_raises_twice_is_done_the_third_time_and_its_errors_lie_beside_it(tmp_path):
    notes = Notes()
    run_all(runs(2), tmp_path / "out", LocalPool(1), calling(fails, when=tmp_path / "tries", times=2), callback=notes)
    assert results(tmp_path / "out") == expected(2)
    for run in runs(2):
        texts = [p.read_text() for p in (tmp_path / "out" / "runs" / run.run_id / "notes").iterdir()]
        assert sorted("RuntimeError: attempt 0 broke" in text for text in texts) == [False, True]
        assert all("Traceback" in text for text in texts)
    assert notes.lines.count(f"{runs(1)[0]}: RuntimeError: attempt 0 broke; trying again") == 1


def test_a_run_that_raises_three_times_is_recorded_as_failed_and_the_others_go_on(tmp_path):
    grid = runs(3)
    call = {
        grid[0].run_id: calling(fails, when=tmp_path / "tries", times=9)(grid[0]),
        **{run.run_id: calling(work)(run) for run in grid[1:]},
    }
    tally = run_all(grid, tmp_path / "out", LocalPool(2), lambda run: call[run.run_id])
    assert [(run, error) for run, error in tally.failed] == [(grid[0], "RuntimeError: attempt 2 broke")]
    by_seed = {record["run"]["seed"]: record for record in records.read_folder(tmp_path / "out").records}
    assert [by_seed[seed]["status"] for seed in (1, 2, 3)] == ["failed", "done", "done"]
    assert by_seed[1]["error"] == "RuntimeError: attempt 2 broke"
    assert by_seed[1]["result"]["accuracy"] is None
    again = run_all(grid, tmp_path / "out", LocalPool(2), lambda run: call[run.run_id])
    assert (again.present, again.recorded) == (3, 0), "a failed run runs again only when asked"


def test_diverged_is_a_result(tmp_path):
    tally = run_all(runs(1), tmp_path / "out", LocalPool(1), calling(diverges))
    assert tally.diverged == runs(1)
    assert records.read_folder(tmp_path / "out").records[0]["status"] == "diverged"


def test_missing_data_stops_the_drive_and_records_nothing(tmp_path):
    with pytest.raises(DataMissingError, match="there is no file cifar10"):
        run_all(runs(3), tmp_path / "out", LocalPool(1), calling(misses_data))
    assert results(tmp_path / "out") == {}
    run_all(runs(3), tmp_path / "out", LocalPool(1), calling(work))
    assert results(tmp_path / "out") == expected(3)


def per_run(grid, *kinds):
    """A call of its own kind for each run of a grid."""
    calls = {run.run_id: kind(run) for run, kind in zip(grid, kinds, strict=True)}
    return lambda run: calls[run.run_id]


def test_a_bad_data_set_stops_its_own_runs_only(tmp_path):
    grid = [*runs(3, data="bad"), *runs(2)]
    bad, good = calling(misses_data), calling(work)
    summary = run_all(grid, tmp_path / "out", LocalPool(1), per_run(grid, bad, bad, bad, good, good))
    assert results(tmp_path / "out") == expected(2)
    assert [run for run, _ in summary.unfinished] == grid[:3]
    assert {type(error) for _, error in summary.unfinished} == {DataMissingError}


def test_a_run_that_kills_every_worker_is_given_up_and_leaves_no_record(tmp_path, monkeypatch):
    monkeypatch.setattr(driver, "_LOSSES", 3)
    grid = runs(2)
    summary = run_all(grid, tmp_path / "out", LocalPool(1), per_run(grid, calling(dies), calling(work)))
    ((run, error),) = summary.unfinished
    assert (run, type(error)) == (grid[0], MachineError)
    assert str(error) == (
        "gave up after 3 attempts that got no further; the last: its worker ended with signal 9 (out of memory?)"
    )
    assert results(tmp_path / "out") == {2: expected(2)[2]}
    again = run_all(grid, tmp_path / "out", LocalPool(1), calling(work))
    assert (again.present, again.recorded) == (1, 1), "the same command tries again"


def test_a_lack_of_memory_is_no_result(tmp_path):
    grid, notes = runs(2), Notes()
    calls = per_run(grid, calling(needs_memory), calling(work))
    summary = run_all(grid, tmp_path / "out", LocalPool(1), calls, callback=notes)
    assert [run for run, _ in summary.unfinished] == grid[:1]
    assert results(tmp_path / "out") == {2: expected(2)[2]}
    assert notes.lines.count(f"{grid[0]}: out of memory; queued again") == 2


def test_a_grid_in_which_no_worker_starts_stops_at_once_with_the_reason(tmp_path, monkeypatch):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "multiprocessing.py").write_text("raise RuntimeError('this installation is broken')")
    monkeypatch.setattr(sys, "path", [str(broken), *sys.path])
    words = "no worker starts; its worker ended with exit status 1 before it was ready: RuntimeError: this installation"
    with pytest.raises(MachineError, match=words):
        run_all(runs(20), tmp_path / "out", LocalPool(2), calling(work))
    assert not list((tmp_path / "out" / "runs").iterdir())


def test_workers_import_nothing_from_the_working_folder(tmp_path, monkeypatch):
    (tmp_path / "queue.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    run_all(runs(1), tmp_path / "out", LocalPool(1), calling(work))
    assert results(tmp_path / "out") == expected(1)
    assert not (tmp_path / "ran").exists()


def test_a_computation_that_hangs_is_reported_and_on_request_given_up(tmp_path):
    grid, notes = runs(2), Notes()
    pool = LocalPool(1, quiet=4.0, stuck_after=7.0)
    calls = per_run(grid, calling(hangs, when=tmp_path / "hung"), calling(work))
    run_all(grid, tmp_path / "out", pool, calls, callback=notes)
    assert results(tmp_path / "out") == expected(2)
    assert any(re.search(r"no progress for \d+ s; --stuck-after SECONDS gives it up", line) for line in notes.lines)
    assert any("it made no progress for" in line and "given up; queued again" in line for line in notes.lines)


def test_a_run_that_always_hangs_is_given_up_after_three_attempts(tmp_path):
    def stuck(pool):
        return [Lost(pool.begun[-1][0], "it made no progress", stuck=True)]

    with pytest.raises(MachineError, match="gave up after 3 attempts that got no further"):
        run_all(runs(1), tmp_path / "out", Scripted(stuck, stuck, stuck), calling(work))
    assert results(tmp_path / "out") == {}


SUSPENDED = """
from support.made_runs import calling, runs, ticks
from noiseproof.experiments.executors.local import LocalPool
pool = LocalPool(1, quiet=4.0)
pool.start(1, calling(ticks, times=12)(runs(1)[0]))
while True:
    for event in pool.events(1.0):
        print(event, flush=True)
        if type(event).__name__ in ("Lost", "Finished"):
            pool.close()
            raise SystemExit
"""


def test_a_driver_that_was_suspended_does_not_kill_its_workers_on_return(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    words = [sys.executable, "-c", SUSPENDED]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environment, start_new_session=True) as process:
        assert "Progress" in process.stdout.readline()
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(7)  # longer than the patience with a silent worker
        os.killpg(process.pid, signal.SIGCONT)
        events = process.stdout.read().splitlines()
    assert "Finished" in events[-1]
    assert not any("Lost" in event for event in events)


def test_a_worker_that_falls_silent_is_killed_and_its_run_is_queued_again(tmp_path):
    notes = Notes()
    pool = LocalPool(1, quiet=4.0)
    run_all(runs(2), tmp_path / "out", pool, calling(stops, when=tmp_path / "stopped"), callback=notes)
    assert results(tmp_path / "out") == expected(2)
    assert any("its worker was silent for" in line and "queued again" in line for line in notes.lines)


def test_a_damaged_record_is_moved_aside_and_its_run_computed_again(tmp_path):
    out = tmp_path / "out"
    run_all(runs(3), out, LocalPool(1), calling(work))
    path = records.location(out, runs(2)[1].run_id)
    raw = bytearray(path.read_bytes())
    raw[50] ^= 4
    path.write_bytes(raw)
    notes = Notes()
    tally = run_all(runs(3), out, LocalPool(1), calling(work), callback=notes)
    assert (tally.present, tally.recorded) == (2, 1)
    assert results(out) == expected(3)
    assert (path.parent / "notes" / "record.json").read_bytes() == raw
    assert "is damaged: its content does not match its SHA-256; " in notes.lines[0]
    assert "; moved to " in notes.lines[0]


class Scripted:
    """A pool whose every answer the test writes."""

    slots = 1

    def __init__(self, *script) -> None:
        self.script, self.begun, self.closed = list(script), [], False

    def start(self, ticket, call):
        self.begun.append((ticket, call))

    def events(self, timeout):
        return self.script.pop(0)(self) if self.script else []

    def close(self):
        self.closed = True


def value(pool, which=-1):
    ticket, call = pool.begun[which]
    return Finished(ticket, call(progress=lambda content: None))


def test_a_reply_from_an_attempt_that_was_given_up_is_dropped(tmp_path):
    wrong = records.read_folder  # anything that is no record: it must never be looked at
    pool = Scripted(
        lambda pool: [Lost(pool.begun[0][0], "node died")],
        lambda pool: [Finished(pool.begun[0][0], wrong), value(pool), Finished(pool.begun[1][0], wrong)],
    )
    tally = run_all(runs(1), tmp_path / "out", pool, calling(work))
    assert tally.recorded == 1
    assert len(pool.begun) == 2
    assert results(tmp_path / "out") == expected(1)
    assert pool.closed


def test_a_result_that_was_recorded_by_somebody_else_in_the_meantime_is_discarded(tmp_path):
    out = tmp_path / "out"

    def beaten(pool):
        finished = value(pool)
        records.write(out, {**finished.value, "seconds": 99.0})
        return [finished]

    tally = run_all(runs(1), out, Scripted(beaten), calling(work))
    assert (tally.recorded, tally.discarded) == (0, 1)
    assert records.read_folder(out).records[0]["seconds"] == 99.0


def test_a_driver_whose_lock_is_gone_stops_before_it_records(tmp_path):
    out = tmp_path / "out"

    def unlocked(pool):
        for lock in (out / "locks").iterdir():
            lock.unlink()
        return [value(pool)]

    with pytest.raises(MachineError, match=r"has another driver now: the lock .* is gone or was taken over"):
        run_all(runs(1), out, Scripted(unlocked), calling(work))
    assert results(out) == {}


def test_a_disk_error_of_a_worker_stops_the_drive_with_its_own_words(tmp_path):
    pool = Scripted(lambda pool: [Raised(pool.begun[0][0], MachineError("no space for x: need 2, have 1"), "")])
    with pytest.raises(MachineError, match="no space for x: need 2, have 1"):
        run_all(runs(2), tmp_path / "out", pool, calling(work))
    assert pool.closed
    assert results(tmp_path / "out") == {}


def test_ctrl_c_leaves_everything_resumable(tmp_path):
    def interrupt(pool):
        raise KeyboardInterrupt

    pool = Scripted(lambda pool: [value(pool)], interrupt)
    with pytest.raises(KeyboardInterrupt):
        run_all(runs(4), tmp_path / "out", pool, calling(work))
    assert pool.closed
    assert len(results(tmp_path / "out")) == 1
    run_all(runs(4), tmp_path / "out", LocalPool(1), calling(work))
    assert results(tmp_path / "out") == expected(4)
