"""Callbacks of a sweep, and the counts that it ends with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from noiseproof.errors import NoiseproofError
from noiseproof.experiments.records import Record
from noiseproof.experiments.specification import Run

__all__ = ["Callback", "Summary"]


class Callback:
    """Callbacks of a sweep: subclass and override."""

    def begin(self, waiting: int, recorded: int) -> None:
        """The sweep begins: counts of the pending runs and of those recorded before."""

    def started(self, run: Run) -> None:
        """A worker has started the run."""

    def progress(self, run: Run, content: Any) -> None:
        """A worker reports progress of its run, usually once an epoch."""

    def recorded(self, run: Run, record: Record) -> None:
        """The record is on the disk."""

    def note(self, text: str) -> None:
        """A message for the user."""


@dataclass
class Summary:
    """Counts of the runs of a sweep by how they ended."""

    recorded: int = 0
    present: int = 0  # had a record before
    discarded: int = 0  # another driver was faster
    failed: list[tuple[Run, str]] = field(default_factory=list)
    diverged: list[Run] = field(default_factory=list)
    unfinished: list[tuple[Run, NoiseproofError]] = field(
        default_factory=list
    )  # no record; the same command tries again
