"""Job of writing a cleaned data set, and what undoes it: edits of a file's bytes, or moves of files."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noiseproof.data.dataset import Split

__all__ = ["WEIGHT", "Change", "Edit", "Form", "Job", "Move", "whole"]

WEIGHT = "sample_weight"  # column of the weights in a cleaned table; the readers do not learn from it


@dataclass(frozen=True)
class Change:
    """Change of one sample: dropped, relabelled to a class name, or weighted."""

    drop: bool = False
    label: str | None = None
    weight: float | None = None


@dataclass(frozen=True)
class Job:
    """A data set to write anew.

    Args:
        source: the file or folder as it was read.
        out: the new file or folder.
        split: every sample that was read.
        changes: by the sample's position in `split`.
        label: name of the label column.
        delimiter, encoding: of a text table, where the user named them.
        link: hard links instead of copies of pictures.
    """

    source: Path
    out: Path
    split: Split
    changes: Mapping[int, Change]
    label: str = "label"
    delimiter: str | None = None
    encoding: str | None = None
    link: bool = False

    @property
    def weighted(self) -> bool:
        """True if any sample gets a weight; all others then have 1."""
        return any(change.weight is not None for change in self.changes.values())

    def by_index(self) -> dict[int, Change]:
        """The changes by the zero-based position among all records of the source."""
        assert self.split.origin is not None
        return {int(self.split.origin.index[position]): change for position, change in self.changes.items()}

    def by_row(self) -> dict[int, Change]:
        """The changes by the row as a spreadsheet counts it."""
        assert self.split.origin is not None
        assert self.split.origin.rows is not None
        return {int(self.split.origin.rows[position]): change for position, change in self.changes.items()}

    def by_key(self, name: str) -> dict[str, Change]:
        """The changes by the value of an origin's column."""
        assert self.split.origin is not None
        values: Sequence[Any] = self.split.origin.columns()[name]
        return {str(values[position]): change for position, change in self.changes.items()}


@dataclass(frozen=True)
class Edit:
    """A replaced stretch of a file: where it begins in the original, the bytes before and after."""

    at: int
    old: bytes
    new: bytes


@dataclass(frozen=True)
class Move:
    """A file of a folder: its name below the source, and below the new folder; dropped files have no new name."""

    old: str
    new: str | None


@dataclass(frozen=True)
class Form:
    """A form: its name, the test whether a source has it, and what writes a job and tells how."""

    name: str
    accepts: Callable[[Path], bool]
    write: Callable[[Job], list[Edit] | list[Move]]


def whole(old: bytes, new: bytes) -> list[Edit]:
    """The edit that replaces a file as a whole, without the bytes that both begin and end with."""
    limit = min(len(old), len(new))
    head = _common(old, new, limit)
    tail = _common(old[::-1], new[::-1], limit - head)
    return [Edit(head, old[head : len(old) - tail], new[head : len(new) - tail])]


def _common(one: bytes, other: bytes, limit: int) -> int:
    """Length of the common beginning, at most `limit`."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if one[:middle] == other[:middle]:
            low = middle
        else:
            high = middle - 1
    return low
