"""An `os` that ends its process, as a power cut would, just before one of the calls that write a file."""

from __future__ import annotations

import os
import signal
from typing import Any

CALLS = ("open", "write", "fsync", "fstat", "close", "link", "replace", "unlink", "mkdir")


class DeadlyOs:
    """What the file layer takes for `os`.

    Args:
        die_at: the number, from 1, of the last call; 0 is none.

    Attributes:
        writing: calls count while this is set.
        calls: how many there were.
    """

    def __init__(self, die_at: int = 0) -> None:
        self.die_at, self.calls, self.writing = die_at, 0, False

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CALLS:
            return real

        def call(*args: Any, **named: Any) -> Any:
            if self.writing:
                self.calls += 1
                if self.calls == self.die_at:
                    os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **named)

        return call
