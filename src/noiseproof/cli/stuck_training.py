"""A training in this process, watched: no progress for long is reported and, on request, given up."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from noiseproof.experiments.executors.stuck_workers import AwakeClock, Patience
from noiseproof.runtime import progress_signal

__all__ = ["watched"]

_REPORT_AFTER = 300.0  # seconds


@contextmanager
def watched(stuck_after: float | None, *, report_after: float = _REPORT_AFTER) -> Iterator[None]:
    """Report on stderr when the work stands still; end the process with exit code 3 after `stuck_after` seconds of it.

    A computation that hangs in a library cannot be interrupted, so the whole process ends. Its last checkpoint stays.
    """
    patience, ended = Patience(AwakeClock(), report_after, stuck_after), threading.Event()
    patience.moved(0)

    def watch() -> None:
        while not ended.wait(0.5):
            for _, seconds in patience.stuck():
                print(
                    f"noiseproof: no progress for {seconds:.0f} s, given up; the same command goes on from the last "
                    "checkpoint",
                    file=sys.stderr,
                    flush=True,
                )
                os._exit(3)
            for _, seconds in patience.stalled():
                print(
                    f"noiseproof: no progress for {seconds:.0f} s; --stuck-after SECONDS gives it up",
                    file=sys.stderr,
                    flush=True,
                )

    threading.Thread(target=watch, daemon=True, name="watch").start()
    try:
        with progress_signal.heard_by(lambda: patience.moved(0)):
            yield
    finally:
        ended.set()
