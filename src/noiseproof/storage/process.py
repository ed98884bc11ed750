"""Who wrote this: a process named so that any later one can tell whether it still lives.

A process number alone is reused; together with the moment the process started and the boot of its machine
it is not. Temporary files and locks carry such a name.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from noiseproof.errors import MachineError

__all__ = ["Process", "this_process"]


@dataclass(frozen=True)
class Process:
    """One process of one boot of one machine."""

    host: str
    pid: int
    start: str  # clock ticks since boot; empty where the system does not tell
    boot: str

    def alive(self) -> bool | None:
        """Whether it still runs; None if it is on another machine, where we cannot look.

        Raises:
            MachineError: no more files may be opened, which is how one looks.

        Example:
            >>> this_process().alive()
            True
        """
        here = this_process()
        if self.host != here.host:
            return None
        if self.boot != here.boot:
            return False
        start = _start(self.pid)
        return start is not None and start == self.start


def this_process() -> Process:
    """The name of the process that calls."""
    return _named(os.getpid())


@lru_cache(maxsize=1)  # a forked child has another number, hence another entry
def _named(pid: int) -> Process:
    return Process(socket.gethostname(), pid, _start(pid) or "", _boot())


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _start(pid: int) -> str | None:
    """When process `pid` started; empty if only its existence is known, None if there is no such process."""
    try:
        # The second field is the program's name in brackets and may itself hold spaces and brackets.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _answers(pid)
    except OSError as error:
        raise MachineError(f"cannot tell whether process {pid} lives: {error.strerror}") from None
    return None if fields[0] in "ZX" else fields[19]  # a zombie has ended, only nobody has asked how


def _answers(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:  # it exists and is somebody else's
        return ""
    return ""
