"""What a worker process does: compute what the pool sends it.

It hears on one connection and answers on it: progress, a value or an error, and a beat every few seconds
that says it is alive. When the other end goes away it ends at once, so no worker outlives its driver.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import threading
import traceback
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

from noiseproof.errors import MachineError, NoiseproofError

__all__ = ["BEAT", "Failure", "main", "portable"]

BEAT = 2.0  # seconds


class Failure(Exception):
    """What a computation raised, as text, where the exception itself cannot travel."""


def portable(error: Exception) -> Exception:
    """An exception that another process can read: our own as they are, any other one as its text.

    Example:
        >>> portable(ValueError("no such thing"))
        Failure('ValueError: no such thing')
    """
    if isinstance(error, NoiseproofError):
        return error
    if isinstance(error, ImportError):  # no fault of the run: every other one would end the same way
        return MachineError(f"a worker cannot import what a run needs: {error}")
    return Failure("".join(traceback.format_exception_only(error)).strip())


class _Line:
    """The connection, shared by the thread that listens and the one that computes."""

    def __init__(self, connection: Connection) -> None:
        self.connection, self._turn = connection, threading.Lock()
        self.calls: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def send(self, kind: str, ticket: int, content: Any = None) -> None:
        message = pickle.dumps((kind, ticket, content))
        try:
            with self._turn:
                self.connection.send_bytes(message)
        except OSError:
            os._exit(0)

    def listen(self) -> None:
        try:
            while True:
                if self.connection.poll(BEAT):
                    self.calls.put(self.connection.recv_bytes())
                else:
                    self.send("beat", -1)
        except (EOFError, OSError):
            os._exit(0)


def main(descriptor: int, *modules: str) -> None:
    """Import `modules` ahead of the first call and serve until the other end goes away."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the whole group; the driver decides
    line = _Line(Connection(descriptor))
    threading.Thread(target=line.listen, daemon=True).start()
    with suppress(ImportError):  # a call that needs it will say so
        for module in modules:
            import_module(module)
    while True:
        message = line.calls.get()
        ticket = -1
        try:
            ticket, packed = pickle.loads(message)
            call = pickle.loads(packed)  # imports what the call needs, so it may fail on its own
            value = call(progress=lambda content, ticket=ticket: line.send("progress", ticket, content))
            line.send("value", ticket, value)
        except Exception as error:
            line.send("error", ticket, (portable(error), traceback.format_exc()))
