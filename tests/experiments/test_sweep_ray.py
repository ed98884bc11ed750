"""On a Ray cluster as on one machine: killed tasks and nodes lose no run and double none."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from conftest import count
from noiseproof.errors import InputError, MachineError
from noiseproof.experiments import driver
from noiseproof.experiments.driver import Callback, run_all
from noiseproof.experiments.executors import ray as ray_executor
from noiseproof.experiments.executors.base import Event
from noiseproof.experiments.executors.ray import RayPool
from support import own_part
from support.made_runs import calling, expected, gated, results, runs, stops, work

pytest.importorskip("ray")
pytestmark = pytest.mark.timeout(1800)  # a cluster that hangs shall not hang the rest


class Listener(Callback):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.notes, self.progressed = list[str](), list[Any]()

    def progress(self, run: Any, content: Any) -> None:
        self.progressed.append(content)

    def note(self, text: str) -> None:
        self.notes.append(text)


TESTS = Path(__file__).parents[1]
NOT_IN_TIME = "timed out during startup"  # Ray gives itself half a minute, which a busy machine may need repeatedly


def started(start: Callable[..., Any], **named: Any) -> Any:
    """Start something of Ray's; nothing is left of an attempt that took too long."""
    psutil = pytest.importorskip("psutil")
    while True:
        before = psutil.Process().children()
        try:
            return start(**named)
        except Exception as error:
            if NOT_IN_TIME not in str(error):
                raise
            for half in set(psutil.Process().children()).difference(before):
                half.kill()


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[Any]:
    """A cluster of a head that computes nothing and two nodes, one of which says that it has a GPU."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("PYTHONPATH", str(TESTS), prepend=os.pathsep)
        environment.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        made = started(Cluster, initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
        started(made.add_node, wait=False, num_cpus=1)
        started(made.add_node, wait=False, num_cpus=2, num_gpus=1)
        made.wait_for_nodes(timeout=300)
        yield made
        made.shutdown()


def test_more_tasks_than_gpus_share_them(two_nodes, tmp_path):
    both = tmp_path / "both"

    class BothAtWork(Listener):
        def progress(self, run: Any, content: Any) -> None:
            super().progress(run, content)
            if len(self.progressed) == 2:
                both.touch()

    alone = RayPool(two_nodes.address, gpus=True)
    assert alone.slots == 1, "one GPU, one task, unless more are asked for"
    alone.close()
    pool = RayPool(two_nodes.address, slots=2, gpus=True)
    tally = run_all(runs(2), tmp_path / "out", pool, gated(both, 1), callback=BothAtWork())
    assert tally.recorded == 2


class Sabotaged(RayPool):
    """Between its events somebody does something to it, about every second time, until all is done.

    Args:
        deeds: what is done, in this order; each says whether it could be done, and is tried again if not.
        over: the file that says that all is done.
    """

    def __init__(self, *args: Any, deeds: Sequence[Callable[[RayPool], bool]], over: Path, **named: Any) -> None:
        super().__init__(*args, **named)
        self.deeds, self.over, self.draw = list(deeds), over, random.Random(3)

    def events(self, timeout: float) -> list[Event]:
        if self.deeds and self.draw.random() < 0.5 and self.deeds[0](self):
            del self.deeds[0]
        if not self.deeds:
            self.over.touch()
        return super().events(timeout)


def test_killed_workers_and_nodes_lose_no_run_and_double_none(two_nodes, tmp_path, monkeypatch, tally):
    draw = random.Random(3)
    workers, nodes, mailboxes = count(3, 24), count(1, 4), count(1, 2)
    grid, log, killed = workers + nodes + 6, tmp_path / "log", set[int]()

    def lose_a_worker(pool: RayPool) -> bool:
        time.sleep(draw.uniform(0.0, 0.05))
        living = [process for process in pool.processes() if process not in killed]
        if not living:
            return False  # the next task has to begin first
        killed.add(victim := draw.choice(living))
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
            return True
        return False

    def lose_a_node(pool: RayPool) -> bool:
        two_nodes.remove_node(draw.choice(list(two_nodes.worker_nodes)), allow_graceful=False)
        started(two_nodes.add_node, wait=False, num_cpus=1)
        return True

    def lose_the_mailbox(pool: RayPool) -> bool:
        pool._ray.kill(pool._mailbox, no_restart=False)
        return True

    deeds = [lose_a_worker] * workers + [lose_a_node] * nodes + [lose_the_mailbox] * mailboxes
    draw.shuffle(deeds)
    monkeypatch.setattr(driver, "_LOSSES", 1000)  # so many losses are no accident here
    pool = Sabotaged(two_nodes.address, slots=2, deeds=deeds, over=tmp_path / "over")
    callback = Listener()
    call = gated(tmp_path / "over", grid - 1, seconds=0.1, log=log)
    done = run_all(runs(grid), tmp_path / "out", pool, call, callback=callback)
    assert pool.deeds == [], "all was done, and the grid was not over before"
    assert done.recorded == grid
    assert done.discarded == 0
    assert results(tmp_path / "out") == expected(grid), "as an undisturbed grid"
    assert len(log.read_text().splitlines()) > grid, "no attempt was cut short"
    assert any("its Ray task was lost" in note for note in callback.notes)
    assert {"epoch": 1} in callback.progressed
    tally("Ray workers, nodes and mailboxes killed", workers + nodes + mailboxes)


def test_a_driver_that_is_killed_leaves_the_rest_to_the_next_one(two_nodes, tmp_path):
    out, gate = tmp_path / "out", tmp_path / "gate"
    words = [sys.executable, TESTS / "support" / "made_driver.py", out, 5, 2, 0.0, 0, gate, two_nodes.address]
    with subprocess.Popen(list(map(str, words)), stdout=subprocess.PIPE, text=True) as first:
        for _ in range(3):
            assert any(line.startswith("recorded ") for line in first.stdout)
        first.kill()  # the last two runs are under way
    assert len(results(out)) == 3
    gate.touch()
    callback = Listener()
    tally = run_all(runs(5), out, RayPool(two_nodes.address, slots=2), calling(work), callback=callback)
    assert (tally.recorded, tally.present, tally.discarded) == (2, 3, 0)
    assert results(out) == expected(5)
    assert any("took over from process" in note for note in callback.notes)


def test_a_task_that_falls_silent_is_given_up_and_its_run_is_queued_again(two_nodes, tmp_path):
    callback = Listener()
    pool = RayPool(two_nodes.address, slots=1, quiet=6.0)
    run_all(runs(2), tmp_path / "out", pool, calling(stops, when=tmp_path / "stopped"), callback=callback)
    assert results(tmp_path / "out") == expected(2)
    assert any("its task was silent for" in note for note in callback.notes)


LOCAL = """
import sys
from pathlib import Path
from support.made_runs import calling, runs, work
from noiseproof.experiments.executors.ray import RayPool
from noiseproof.experiments.driver import Callback, run_all

