"""Worker process: computes the calls that the pool sends.

It hears on one connection and answers on it: progress, a value or an error, a beat every few seconds that says the
process is alive, and a pulse from the computation itself that says it moves. When the other end goes away it ends at
once, so no worker outlives its driver.
"""

from __future__ import annotations

import errno
import os
import pickle
import queue
import signal
import threading
import traceback
from contextlib import suppress
from functools import partial
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

from noiseproof.errors import MachineError, NoiseproofError
from noiseproof.experiments.executors.base import OutOfMemory
from noiseproof.runtime import own_parts, progress_signal

__all__ = ["BEAT", "Failure", "main", "portable"]

BEAT = 2.0  # seconds


class Failure(Exception):
    """Text of an exception that cannot travel between processes itself."""


# What the system refuses whoever asks; the same call may work later or elsewhere.
_OF_THE_MACHINE = {errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def portable(error: Exception) -> Exception:
    """An exception that another process can read, and that tells the machine's trouble from the run's own fault.

    Errors of noiseproof stay as they are; a lack of memory, a disk that fails and a missing package become a
    `MachineError`; any other one its text, with file and line where it comes from a part of the user's own.

    Example:
        >>> portable(ValueError("no such thing"))
        Failure('ValueError: no such thing')
        >>> portable(MemoryError())
        OutOfMemory('out of memory')
    """
    if isinstance(error, NoiseproofError):
        return error
    text = "".join(traceback.format_exception_only(error)).strip()
    if isinstance(error, ImportError):  # no fault of the run: every other one would end the same way
        return MachineError(f"a worker cannot import what a run needs: {error}")
    if _lacks_memory(error):
        return OutOfMemory(f"out of memory{f': {text}' if str(error) else ''}")
    if isinstance(error, OSError) and error.errno in _OF_THE_MACHINE:
        return MachineError(f"the system refused: {text}")
    return Failure(own_parts.in_own_code(error) or text)


def _lacks_memory(error: Exception) -> bool:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"MemoryError", "OutOfMemoryError", "_ArrayMemoryError"}:  # Python's, torch's, numpy's
        return True
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)  # torch's, on a CPU


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
    line.send("ready", -1)
    while True:
        message = line.calls.get()
        ticket = -1
        try:
            ticket, packed = pickle.loads(message)  # noqa: S301 - from the parent process, over its own pipe
            call = pickle.loads(packed)  # noqa: S301 - imports what the call needs, so it may fail on its own
            with progress_signal.heard_by(partial(line.send, "pulse", ticket)):
                value = call(progress=lambda content, ticket=ticket: line.send("progress", ticket, content))
            line.send("value", ticket, value)
        except Exception as error:
            line.send("error", ticket, (portable(error), traceback.format_exc()))
