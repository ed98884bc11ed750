"""A pool of tasks on a Ray cluster, or on a private one on this machine.

Ray may lose a task, run it although it reported an error, or deliver late; so it is asked for no retries, and the
driver decides. The nodes need noiseproof installed and the data under the same path.
"""

from __future__ import annotations

import os
import pickle
import signal
import socket
import threading
import traceback
import warnings
from contextlib import suppress
from typing import Any

from noiseproof.errors import InputError, MachineError
from noiseproof.experiments.executors.base import Call, Event, Finished, Lost, Progress, Raised, Stalled
from noiseproof.experiments.executors.stuck_workers import AwakeClock, Patience
from noiseproof.experiments.executors.worker import BEAT, portable
from noiseproof.runtime import progress_signal
from noiseproof.runtime.machine import cores
from noiseproof.storage.process import Process, this_process

__all__ = ["RayPool", "knock"]

_QUIET = 300.0  # seconds without a sign of life after which a task counts as hung
_ANSWER = 4.5  # seconds that a cluster may take to answer each of two questions
_OLDEST = (2, 52)  # CVE-2025-62593: until then a web page could reach a local cluster


class _Mailbox:
    """An actor that keeps what the tasks tell until the driver asks."""

    def __init__(self) -> None:
        self._letters: list[tuple[int, str, Any]] = []

    def put(self, ticket: int, kind: str, content: Any) -> None:
        self._letters.append((ticket, kind, content))

    def empty(self) -> list[tuple[int, str, Any]]:
        letters, self._letters = self._letters, []
        return letters


def _serve(ticket: int, packed: bytes, mailbox: Any) -> tuple[str, Any]:
    """The body of a task: compute, and give a sign of life every few seconds."""
    ended, process = threading.Event(), this_process()

    def beat() -> None:
        while not ended.wait(BEAT):
            mailbox.put.remote(ticket, "alive", process)

    with suppress(Exception):  # heard before it computes: one that then falls silent is known to have begun
        _import_ray().get(mailbox.put.remote(ticket, "alive", process), timeout=60)
    threading.Thread(target=beat, daemon=True).start()
    try:
        call = pickle.loads(packed)  # noqa: S301 - calls that the driver gave to Ray
        with progress_signal.heard_by(lambda: mailbox.put.remote(ticket, "pulse", None)):
            value = call(progress=lambda content: mailbox.put.remote(ticket, "progress", content))
        return "value", value
    except Exception as error:
        return "error", (portable(error), traceback.format_exc())
    finally:
        ended.set()