class Look(Callback):
    def recorded(self, run, record):
        import ray, psutil
        mine = psutil.Process()
        for process in [mine, *mine.children(recursive=True)]:
            for connection in process.net_connections("inet"):
                if connection.status == "LISTEN":
                    print("listens", connection.laddr.ip)

print(run_all(runs(1), Path(sys.argv[1]), RayPool("local", slots=1), calling(work), callback=Look()))
"""


def test_a_private_cluster_computes_and_listens_to_this_machine_alone(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(TESTS)}
    words = [sys.executable, "-c", LOCAL, tmp_path / "out"]
    while True:
        done = subprocess.run(words, capture_output=True, text=True, env=environment)
        if NOT_IN_TIME not in done.stderr:
            break
    assert done.returncode == 0, done.stderr
    assert results(tmp_path / "out") == expected(1)
    listening = {line.split()[1].removeprefix("::ffff:") for line in done.stdout.splitlines() if "listens" in line}
    assert listening == {"127.0.0.1"}


@pytest.mark.skipif(not count(0, 1), reason="own parts on a cluster: in the large size")
def test_a_users_own_parts_travel_to_the_nodes(two_nodes, tmp_path):
    folder = own_part.written(tmp_path)
    words = ["sweep", "grid.toml", "--ray", two_nodes.address, "--out", "results"]
    done = subprocess.run([sys.executable, "-m", "noiseproof", *words], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = [json.loads(path.read_text()) for path in (folder / "results").glob("runs/*/record.json")]
    assert [record["status"] for record in found] == ["done", "done"]


def test_a_cluster_that_cannot_be_reached_is_one_sentence():
    with pytest.raises(MachineError, match=r"cannot reach a Ray cluster at 127\.0\.0\.1:1"):
        RayPool("127.0.0.1:1")
    with pytest.raises(InputError, match=r"--ray takes local, HOST:PORT or ray://HOST:PORT, got 'somewhere'"):
        RayPool("somewhere")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", None])
@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_something_else_that_answers_is_one_sentence(scheme, answer, monkeypatch):
    """A web server, one that hangs up, one that says nothing."""
    monkeypatch.setattr(ray_executor, "_ANSWER", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as side:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(100)
                if answer is None:
                    connection.recv(100)  # until the other side has had enough
                else:
                    connection.sendall(answer)

        served = side.submit(serve)
        address = f"{scheme}127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(MachineError, match=rf"cannot reach a Ray cluster at {address}: (something else|timed out)"):
            RayPool(address)
        served.result()


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_asks_for_a_token_is_given_the_users_unless_tokens_are_off(scheme, monkeypatch):
    grpc = pytest.importorskip("grpc")

    def refuse(_request: bytes, context: Any) -> bytes:
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "no token")
        return b""

    class Server(grpc.GenericRpcHandler):  # type: ignore[misc, name-defined]
        def service(self, _call: Any) -> Any:
            return grpc.unary_unary_rpc_method_handler(refuse)

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Server()])
    address = f"{scheme}127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
        with pytest.raises(MachineError, match="asks for a token; set RAY_AUTH_MODE=token"):
            ray_executor.knock(address)
        monkeypatch.delenv("RAY_AUTH_MODE")
        ray_executor.knock(address)
        assert os.environ["RAY_AUTH_MODE"] == "token"
    finally:
        server.stop(None)


def test_an_old_or_missing_ray_says_what_to_install(monkeypatch):
    import ray

    monkeypatch.setattr(ray, "__version__", "2.51.1")
    with pytest.raises(InputError, match=r"needs Ray 2\.52 or newer .*, got 2\.51\.1"):
        ray_executor._import_ray()
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match="pip install"):
        ray_executor._import_ray()
