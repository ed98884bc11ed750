"""Interface of executors: slots that compute calls, and a stream of events.

A call is a pickled function of one keyword, `progress`, that a worker calls with whatever it has to tell. Each
attempt at a call has a ticket of its own; what comes back carries it, so that a reply from an attempt that was
given up can be told from the one that replaced it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from noiseproof.errors import MachineError

__all__ = ["Call", "Event", "Finished", "Lost", "OutOfMemory", "Pool", "Progress", "Raised", "Stalled"]

Call = Callable[..., Any]


class OutOfMemory(MachineError):
    """A run needs more memory than there was; with fewer workers beside it, it may fit."""


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
    started: bool = True  # False: it ended before it could take a call
    stuck: bool = False  # it was given up because it made no progress


@dataclass(frozen=True)
class Stalled:
    """The call has shown no progress for a while; it is left to go on."""

    ticket: int
    seconds: float


Event = Progress | Finished | Raised | Lost | Stalled


class Pool(Protocol):
    """Processes on this machine, or tasks on a cluster."""

    slots: int

    def start(self, ticket: int, call: Call) -> None:
        """Begin an attempt; at most `slots` at a time."""

    def events(self, timeout: float) -> list[Event]:
        """Events since the last call; waits up to `timeout` seconds for the first one."""

    def close(self) -> None:
        """End all workers, whatever they are at."""
