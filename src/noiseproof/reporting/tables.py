"""Tables are pure functions of records: the same records give the same table, in any order of reading.

`tables_of` lays aggregates out as tables, which `render` writes. Runs that were not measured alike stay in rows of
their own, which say how they differ.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from noiseproof.humanize import counted
from noiseproof.reporting.aggregate import Aggregate, Record, aggregate, method_order, plain, short_noise

__all__ = [
    "MISSING",
    "Aggregate",
    "Cell",
    "Record",
    "Table",
    "TableRow",
    "aggregate",
    "cell",
    "number",
    "tables_of",
    "top_two",
    "variants",
]

MISSING = "—"


@dataclass(frozen=True)
class Cell:
    """One place of a table.

    Attributes:
        text: what it says, with a plus-minus sign and an en dash as Unicode has them.
        mark: "best", "second" or nothing.
        notes: footnotes, in full; who writes the table numbers them.
        value: what to sort by.
    """

    text: str = MISSING
    mark: str = ""
    notes: tuple[str, ...] = ()
    value: float | None = None


@dataclass(frozen=True)
class TableRow:
    """A line of a table: what it is, then a cell for each column."""

    labels: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Table:
    """A table that only has to be written down: heads of the labels and of the columns, lines, closing remarks."""

    title: str
    heads: tuple[str, ...]
    columns: tuple[str, ...]
    rows: tuple[TableRow, ...]
    remarks: tuple[str, ...] = field(default=())

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """The footnotes of all cells, each once, in the order of reading; a note's number is its place from 1."""
        return tuple(dict.fromkeys(note for line in self.rows for cell in line.cells for note in cell.notes))

    def closing(self, second: str = "underlined") -> tuple[str, ...]:
        """The closing sentences; with marks in the table the last says how they look."""
        marked = any(cell.mark for line in self.rows for cell in line.cells)
        return (*self.remarks, *([f"Best in bold, second best {second}."] if marked else []))

    def caption(self) -> str:
        """Data, label noise, what the numbers are and over how many seeds, as a table away from its page needs them."""
        what = self.remarks[:1]
        return " ".join([f"{self.title}; label noise: {', '.join(self.columns)}.", *what])


def number(mean: float, std: float | None, *, signed: bool = False) -> str:
    """A mean with its standard deviation, as the tables of the field write it.

    Example:
        >>> number(87.528, 0.254), number(-0.5, None, signed=True)
        ('87.53 ± 0.25', '−0.50')
    """
    text = f"{round(mean, 2) + 0.0:{'+' if signed else ''}.2f}".replace("-", "−")  # + 0.0: no minus before a zero
    return text if std is None else f"{text} ± {std:.2f}"


def tables_of(records: Iterable[Record]) -> list[Table]:
    """One table for each data set and recipe: a line for each method and protocol, a column for each noise."""
    by_place: dict[tuple[str, str, str], list[Aggregate]] = defaultdict(list)
    for row in aggregate(records):
        by_place[row.data, str(row.shared.get("recipe", row.data)), row.shared["fingerprint"]].append(row)
    places = [(data, recipe) for data, recipe, _ in by_place]
    made = []
    for (data, recipe, fingerprint), group in by_place.items():
        title = data if recipe == data.partition(" on ")[0] else f"{data}, recipe {recipe}"
        copies = places.count((data, recipe)) > 1
        made.append(_table(f"{title} (fingerprint {fingerprint[:12]})" if copies else title, group))
    return made


def _table(title: str, group: Sequence[Aggregate]) -> Table:
    conventions: dict[str, set[str]] = defaultdict(set)
    for row in group:
        conventions[row.noise].add(row.shared["convention"])
    labels = variants(group)
    table: dict[tuple[str, str], dict[tuple[str, str], Aggregate]] = defaultdict(dict)
    columns: dict[tuple[str, str], str] = {}
    for row, label in zip(group, labels, strict=True):
        place = (row.noise, row.shared["convention"])
        more = f" [{place[1] or 'no convention'}]" if len(conventions[row.noise]) > 1 else ""
        columns[place] = short_noise(row.noise) + more
        table[row.method, label][place] = row
    marks = top_two(row for row in group if row.mean is not None and not row.diverged)
    usual = max((row.n for row in group), default=0)
    lines = [
        TableRow(
            (f"{method} ({label})" if label else method,),
            tuple(cell(table[method, label].get(place), marks, usual) for place in columns),
        )
        for method, label in sorted(table, key=lambda name: (method_order(name[0]), name[1]))
    ]
    return Table(title, ("method",), tuple(columns.values()), tuple(lines), tuple(_remarks(group, usual, lines)))


def cell(row: Aggregate | None, marks: Mapping[int, str], usual: int) -> Cell:
    """Cell of an aggregate in a table whose means are over `usual` seeds; None has no record."""
    if row is None:
        return Cell()
    notes = list(_losses(row))
    if row.mean is None:
        return Cell("diverged" if row.diverged else "failed", notes=tuple(notes) if row.diverged and row.failed else ())
    if row.n != usual:
        notes.insert(0, f"over {counted(row.n, 'seed')}")
    return Cell(number(row.mean, row.std), marks.get(id(row), ""), tuple(notes), row.mean)


