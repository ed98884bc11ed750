"""A table in memory: named columns, what each is for, and the row of each record as the user's editor counts it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from noiseproof.errors import DataError, did_you_mean

__all__ = ["Column", "Roles", "Table", "unique_names"]


class Column:
    """One column, as texts exactly as written or as numbers.

    Args:
        name: of the column, unique in its table.
        texts: the values as written, or a function that gets them when they are asked for.
        numbers: the values where the source stores numbers; NaN is a missing one.
        coded: different texts and each value's place among them, where they are known.
    """

    def __init__(
        self,
        name: str,
        texts: Sequence[str] | Callable[[], Sequence[str]],
        numbers: npt.NDArray[Any] | None = None,
        coded: Callable[[], tuple[list[str], npt.NDArray[np.int64]]] | None = None,
    ) -> None:
        self.name, self.numbers, self._texts, self._coded = name, numbers, texts, coded

    @cached_property
    def texts(self) -> Sequence[str]:
        """The values as written."""
        return self._texts() if callable(self._texts) else self._texts

    @cached_property
    def coded(self) -> tuple[list[str], npt.NDArray[np.int64]]:
        """The different texts in order of appearance, and for each value its place among them."""
        if self._coded is not None:
            return self._coded()
        index: dict[str, int] = {}
        codes = np.fromiter((index.setdefault(text, len(index)) for text in self.texts), np.int64, len(self.texts))
        return list(index), codes

    @property
    def different(self) -> list[str]:
        """The different texts, in order of appearance."""
        return self.coded[0]

    def renamed(self, name: str) -> Column:
        """The same values under another name."""
        return Column(name, self._texts, self.numbers, self._coded)

    def take(self, where: npt.NDArray[np.int64]) -> Column:
        """The values at these positions."""
        numbers = None if self.numbers is None else self.numbers[where]
        return Column(self.name, lambda: [self.texts[i] for i in where.tolist()], numbers)


@dataclass
class Table:
    """Columns of equal length, with where each record stands in the source.

    Args:
        source: the file, for messages.
        form: its form in plain words.
        columns: in the order of the source.
        count: the number of records.
        rows: the row of each record as an editor counts it; None where the source has no rows.
        delimiter: of a CSV file.
        known: columns whose role the form itself fixes, by role (`label`, `path`, `text`, `id`).
        ignored: columns that the form itself leaves out, each with the reason.
        skipped: records that the form itself leaves out, each with the reason.
        first_index: zero-based position of each record in the source, where records were left out.
    """

    source: str
    form: str
    columns: list[Column]
    count: int
    rows: npt.NDArray[np.int64] | None = None
    delimiter: str | None = None
    known: dict[str, str] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    index: npt.NDArray[np.int64] | None = None

    @property
    def names(self) -> list[str]:
        """Names of the columns."""
        return [column.name for column in self.columns]

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        fits = [column for column in self.columns if column.name.strip().casefold() == name.strip().casefold()]
        if len(fits) == 1:
            return fits[0]
        hint = did_you_mean(name, self.names)
        raise DataError(f"{self.source}: no column {name!r}{hint} (there are: {shown(self.names)})")

    def place(self, position: int) -> str:
        """One record, for a message: `row 14`, or `record 12` counted from 0 where the source has no rows."""
        return f"record {position}" if self.rows is None else f"row {int(self.rows[position])}"

    def offenders(self, bad: npt.NDArray[np.bool_], texts: Sequence[str]) -> str:
        """The first five records that are wrong: `row 3: 'x', row 7: 'y' (and 40 more)`."""
        where = np.flatnonzero(bad)
        found = ", ".join(f"{self.place(i)}: {str(texts[i])[:40]!r}" for i in where[:5].tolist())
        return found + (f" (and {len(where) - 5:,} more)" if len(where) > 5 else "")


@dataclass
class Roles:
    """Columns of a table by role."""

    label: str | None = None
    clean: str | None = None
    split: str | None = None
    id: str | None = None
    path: str | None = None
    text: str | None = None
    annotator: str | None = None
    item: str | None = None
    votes: list[str] = field(default_factory=list)
    soft: list[str] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)
    assumed: dict[str, str] = field(default_factory=dict)

    def taken(self) -> set[str]:
        """Columns that have a role already."""
        single = (self.label, self.clean, self.split, self.id, self.path, self.text, self.annotator)
        named = {name for name in single if name is not None}
        return named | set(self.votes) | set(self.soft) | set(self.ignored)


def shown(names: Sequence[str], most: int = 12) -> str:
    """Names for a message, not endlessly many."""
    texts = [name if name else "''" for name in names[:most]]
    return ", ".join(text[:40] for text in texts) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def unique_names(header: Sequence[str]) -> list[str]:
    """Names of columns; one that is there before gets a number.

    Example:
        >>> unique_names(["value", "value", "ash"])
        ['value', 'value (2)', 'ash']
    """
    found: list[str] = []
    taken = set(header)
    for name in header:
        new, number = name, 1
        while new in found or (number > 1 and new in taken):
            number += 1
            new = f"{name} ({number})"
        found.append(new)
    return found
