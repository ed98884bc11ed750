"""On a Ray cluster as on one machine: killed tasks and nodes lose no run and double none."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import count
from made_runs import accuracy, calling, runs, stops, work
from noiseproof.bench import cluster, records
from noiseproof.bench.cluster import RayPool
from noiseproof.bench.driver import Watch, drive
from noiseproof.errors import InputError, MachineError

pytest.importorskip("ray")


def results(folder: Path) -> dict[int, float | None]:
    reading = records.read_folder(folder)
    assert reading.damaged == ()
    return {record["run"]["seed"]: record["result"]["accuracy"] for record in reading.records}


def expected(count: int) -> dict[int, float]:
    return {run.told["seed"]: accuracy(run) for run in runs(count)}


class Saboteur(Watch):
    """Does something after each recorded run."""

    def __init__(self, *deeds: Callable[[], object]) -> None:
        self.deeds, self.notes, self.progressed = list(deeds), list[str](), list[Any]()

    def recorded(self, run: Any, record: Any) -> None:
        if self.deeds:
            self.deeds.pop(0)()

    def progress(self, run: Any, content: Any) -> None:
        self.progressed.append(content)

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Any]:
    """A cluster of a head that computes nothing and two nodes of one processor each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster

    os.environ["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    made.add_node(num_cpus=1)
    made.add_node(num_cpus=1)
    yield made
    made.shutdown()


def kill_one(pool: RayPool, draw: random.Random, tally: list[int]) -> Callable[[], None]:
    def deed() -> None:
        deadline = time.monotonic() + 10
        while not pool.processes() and time.monotonic() < deadline:  # the next task has to begin first
            pool._letters()
            time.sleep(0.01)
        time.sleep(draw.uniform(0.0, 0.05))
        if processes := pool.processes():
            os.kill(draw.choice(processes), signal.SIGKILL)
            tally.append(1)

    return deed


def test_killed_workers_and_nodes_lose_no_run_and_double_none(two_nodes, tmp_path):
    draw, killed = random.Random(3), list[int]()
    workers, nodes = count(4, 26), count(1, 4)
    grid = workers + nodes + 6
    pool = RayPool(two_nodes.address, slots=2)

    def lose_a_node() -> None:
        two_nodes.remove_node(draw.choice(list(two_nodes.worker_nodes)), allow_graceful=False)
        two_nodes.add_node(num_cpus=1)
        killed.append(1)

    deeds = [kill_one(pool, draw, killed)] * workers + [lose_a_node] * nodes
    draw.shuffle(deeds)
    watch = Saboteur(*deeds)
    log = tmp_path / "log"
    tally = drive(runs(grid), tmp_path / "out", pool, calling(work, seconds=0.1, log=log), watch=watch)
    assert tally.recorded == grid
    assert tally.discarded == 0
    assert results(tmp_path / "out") == expected(grid), "as an undisturbed grid"
    assert len(killed) >= 0.8 * (workers + nodes)
    assert len(log.read_text().splitlines()) > grid, "no attempt was cut short"
    assert any("its Ray task was lost" in note for note in watch.notes)
    assert {"epoch": 1} in watch.progressed


def test_a_task_that_falls_silent_is_given_up_and_its_run_is_queued_again(two_nodes, tmp_path):
    watch = Saboteur()
    pool = RayPool(two_nodes.address, slots=1, quiet=6.0)
    drive(runs(2), tmp_path / "out", pool, calling(stops, when=tmp_path / "stopped"), watch=watch)
    assert results(tmp_path / "out") == expected(2)
    assert any("its task was silent for" in note for note in watch.notes)


LOCAL = """
import sys
from pathlib import Path
from made_runs import calling, runs, work
from noiseproof.bench.cluster import RayPool
from noiseproof.bench.driver import Watch, drive

class Look(Watch):
    def recorded(self, run, record):
        import ray, psutil
        mine = psutil.Process()
        for process in [mine, *mine.children(recursive=True)]:
            for connection in process.net_connections("inet"):
                if connection.status == "LISTEN":
                    print("listens", connection.laddr.ip)

print(drive(runs(1), Path(sys.argv[1]), RayPool("local", slots=1), calling(work), watch=Look()))
"""


def test_a_private_cluster_computes_and_listens_to_this_machine_alone(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    words = [sys.executable, "-c", LOCAL, tmp_path / "out"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    assert results(tmp_path / "out") == expected(1)
    listening = {line.split()[1].removeprefix("::ffff:") for line in done.stdout.splitlines() if "listens" in line}
    assert listening == {"127.0.0.1"}


def test_a_cluster_that_cannot_be_reached_is_one_sentence():
    with pytest.raises(MachineError, match=r"cannot reach a Ray cluster at 127\.0\.0\.1:1"):
        RayPool("127.0.0.1:1")
    with pytest.raises(InputError, match=r"--ray takes local, HOST:PORT or ray://HOST:PORT, got 'somewhere'"):
        RayPool("somewhere")


def test_an_old_or_missing_ray_says_what_to_install(monkeypatch):
    import ray

    monkeypatch.setattr(ray, "__version__", "2.51.1")
    with pytest.raises(InputError, match=r"needs Ray 2\.52 or newer .*, got 2\.51\.1"):
        cluster._import_ray()
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match="pip install"):
        cluster._import_ray()
