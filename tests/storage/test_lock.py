"""One driver at a time: refused while the owner lives, taken over when it is dead, never two results of a run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from test_files import FAULTS, Faults

from conftest import count
from noiseproof.errors import DataError, InputError, MachineError
from noiseproof.experiments.executors.shard import Shard
from noiseproof.storage import files, lock
from noiseproof.storage.process import this_process
from support.made_runs import expected, results, runs

TESTS = Path(__file__).parents[1]


@contextmanager
def driver(folder: Path, grid: int, seconds: float, gate: object = "") -> Iterator[subprocess.Popen[str]]:
    """A driver in a process of its own; ended with the block. Under `gate` its last run waits for that file."""
    command = [sys.executable, TESTS / "support" / "made_driver.py", folder, grid, 1, seconds, 0, gate]
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    with subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def says(process: subprocess.Popen[str], start: str) -> str:
    """The first line that begins so; empty if there is none before the end."""
    return next((line.strip() for line in process.stdout if line.startswith(start)), "")


def test_a_second_driver_is_refused_by_name_while_the_first_lives_also_while_it_is_stopped(tmp_path):
    for attempt in range(count(1, 20)):
        out = tmp_path / str(attempt)
        with driver(out, 2, 60.0) as first:
            assert says(first, "begin")
            for state in (signal.SIGCONT, signal.SIGSTOP):
                first.send_signal(state)
                with driver(out, 2, 0.0) as second:
                    refusal = says(second, "refused")
                    assert second.wait() == 3
                assert f"{out} is being worked on by process {first.pid} on {this_process().host} (since 20" in refusal
            first.send_signal(signal.SIGCONT)


def test_of_many_that_find_a_dead_owner_exactly_one_takes_over(tmp_path):
    for attempt in range(count(2, 20)):
        out = tmp_path / str(attempt)
        with driver(out, 2, 60.0) as first:
            assert says(first, "begin")
        contenders = [driver(out, 2, 1.5) for _ in range(4)]
        processes = [contender.__enter__() for contender in contenders]
        texts = [process.communicate()[0] for process in processes]
        for contender in contenders:
            contender.__exit__(None, None, None)
        # Those that came after the winner was done found a free place and nothing to do.
        worked = [text for text in texts if "\nrecorded " in text]
        assert len(worked) == 1
        assert f"note took over from process {first.pid} on " in worked[0]
        assert all("refused" in text or "done 0 2 0" in text for text in texts if text is not worked[0])
        assert results(out) == expected(2)


def test_a_driver_whose_lock_was_removed_while_it_slept_records_nothing_more(tmp_path):
    for attempt in range(count(1, 20)):
        out, gate = tmp_path / str(attempt), tmp_path / f"gate {attempt}"
        with driver(out, 3, 0.0, gate) as first:
            assert says(first, "recorded")
            assert says(first, "recorded")
            first.send_signal(signal.SIGSTOP)  # its worker is at the last run
            for path in (out / "locks").iterdir():
                path.unlink()
            gate.touch()
            with driver(out, 3, 0.0) as second:
                assert says(second, "done 1 2 0")
            before = {path: path.read_bytes() for path in (out / "runs").rglob("record.json")}
            first.send_signal(signal.SIGCONT)
            refusal = says(first, "refused")
            assert first.wait() == 3
        assert "has another driver now" in refusal
        assert {path: path.read_bytes() for path in (out / "runs").rglob("record.json")} == before
        assert results(out) == expected(3)


def test_different_parts_work_side_by_side_and_overlapping_ones_do_not(tmp_path):
    first, second = lock.take(tmp_path, Shard(1, 2)), lock.take(tmp_path, Shard(2, 2))
    assert first.held()
    assert second.held()
    for overlapping in (Shard(), Shard(1, 3)):
        with pytest.raises(MachineError, match=r"is being worked on by .*, part 1/2 of the grid; .* --shard I/N"):
            lock.take(tmp_path, overlapping)
    first.release()
    second.release()
    lock.take(tmp_path, Shard(1, 3)).release()
    lock.take(tmp_path).release()


def written(folder: Path, content: str) -> Path:
    place = folder / "locks"
    place.mkdir(exist_ok=True)
    path = place / "shard-1-of-1.000000007"
    path.write_text(content)
    return path


def owner(**changes) -> str:
    me = this_process()
    return json.dumps({"host": me.host, "pid": me.pid, "start": me.start, "boot": me.boot, "since": "then"} | changes)


@pytest.mark.parametrize("changes", [{"start": "12345"}, {"boot": "another"}, {"pid": 2**22 + 1}])
def test_a_recycled_number_another_boot_or_no_process_is_a_dead_owner(tmp_path, changes):
    written(tmp_path, owner(**changes))
    taken = lock.take(tmp_path)
    assert "took over from process" in taken.note
    assert [path.name for path in (tmp_path / "locks").iterdir()] == ["shard-1-of-1.000000008"]


def test_an_owner_on_another_host_is_respected_and_the_message_says_how_to_release_it(tmp_path):
    path = written(tmp_path, owner(host="elsewhere"))
    with pytest.raises(MachineError) as refusal:
        lock.take(tmp_path)
    assert "on elsewhere (since then), and from here nobody can tell whether that still runs" in str(refusal.value)
    assert f"if it has ended, delete {path} and go on" in str(refusal.value)
    path.unlink()
    assert lock.take(tmp_path).held()


@pytest.mark.parametrize("changes", [{"namespace": "7"}, {"host": "elsewhere"}, {"boot": "another"}])
def test_an_owner_out_of_sight_lives_until_its_signs_of_life_have_stopped_for_long(changes, tmp_path):
    path = written(tmp_path, owner(renewed=5.0, **changes))
    with pytest.raises(
        MachineError, match=r"its last sign of life came \d s ago; if it has ended, delete .* taken over"
    ):
        lock.take(tmp_path)
    os.utime(path, (0, 0))
    assert "took over from process" in lock.take(tmp_path).note


def test_an_owner_that_is_seen_dead_is_so_at_once_however_fresh_its_sign_of_life(tmp_path):
    written(tmp_path, owner(start="12345", renewed=5.0))
    assert "took over from process" in lock.take(tmp_path).note


def test_a_driver_gives_signs_of_life_until_it_lets_go(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "BEAT", 0.01)
    taken = lock.take(tmp_path)
    os.utime(taken.path, (0, 0))
    deadline = time.monotonic() + 60
    while files.age(taken.path) > 60:
        assert time.monotonic() < deadline, "no sign of life"
        time.sleep(0.01)
    assert taken.held()
    taken.release()
    lock.take(tmp_path).release()


def test_a_disk_that_keeps_no_times_gives_no_sign_of_life_and_its_owner_is_respected(tmp_path, monkeypatch):
    monkeypatch.setattr(lock.files, "renew", lambda path: False)
    taken = lock.take(tmp_path)
    content = json.loads(taken.path.read_text())
    assert "renewed" not in content
    taken.path.write_text(json.dumps(content | {"namespace": "7"}))
    os.utime(taken.path, (0, 0))
    with pytest.raises(MachineError, match="nobody can tell whether that still runs; if it has ended, delete"):
        lock.take(tmp_path)


HOLD = """
import sys, time
from pathlib import Path
from noiseproof.storage import files, lock
taken = lock.take(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(600)
"""


def test_a_driver_in_another_container_is_not_taken_for_dead(tmp_path):
    """A PID namespace of its own, the host name and the disk shared, as with `docker --network host`."""
    inside = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
    if not shutil.which("unshare") or subprocess.run([*inside, "true"], capture_output=True).returncode:
        pytest.skip("this machine lets nobody make a PID namespace")
    with subprocess.Popen([*inside, sys.executable, "-c", HOLD, tmp_path], stdout=subprocess.PIPE, text=True) as held:
        assert says(held, "held")
        with pytest.raises(MachineError, match="nobody can tell whether that still runs; its last sign of life came"):
            lock.take(tmp_path)
        held.kill()


@pytest.mark.parametrize("content", ["", "{", '{"host": "x"}', "[]", "\0" * 100, "é"])
def test_a_lock_that_cannot_be_read_is_a_clear_refusal(tmp_path, content):
    path = written(tmp_path, content)
    with pytest.raises(MachineError, match=r"is no lock that this program wrote; .* delete it and go on"):
        lock.take(tmp_path)
    assert path.read_text() == content


def test_numbers_only_grow_and_one_file_stays(tmp_path):
    for number in range(1, 8, 2):
        taken = lock.take(tmp_path)
        assert taken.path.name.endswith(f"{number:09d}")
        taken.release()
        assert not taken.held()
        assert [path.name for path in (tmp_path / "locks").iterdir()] == [f"shard-1-of-1.{number + 1:09d}"]


def test_a_contender_that_comes_late_with_a_low_number_does_not_hold_the_place(tmp_path, monkeypatch):
    """It saw number 1 free, slept while others took 2 and let go as 3, and creates a new 2."""
    lock.take(tmp_path).release()
    real, slept = lock._check_free, []

    def sleepy(newest):
        found = real(newest)
        if not slept:
            slept.append(True)
            lock.take(tmp_path).release()
        return found

    monkeypatch.setattr(lock, "_check_free", sleepy)
    taken = lock.take(tmp_path)
    assert taken.held()
    assert list((tmp_path / "locks").iterdir()) == [taken.path]


def test_any_call_of_a_takeover_may_fail_and_the_next_driver_gets_the_place(tmp_path, monkeypatch):
    written(tmp_path, owner(boot="another"))
    faults = Faults(monkeypatch)
    lock.take(tmp_path)
    calls = list(faults.seen)
    assert len(calls) >= 8
    for number, name in enumerate(calls):
        for error in FAULTS:
            folder = tmp_path / f"{number}-{error}"
            folder.mkdir()
            written(folder, owner(boot="another"))
            faults.arm(number, OSError(error, os.strerror(error)))
            with suppress(MachineError, DataError):
                lock.take(folder).release()
            faults.arm(-1, Exception())
            taken = lock.take(folder)
            assert taken.held(), (name, error)
            assert [path for path in (folder / "locks").iterdir() if path.name.startswith("shard")] == [taken.path]
            taken.release()


def test_a_vanished_folder_holds_no_lock(tmp_path):
    import shutil

    taken = lock.take(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    assert not taken.held()
    taken.release()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "1/0", "-1/3", "a/b", "1/2/3"])
def test_a_shard_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="a shard is I/N with I from 1 to N, such as 2/8; got"):
        Shard.parse(text)


def test_every_run_belongs_to_exactly_one_part():
    for of in (1, 2, 7):
        parts = [Shard(number, of) for number in range(1, of + 1)]
        assert all(sum(part.holds(run.run_id) for part in parts) == 1 for run in runs(200))


def test_a_contender_that_was_faster_is_looked_at_before_the_next_number_is_tried(tmp_path, monkeypatch):
    real = lock.files.create_once

    def beaten(path: Path, text: bytes) -> bool:
        monkeypatch.setattr(lock.files, "create_once", real)
        real(path, owner(boot="another"))  # by somebody who died at once
        return real(path, text)

    monkeypatch.setattr(lock.files, "create_once", beaten)
    taken = lock.take(tmp_path)
    assert taken.path.name.endswith("000000002")
    assert "took over from process" in taken.note


def test_a_lock_that_vanishes_while_it_is_looked_at_is_no_owner(tmp_path):
    assert lock._check_free([tmp_path / "shard-1-of-1.000000001"]) == ""


def test_letting_go_of_a_place_that_somebody_has_taken_meanwhile_leaves_it_to_them(tmp_path, monkeypatch):
    taken = lock.take(tmp_path)
    theirs = taken.path.with_name("shard-1-of-1.000000002")
    theirs.write_text(owner())
    monkeypatch.setattr(lock.Lock, "held", lambda self: True)  # it looked a moment before
    taken.release()
    assert theirs.read_text() == owner()
