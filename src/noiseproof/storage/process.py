"""The identity of a process, by which any later one can tell whether it still lives.

A process number is reused, and means something else in another container. Together with the moment the process
started, the boot of its machine and its PID namespace it does not. Temporary files and locks carry this identity.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from noiseproof.errors import MachineError

__all__ = ["Process", "safe_environment", "this_process"]


@dataclass(frozen=True)
class Process:
    """One process of one boot of one machine."""

    host: str
    pid: int
    start: str  # clock ticks since boot; empty where the system does not tell
    boot: str
    namespace: str = ""  # number of the PID namespace in which `pid` counts; empty where the system does not tell

    def alive(self) -> bool | None:
        """True while it runs; None where that cannot be seen from here.

        It cannot be seen on another host, in another PID namespace (a container) and where /proc hides the processes
        of other users.

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
        if self.namespace and here.namespace and self.namespace != here.namespace:
            return None
        start = _start(self.pid)
        if start is None:
            return False
        hidden = start == "" != self.start
        return None if hidden else start == self.start


def this_process() -> Process:
    """The identity of the process that calls."""
    return _named(os.getpid())


def safe_environment(**changes: str) -> dict[str, str]:
    """The environment of a child process, which imports nothing from its working folder, nor do its own children."""
    return os.environ | {"PYTHONSAFEPATH": "1"} | changes


@lru_cache(maxsize=1)  # a forked child has another number, hence another entry
def _named(pid: int) -> Process:
    return Process(socket.gethostname(), pid, _start(pid) or "", _boot(), _namespace())


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _namespace() -> str:
    try:
        return "".join(filter(str.isdigit, os.readlink("/proc/self/ns/pid")))  # pid:[4026531836]
    except OSError:
        return ""


def _start(pid: int) -> str | None:
    """Start time of process `pid`; empty if only its existence is known, None if there is no such process."""
    if not _proc_is_ours():
        return _answers(pid)
    try:
        # The second field is the program's name in brackets and may itself hold spaces and brackets.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return _answers(pid)  # hidepid shows the processes of other users to nobody
    except OSError as error:
        raise MachineError(f"cannot tell whether process {pid} lives: {error.strerror}") from None
    return None if fields[0] in "ZX" else fields[19]  # a zombie has ended, only nobody has asked how


def _proc_is_ours() -> bool:
    """True if /proc counts processes as this one does; a new PID namespace may still see its parent's."""
    try:
        return os.readlink("/proc/self") == str(os.getpid())
    except OSError:
        return Path("/proc/self/stat").exists()


def _answers(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return None
    except PermissionError:  # it exists and is somebody else's
        return ""
    return ""