class RayPool:
    """Ray tasks.

    Args:
        address: "local" starts a cluster on this machine that nobody else can reach; otherwise that of a running one,
            such as "10.0.0.1:6379" or "ray://10.0.0.1:10001". Whoever can reach a Ray cluster can run code on it.
        slots: tasks at a time; as many as the cluster has GPUs, or else processors, unless given.
        gpus: whether tasks use GPUs where the cluster has some; more tasks than GPUs share them evenly.
        quiet: seconds of silence after which a task is given up, and seconds without progress after which it is
            reported as stalled.
        stuck_after: seconds without progress after which a task is given up; None: never.

    Raises:
        InputError: the address is none, or Ray or a part of it is not installed.
        MachineError: no Ray cluster answers there within 10 seconds.
    """

    def __init__(
        self,
        address: str = "local",
        *,
        slots: int | None = None,
        gpus: bool = False,
        quiet: float = _QUIET,
        stuck_after: float | None = None,
    ) -> None:
        knock(address)
        self._ray = ray = _import_ray(private=address == "local")
        silent: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        if address == "local":
            where = "cannot start Ray on this machine"
            silent |= {"num_cpus": slots or cores(), "include_dashboard": False}
        else:
            where = f"cannot reach a Ray cluster at {address}"
        if not address.startswith("ray://"):
            # Ray puts the driver's working folder first on the tasks' path, unless the job is a client's.
            silent["job_config"] = ray.job_config.JobConfig(_client_job=True)
        os.environ.setdefault("PYTHONSAFEPATH", "1")  # of all processes of a private cluster
        try:
            ray.init(address=address, **silent)
        except ImportError as error:
            raise InputError(f"--ray {address} needs more of Ray ({error}); type: pip install 'ray[client]'") from None
        except ray.exceptions.AuthenticationError:
            words = "it asks for a token that was not found here; set RAY_AUTH_TOKEN_PATH to the file that holds it"
            raise MachineError(f"{where}: {words}") from None
        except Exception as error:  # Ray raises all kinds, plain Exception too
            raise MachineError(f"{where}: {str(error).strip().rpartition(chr(10))[2]}") from None
        have = ray.cluster_resources()
        there = have.get("GPU", 0.0) if gpus else 0.0
        self.slots = slots or max(1, int(there or have.get("CPU", 1)))
        self._quiet = quiet
        share = min(1.0, int(1e4 * there / self.slots) / 1e4)  # Ray counts in steps of 1e-4
        self._task = ray.remote(_serve).options(max_retries=0, num_cpus=1, num_gpus=share)
        beside_us = ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            ray.get_runtime_context().get_node_id(), soft=True
        )
        mailbox = ray.remote(_Mailbox).options(num_cpus=0, max_restarts=-1, scheduling_strategy=beside_us)
        self._mailbox = mailbox.remote()
        self._asked: Any = None
        self._flying: dict[Any, int] = {}
        self._clock = AwakeClock()
        self._patience = Patience(self._clock, quiet, stuck_after)
        self._heard: dict[int, float] = {}
        self._where: dict[int, Process] = {}

    def start(self, ticket: int, call: Call) -> None:
        self._flying[self._task.remote(ticket, pickle.dumps(call), self._mailbox)] = ticket

    def events(self, timeout: float) -> list[Event]:
        finished, _ = self._ray.wait(list(self._flying), num_returns=1, timeout=timeout)
        letters = self._letters()  # before the ends, so that no letter comes of a run that has ended
        return [*letters, *(self._end(reference) for reference in finished), *self._silent()]

    def close(self) -> None:
        for reference in self._flying:
            with suppress(Exception):
                self._ray.cancel(reference, force=True)
        self._ray.shutdown()

    def processes(self) -> list[int]:
        """The process numbers of the tasks that have begun and not ended."""
        return [self._where[ticket].pid for ticket in self._flying.values() if ticket in self._where]

    def _letters(self) -> list[Event]:
        self._asked = self._asked or self._mailbox.empty.remote()
        try:
            letters = self._ray.get(self._asked, timeout=5)
        except self._ray.exceptions.GetTimeoutError:
            return []  # it is slow: asked anew, it would answer the first question, and those letters be lost
        except self._ray.exceptions.RayError:
            self._asked = None
            return []  # it or its node is gone; Ray makes another
        self._asked = None
        events: list[Event] = []
        flying = set(self._flying.values())
        for ticket, kind, content in letters:
            if ticket not in flying:
                continue
            if ticket not in self._heard or kind != "alive":
                self._patience.moved(ticket)
            self._heard[ticket] = self._clock.now()
            if kind == "alive":
                self._where[ticket] = content
            elif kind == "progress":
                events.append(Progress(ticket, content))
        return events

    def _end(self, reference: Any) -> Event:
        ticket = self._forget(reference)
        try:
            kind, content = self._ray.get(reference, timeout=60)  # its node may have died with the value
        except self._ray.exceptions.RayTaskError as error:  # our own code returns its errors; this is before it
            words = "the cluster's nodes cannot run this noiseproof; install the same version on all of them"
            return Raised(ticket, MachineError(f"{words} ({error.cause!r})"), str(error))
        except self._ray.exceptions.RayError as error:
            return Lost(ticket, f"its Ray task was lost: {str(error).partition(chr(10))[0]}")
        return Finished(ticket, content) if kind == "value" else Raised(ticket, *content)

    def _silent(self) -> list[Event]:
        """Give up tasks that are silent or stuck; report those that make no progress."""
        now, stuck, events = self._clock.now(), dict(self._patience.stuck()), list[Event]()
        for reference, ticket in list(self._flying.items()):
            silence = now - self._heard.get(ticket, now)  # a task that waits for a processor is not silent
            if silence > self._quiet:
                events.append(Lost(ticket, f"its task was silent for {silence:.0f} s and was given up"))
            elif ticket in stuck:
                why = f"it made no progress for {stuck[ticket]:.0f} s and was given up"
                events.append(Lost(ticket, why, stuck=True))
            else:
                continue
            self._give_up(reference)
        return [*events, *(Stalled(ticket, seconds) for ticket, seconds in self._patience.stalled())]

    def _give_up(self, reference: Any) -> None:
        process = self._where.get(self._forget(reference))
        with suppress(Exception):
            self._ray.cancel(reference, force=True)
        if process and process.alive():  # one that is stopped does not hear Ray
            os.kill(process.pid, signal.SIGKILL)

    def _forget(self, reference: Any) -> int:
        ticket = self._flying.pop(reference)
        self._heard.pop(ticket, None)
        self._patience.forget(ticket)
        self._where.pop(ticket, None)
        return ticket


