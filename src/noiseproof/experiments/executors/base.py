"""What every executor is to the driver: slots that compute calls, and a stream of what happened.

A call is a pickled function of one keyword, `progress`, that a worker calls with whatever it has to tell. Each
attempt at a call has a ticket of its own; what comes back carries it, so that a reply from an attempt that was
given up can be told from the one that replaced it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

__all__ = ["Call", "Event", "Finished", "Lost", "Pool", "Progress", "Raised"]

Call = Callable[..., Any]


@dataclass(frozen=True)
class Progress:
    """The call has something to tell."""

    ticket: int
    content: Any


@dataclass(frozen=True)
class Finished:
    """The call returned."""

    ticket: int
    value: Any


@dataclass(frozen=True)
class Raised:
    """The call raised."""

    ticket: int
    error: Exception
    trace: str


@dataclass(frozen=True)
class Lost:
    """The worker is gone, with whatever it had computed."""

    ticket: int
    why: str


Event = Progress | Finished | Raised | Lost


class Pool(Protocol):
    """Processes on this machine, or tasks on a cluster."""

    slots: int

    def start(self, ticket: int, call: Call) -> None:
        """Begin an attempt; at most `slots` at a time."""

    def events(self, timeout: float) -> list[Event]:
        """What has happened since the last time; waits up to `timeout` seconds for the first event."""

    def close(self) -> None:
        """End all workers, whatever they are at."""
