"""Drivers and workers are real processes here, and they are really killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from conftest import count
from support.made_runs import expected, results

TESTS = Path(__file__).parents[1]


def leftovers(folder: Path) -> list[Path]:
    return list(folder.rglob(".tmp,*"))


class Driver:
    """Drivers of one grid in one folder, one after the other, and what all of them have told."""

    def __init__(self, folder: Path, grid: int) -> None:
        self.folder, self.grid = folder, grid
        self.gate, self.log, self._told = folder / "gate", folder / "out.log", folder / "told"

    def start(self, seconds: float, *, die_at: int = 0) -> subprocess.Popen[bytes]:
        """The next one; its last two runs, one for each worker, end only when there is a gate."""
        words = [self.folder / "out", self.grid, 2, seconds, die_at, self.gate]
        environment = os.environ | {"PYTHONPATH": str(TESTS)}
        with self._told.open("ab") as told:  # a file, not a pipe: a driver does not wait for its reader
            return subprocess.Popen(
                [sys.executable, TESTS / "support" / "made_driver.py", *map(str, words)], stdout=told, env=environment
            )

    def told(self) -> list[str]:
        return self._told.read_text().splitlines()

    def begun(self) -> int:
        """How many attempts at a run have begun."""
        return self.log.read_text().count("\n") if self.log.exists() else 0


def children(pid: int) -> list[int]:
    """The living children of a process."""
    found = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += [int(child) for child in (task / "children").read_text().split() if alive(int(child))]
    return found


def alive(pid: int) -> bool:
    with suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def wait_for(what: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.005)


def kill_a_worker(pid: int, draw: random.Random) -> None:
    found = list[int]()
    wait_for(lambda: found.extend(children(pid)) or found)
    os.kill(draw.choice(found), signal.SIGKILL)


@pytest.mark.timeout(3600)
def test_no_kill_of_workers_or_drivers_loses_or_doubles_a_run(tmp_path, tally):
    """Drivers die before a call that writes a record; drivers and workers die at random moments.

    The last runs of the grid wait for the killer to be done, so every kill finds somebody at work.
    """
    draw = random.Random(7)
    kills, grid = count(30, 320), count(50, 500)
    in_writes, of_drivers = max(5, kills // 30), max(3, kills // 30)
    victims = ["driver"] * of_drivers + ["worker"] * (kills - of_drivers - in_writes)
    draw.shuffle(victims)
    driver, out, temporaries = Driver(tmp_path, grid), tmp_path / "out", 0

    for _ in range(in_writes):
        assert driver.start(0.0, die_at=draw.randrange(1, 28)).wait() == -signal.SIGKILL
        temporaries += len(leftovers(out))
    assert temporaries > 0, "no driver died while its temporary file was there"

    process, begun = driver.start(0.05), driver.begun()
    for victim in victims:
        wait_for(lambda before=begun: driver.begun() > before)
        time.sleep(draw.uniform(0.0, 0.06))
        begun = driver.begun()
        if victim == "driver":
            process.kill()
            assert process.wait() == -signal.SIGKILL, "a driver ended before its kill"
            process = driver.start(0.05)
        else:
            kill_a_worker(process.pid, draw)
    assert len(results(out)) <= grid - 2, "the grid had not ended"
    driver.gate.touch()
    assert process.wait() == 0
    assert driver.start(0.0).wait() == 0

    assert driver.told()[-1] == f"done 0 {grid} 0"
    assert results(out) == expected(grid), "as an undisturbed grid"
    acknowledged = [line.split()[1] for line in driver.told() if line.startswith("recorded ")]
    assert set(acknowledged) <= {path.name for path in (out / "runs").iterdir()}
    assert len(acknowledged) == len(set(acknowledged)), "a run was acknowledged twice"
    assert leftovers(out) == []
    assert len(list((out / "locks").iterdir())) == 1
    tally("workers and drivers of a sweep killed", kills)


def test_workers_end_with_their_driver(tmp_path):
    driver = Driver(tmp_path, 2)
    process = driver.start(0.0)
    wait_for(lambda: driver.begun() == 2)
    workers = children(process.pid)
    assert len(workers) == 2
    process.kill()
    process.wait()
    wait_for(lambda: not any(map(alive, workers)))
