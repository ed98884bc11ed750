"""A pool of processes on this machine.

Fresh processes, not forks: nothing of the driver's threads, locks or CUDA state reaches them, and they import nothing
from the working folder. Each imports torch once and is used again. One that dies or falls silent is replaced; its
attempt is reported lost.
"""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections import deque
from multiprocessing import Pipe
from typing import Any

from noiseproof.experiments.executors.base import Call, Event, Finished, Lost, Progress, Raised, Stalled
from noiseproof.experiments.executors.stuck_workers import AwakeClock, Patience
from noiseproof.runtime.machine import cores, free_memory
from noiseproof.storage.process import safe_environment

__all__ = ["LocalPool", "sensible_workers"]

_MEMORY = 1 << 30  # bytes for one worker: torch, a small data set and its batches
_QUIET = 300.0  # seconds without a beat after which a worker counts as hung


def sensible_workers(runs: int, gpus: int = 0) -> int:
    """Number of workers to use: one a GPU, else one a core as far as the memory reaches, and no more than runs."""
    if gpus:
        return max(1, min(runs, gpus))
    return max(1, min(runs, cores(), free_memory() // _MEMORY))


class _Worker:
    """One process, the connection to it, and the attempt it works on."""

    def __init__(
        self,
        environment: dict[str, str],
        modules: tuple[str, ...],
        inbox: queue.SimpleQueue[tuple[_Worker, Any]],
        clock: AwakeClock,
    ) -> None:
        self.connection, theirs = Pipe()
        number = theirs.fileno()
        program = f"from noiseproof.experiments.executors.worker import main; main{(number, *modules)}"
        with theirs:
            self.process = subprocess.Popen(  # noqa: S603 - this interpreter, on the package's own module
                [sys.executable, "-c", program],
                env=environment,
                pass_fds=[number],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
            )
        self.ticket: int | None = None
        self.started = False  # ready for calls; until then what it says on stderr tells why it is not
        self.clock, self.heard = clock, clock.now()
        self.last_words: deque[str] = deque(maxlen=1)
        self.listener = self._thread(self._listen, inbox)
        self.reader = self._thread(self._read)

    def _thread(self, target: Any, *args: Any) -> threading.Thread:
        thread = threading.Thread(target=target, args=args, daemon=True)
        thread.start()
        return thread

    def _listen(self, inbox: queue.SimpleQueue[tuple[_Worker, Any]]) -> None:
        # A thread of its own, because a worker that is stopped in the middle of a message would hold up the rest.
        try:
            while True:
                message = pickle.loads(self.connection.recv_bytes())  # noqa: S301 - from the process's own child, never a file
                self.heard = self.clock.now()
                inbox.put((self, message))
        except (EOFError, OSError, pickle.UnpicklingError):
            inbox.put((self, None))

    def _read(self) -> None:
        """Pass on what it writes to stderr; what it writes before it is ready becomes the reason that it is not."""
        assert self.process.stderr is not None
        with self.process.stderr as lines:
            for line in lines:
                self.last_words.append(line.strip() or "")
                if self.started:
                    sys.stderr.write(line)

    def send(self, ticket: int, call: Call) -> None:
        """Hand over a call; a worker that is gone shows as silence soon."""
        self.ticket, self.heard = ticket, self.clock.now()
        try:
            self.connection.send_bytes(pickle.dumps((ticket, pickle.dumps(call))))
        except OSError:
            self.process.kill()

    def silence(self) -> float:
        return self.clock.now() - self.heard

    def end(self) -> int:
        """Kill it and see it out; its exit status."""
        self.process.kill()
        status = self.process.wait()
        self.listener.join(timeout=5)
        self.reader.join(timeout=1)  # unless a child of the worker still holds it open
        self.connection.close()
        return status


class LocalPool:
    """Worker processes on this machine.

    Args:
        workers: how many.
        threads: of each; $OMP_NUM_THREADS, or else the cores shared out, if not given.
        gpus: the workers take turns on that many.
        quiet: seconds of silence after which a worker is taken for hung, killed and its attempt reported lost; and
            seconds without progress after which an attempt is reported as stalled.
        stuck_after: seconds without progress after which a worker is killed; None: never.
        modules: to be imported by a new worker ahead of its first call.
    """

    def __init__(
        self,
        workers: int,
        *,
        threads: int | None = None,
        gpus: int = 0,
        quiet: float = _QUIET,
        stuck_after: float | None = None,
        modules: tuple[str, ...] = (),
    ) -> None:
        self.slots = workers
        wanted = os.environ.get("OMP_NUM_THREADS", "")
        shared_out = max(1, cores() // workers)
        self.threads = threads or (int(wanted) if wanted.isdecimal() and int(wanted) else shared_out)
        self._gpus, self._quiet, self._modules = gpus, quiet, modules
        self._inbox: queue.SimpleQueue[tuple[_Worker, Any]] = queue.SimpleQueue()
        self._workers: list[_Worker | None] = [None] * workers
        self._clock = AwakeClock()
        self._patience = Patience(self._clock, quiet, stuck_after)

    def processes(self) -> list[int]:
        """The process numbers of the workers that there are."""
        return [worker.process.pid for worker in self._workers if worker]

    def warm(self) -> None:
        """Start the processes now, while the driver still has other things to do."""
        for slot, worker in enumerate(self._workers):
            self._workers[slot] = worker or self._new(slot)

    def start(self, ticket: int, call: Call) -> None:
        slot = next(slot for slot, worker in enumerate(self._workers) if worker is None or worker.ticket is None)
        worker = self._workers[slot] = self._workers[slot] or self._new(slot)
        worker.send(ticket, call)
        self._patience.moved(ticket)

    def events(self, timeout: float) -> list[Event]:
        happened: list[Event] = []
        deadline = time.monotonic() + timeout
        while not happened and (left := deadline - time.monotonic()) > 0:
            self._look_after()
            happened += [Stalled(ticket, seconds) for ticket, seconds in self._patience.stalled()]
            try:
                worker, message = self._inbox.get(timeout=min(left, 1.0))
            except queue.Empty:
                continue
            if event := self._understand(worker, message):
                happened.append(event)
        return happened

    def close(self) -> None:
        for slot, worker in enumerate(self._workers):
            if worker:
                worker.end()
                self._workers[slot] = None

    def _new(self, slot: int) -> _Worker:
        threads, path = str(self.threads), os.pathsep.join(path for path in sys.path if path)
        environment = safe_environment(OMP_NUM_THREADS=threads, MKL_NUM_THREADS=threads, PYTHONPATH=path)
        if self._gpus:
            visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
            number = slot % self._gpus
            environment["CUDA_VISIBLE_DEVICES"] = visible[number] if len(visible) == self._gpus else str(number)
        return _Worker(environment, self._modules, self._inbox, self._clock)

    def _look_after(self) -> None:
        """Kill workers that have fallen silent or are stuck; the end of their connection reports the loss."""
        stuck = {ticket for ticket, _ in self._patience.stuck()}
        for worker in self._workers:
            if worker and worker.ticket is not None and (worker.silence() > self._quiet or worker.ticket in stuck):
                worker.process.kill()
            if worker and worker.process.poll() is not None:
                worker.listener.join(timeout=1)  # unless a child of the worker still holds the connection open
                self._inbox.put((worker, None))

    def _understand(self, worker: _Worker, message: Any) -> Event | None:
        if worker not in self._workers:
            return None
        if message is None:
            return self._bury(worker)
        kind, ticket, content = message
        worker.started = True
        if ticket != worker.ticket:  # it is ready, or alive
            return None
        self._patience.moved(ticket)
        if kind == "pulse":
            return None
        if kind == "progress":
            return Progress(ticket, content)
        worker.ticket = None
        self._patience.forget(ticket)
        if kind == "value":
            return Finished(ticket, content)
        return Raised(ticket, *content)

    def _bury(self, worker: _Worker) -> Event | None:
        silent, ticket = worker.silence(), worker.ticket
        stuck = dict(self._patience.stuck())
        status = worker.end()
        self._workers[self._workers.index(worker)] = None
        if ticket is None:
            return None
        self._patience.forget(ticket)
        if silent > self._quiet:
            return Lost(ticket, f"its worker was silent for {silent:.0f} s and was killed")
        if ticket in stuck:
            return Lost(ticket, f"it made no progress for {stuck[ticket]:.0f} s and was given up", stuck=True)
        how = f"signal {-status}" if status < 0 else f"exit status {status}"
        why = f"its worker ended with {how}{' (out of memory?)' if status == -9 else ''}"
        if worker.started:
            return Lost(ticket, why)
        return Lost(ticket, ": ".join([f"{why} before it was ready", *worker.last_words]), started=False)