# The first bytes of a connection that speaks HTTP/2, as all servers of Ray do, with empty settings.
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_SETTINGS = 4  # type of the frame that has to be the first answer


def knock(address: str) -> None:
    """See whether a server of Ray's kind answers there; Ray itself would try for minutes.

    Raises:
        InputError: the address is none.
        MachineError: nothing answers within 10 seconds, or something else does.
    """
    if address == "local":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        raise InputError(f"--ray takes local, HOST:PORT or ray://HOST:PORT, got {address!r}")
    try:
        with socket.create_connection((host, int(port)), timeout=_ANSWER) as connection:  # noqa: TID251 - the address that the user typed
            if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
                return
            connection.sendall(_HELLO)
            answer = connection.recv(9)
    except (OSError, OverflowError) as error:
        raise MachineError(f"cannot reach a Ray cluster at {address}: {error}") from None
    if len(answer) < 4 or answer[3] != _SETTINGS:
        raise MachineError(f"cannot reach a Ray cluster at {address}: something else answers there")
    _ask(address)


# A question that the server behind each kind of address knows.
_QUESTIONS = {True: "/ray.rpc.RayletDriver/ClusterInfo", False: "/ray.rpc.NodeInfoGcsService/CheckAlive"}


def _ask(address: str) -> None:
    """Refuse a server that speaks HTTP/2 and does not know Ray's questions, such as the other port of a cluster."""
    try:
        import grpc
    except ImportError:  # Ray's own attempts take half a minute, then
        return
    client = address.startswith("ray://")
    with grpc.insecure_channel(address.removeprefix("ray://")) as channel:
        ask = channel.unary_unary(_QUESTIONS[client])
        try:
            ask(b"", timeout=_ANSWER)
        except grpc.RpcError as error:
            code, why = error.code(), ""
            if code is grpc.StatusCode.UNIMPLEMENTED:
                other = "HOST:PORT without ray:// for the main port" if client else "ray://HOST:PORT for a client port"
                why = f"something else answers there (of a Ray cluster, give {other})"
            elif code is grpc.StatusCode.DEADLINE_EXCEEDED or code is grpc.StatusCode.UNAVAILABLE:
                why = f"no answer within {_ANSWER:g} s"
            elif code is grpc.StatusCode.UNAUTHENTICATED and not _may_use_token():
                why = "it asks for a token; set RAY_AUTH_MODE=token, with the cluster's token where Ray looks for it"
            if why:
                raise MachineError(f"cannot reach a Ray cluster at {address}: {why}") from None


def _may_use_token() -> bool:
    """Let Ray, which reads this when it is imported, send the user's token, unless the user has said otherwise."""
    return os.environ.setdefault("RAY_AUTH_MODE", "token").lower() == "token"


def _import_ray(private: bool = False) -> Any:
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if private:
        # Ray reads this when it is imported: "no cluster" makes all its processes listen on 127.0.0.1 alone.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import ray
            import ray.job_config
            import ray.util.scheduling_strategies
    except ImportError:
        raise InputError("--ray needs Ray; type: pip install 'noiseproof[cluster]'") from None
    if tuple(int(part) for part in ray.__version__.split(".")[:2]) < _OLDEST:
        oldest = ".".join(map(str, _OLDEST))
        raise InputError(f"--ray needs Ray {oldest} or newer (older ones can be attacked), got {ray.__version__}")
    return ray