def _losses(row: Aggregate) -> Iterator[str]:
    for word, seeds in (("diverged", row.diverged), ("failed", row.failed)):
        if seeds:
            names = ", ".join(map(str, seeds))
            yield f"seed{'s' if len(seeds) > 1 else ''} {names} {word} and {'are' if len(seeds) > 1 else 'is'} left out"


def top_two(group: Iterable[Aggregate]) -> dict[int, str]:
    """The best and second best of each column, by the numbers as printed; equal numbers share a mark.

    Results of different selection rules do not compete, a mean over the seeds that did not diverge does not compete
    at all, and one number alone wins nothing.

    Returns:
        "best" or "second" by the `id` of a row.
    """
    columns: dict[tuple[Any, ...], list[Aggregate]] = defaultdict(list)
    for row in group:
        shared = row.shared
        columns[row.data, shared["fingerprint"], row.noise, shared["convention"], shared["selection"]].append(row)
    marks: dict[int, str] = {}
    for column in columns.values():
        printed = {id(row): round(row.mean, 2) for row in column if row.mean is not None}
        first, *rest = sorted(set(printed.values()), reverse=True)
        places = {first: "best"} if len(printed) > 1 else {}
        if rest and len(printed) > 2:
            places[rest[0]] = "second"
        marks |= {key: places[value] for key, value in printed.items() if value in places}
    return marks


# What rows differ in

_ALWAYS_SAID = ("selection", "precision", "mode")
_PLACE = frozenset({"data", "fingerprint", "noise", "convention", "method"})


def variants(group: Sequence[Aggregate], place: Set[str] = _PLACE) -> list[str]:
    """For each row, what sets it apart from others of its method: "precision=bf16", "train.epochs=10", or nothing.

    Selection rule, precision and mode are said in every row as soon as two rows differ in them.

    Args:
        group: the rows of one table.
        place: the settings that say which cell of the table a row is in; rows that agree in them must be told apart.
    """
    said = [key for key in _ALWAYS_SAID if len({row.shared[key] for row in group}) > 1]
    by_place: dict[tuple[Any, ...], list[Aggregate]] = defaultdict(list)
    for row in group:
        by_place[(*(row.shared[key] for key in sorted(place)), *(row.shared[key] for key in said))].append(row)
    apart: dict[str, set[str]] = defaultdict(set)
    for same in by_place.values():
        if len(same) > 1:
            for key in dict.fromkeys(key for row in same for key in row.shared):
                if key not in place and len({str(row.shared.get(key)) for row in same}) > 1:
                    apart[same[0].method].add(key)
    return [", ".join(_fact(key, row) for key in [*said, *sorted(apart[row.method])]) for row in group]


def _fact(key: str, row: Aggregate) -> str:
    if key == "selection":
        return str(row.shared[key])
    value = row.shared.get(key)
    return f"{plain(key)}={'none' if value is None else value}"


def _remarks(group: Sequence[Aggregate], usual: int, lines: Sequence[TableRow]) -> Iterator[str]:
    """The closing sentences: what the numbers are, and what was not alike between the rows."""
    selections = sorted({str(row.shared["selection"]) for row in group})
    of = f"; {selections[0]}" if len(selections) == 1 and selections[0] else ""
    missing = f" {MISSING} means no record." if any(cell == Cell() for line in lines for cell in line.cells) else ""
    seeds = f"mean ± sample standard deviation over {usual} seeds" if usual > 1 else "one seed"
    yield f"Test accuracy in percent, {seeds}{of}.{missing}"
    own = list(dict.fromkeys(row.method for row in group if _own_loop(row)))
    if own:
        yield f"Trained by a loop of the user's own, not by the recipe: {', '.join(own)}."
    ours = [row for row in group if not _own_loop(row)]
    for key in sorted({key for row in ours for key in row.shared if key.startswith(_PROTOCOL)}):
        by_value: dict[str, dict[str, None]] = defaultdict(dict)
        for row in ours:
            by_value[str(row.shared.get(key))][row.method] = None
        if len(by_value) > 1:
            said = "; ".join(f"{value} for {', '.join(methods)}" for value, methods in sorted(by_value.items()))
            yield f"Not all rows were trained alike: {plain(key)} is {said}."
    yield from _computed_with(group)


def _own_loop(row: Aggregate) -> bool:
    """Test for the records of `experiments.Experiment`."""
    return any(key.startswith("code loop ") for key in row.shared)


def _computed_with(group: Iterable[Aggregate]) -> Iterator[str]:
    """A closing sentence where versions or devices differ between the runs."""
    found: dict[str, set[str]] = defaultdict(set)
    for row in group:
        for name, values in row.computed_with.items():
            found[name] |= set(values)
    parts = [f"{name} {' and '.join(sorted(values))}" for name, values in sorted(found.items()) if len(values) > 1]
    if parts:
        yield f"Not all runs were computed alike: {'; '.join(parts)}."


_PROTOCOL = ("settings.model.", "settings.train.", "settings.augment.")
