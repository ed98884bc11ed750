"""Patience with workers: the time that this process was awake, and how long an attempt may show no progress."""

from __future__ import annotations

import threading
import time

__all__ = ["AwakeClock", "Patience"]


class AwakeClock:
    """Seconds that this process has been awake.

    A process that is stopped (Ctrl+Z, a batch system that suspends its jobs) hears nothing in the meantime, so that
    time may not count as silence of those it listens to. The clock is to be read at least once a second: of a longer
    gap it counts one second.
    """

    _STEP = 1.0

    def __init__(self) -> None:
        self._awake, self._last, self._turn = 0.0, time.monotonic(), threading.Lock()

    def now(self) -> float:
        with self._turn:
            now = time.monotonic()
            self._awake += min(now - self._last, self._STEP)
            self._last = now
            return self._awake


class Patience:
    """The attempts under way and when each last made progress.

    Args:
        clock: tells the time.
        report_after: seconds without progress after which an attempt is reported, and again after twice as long.
        stuck_after: seconds without progress after which it is to be given up; None: never.
    """

    def __init__(self, clock: AwakeClock, report_after: float, stuck_after: float | None) -> None:
        self._clock, self._report_after, self._stuck_after = clock, report_after, stuck_after
        self._moved: dict[int, float] = {}
        self._report_at: dict[int, float] = {}

    def moved(self, ticket: int) -> None:
        """The attempt begins, or has made progress."""
        self._moved[ticket] = self._clock.now()
        self._report_at[ticket] = self._report_after

    def forget(self, ticket: int) -> None:
        self._moved.pop(ticket, None)
        self._report_at.pop(ticket, None)

    def stalled(self) -> list[tuple[int, float]]:
        """Attempts to report, each with its seconds without progress."""
        found = [(ticket, still) for ticket in self._moved if (still := self._still(ticket)) > self._report_at[ticket]]
        for ticket, still in found:
            self._report_at[ticket] = 2 * still
        return found

    def stuck(self) -> list[tuple[int, float]]:
        """Attempts to give up, each with its seconds without progress."""
        limit = self._stuck_after
        return [(ticket, still) for ticket in self._moved if limit and (still := self._still(ticket)) > limit]

    def _still(self, ticket: int) -> float:
        return self._clock.now() - self._moved[ticket]
