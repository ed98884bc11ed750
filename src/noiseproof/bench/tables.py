"""Tables are pure functions of records: the same records give the same table, in any order of reading.

`rows` averages the seeds of each protocol and `grids` lays the rows out as tables, which `render` writes down. Two
runs share a mean only if everything but the seed is equal: data, noise and its convention, method, recipe settings,
selection rule, precision, mode. What differs stays apart in rows of its own, which say in what they differ.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from statistics import fmean, stdev
from typing import Any

from noiseproof.errors import InputError
from noiseproof.text import parse_call, write_value

__all__ = [
    "Cell",
    "Grid",
    "Line",
    "Record",
    "Row",
    "cell",
    "flat",
    "grids",
    "method_order",
    "number",
    "plain",
    "rows",
    "short_noise",
    "top_two",
    "variants",
]

Record = Mapping[str, Any]
MISSING = "—"


@dataclass(frozen=True)
class Row:
    """The seeds of one protocol.

    Attributes:
        facts: what the runs have in common, by dotted key ("noise", "precision", "settings.train.epochs", ...).
        records: of the finished runs, by seed.
        diverged, failed: seeds that gave no number; they never enter a mean.
    """

    facts: Mapping[str, Any]
    records: tuple[Record, ...] = field(repr=False)
    diverged: tuple[int, ...] = ()
    failed: tuple[int, ...] = ()

    @cached_property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that the mean is over."""
        return tuple(record["run"]["seed"] for record in self.records)

    @cached_property
    def accuracies(self) -> tuple[float, ...]:
        """In percent, by seed."""
        return tuple(float(record["result"]["accuracy"]) for record in self.records)

    @property
    def data(self) -> str:
        return str(self.facts["data"])

    @property
    def noise(self) -> str:
        return str(self.facts["noise"])

    @property
    def method(self) -> str:
        return str(self.facts["method"])

    def setting(self, name: str) -> Any:
        """A setting by the last part of its key; what the method says goes before what the recipe says for all."""
        keys = sorted((key for key in self.facts if key.endswith(f".{name}")), key=lambda key: (".train." in key, key))
        return next((self.facts[key] for key in keys if self.facts[key] is not None), None)

    @property
    def n(self) -> int:
        """How many seeds the mean is over."""
        return len(self.records)

    @cached_property
    def mean(self) -> float | None:
        """The mean accuracy in percent; None without a finished run."""
        return fmean(self.accuracies) if self.records else None

    @cached_property
    def std(self) -> float | None:
        """The sample standard deviation (n-1); None with fewer than two finished runs."""
        return stdev(self.accuracies) if self.n > 1 else None


def rows(records: Iterable[Record]) -> list[Row]:
    """One row for each protocol, with the mean and the standard deviation (n-1) over its seeds.

    Example:
        >>> run = {"data": "digits", "noise": "symmetric(rate=0.4)", "method": "ce"}
        >>> made = [{"run": run | {"seed": s}, "run_id": str(s), "status": "done", "selection": "last epoch",
        ...          "result": {"accuracy": a}} for s, a in [(1, 80.0), (2, 82.0), (3, 84.0)]]
        >>> [(row.method, row.mean, row.std, row.n) for row in rows(made)]
        [('ce', 82.0, 2.0, 3)]
    """
    groups: dict[str, list[Record]] = defaultdict(list)
    unmeasured = []
    tested = [one for record in records for one in _tests(record)]
    for record in sorted(tested, key=lambda record: str(record["run_id"])):
        if record["status"] == "failed" and not (record.get("noise") and record.get("data")):
            unmeasured.append(record)
        else:
            groups[_protocol(record, _measured(record))].append(record)
    for record in unmeasured:  # it broke before it knew its data: it belongs to the runs that it was meant to join
        measured = _measured(_likest(record, groups.values()))
        groups[_protocol(record, measured)].append(record)
    return sorted((_row(group) for group in groups.values()), key=_order)


def _tests(record: Record) -> Iterator[Record]:
    """The record, and one for each further test set that its model was measured on, as data "webvision on ilsvrc12"."""
    yield record
    for name, accuracy in (record["result"].get("also") or {}).items():
        run = {**record["run"], "data": f"{record['run']['data']} on {name}"}
        yield {**record, "run": run, "result": {"accuracy": accuracy, "curves": {}}}


def _protocol(record: Record, measured: Mapping[str, Any]) -> str:
    """Everything but the seed, as text: what a mean may be taken over. "auto" counts as what it turned out to be."""
    run = {key: value for key, value in record["run"].items() if key not in ("seed", "precision", "mode")}
    return json.dumps([run, *measured.values()], sort_keys=True, separators=(",", ":"))


def _measured(record: Record) -> dict[str, Any]:
    """What the run found out rather than was told: these too must agree before numbers are averaged."""
    told = record["run"]
    return {
        "selection": record.get("selection", ""),
        "precision": record.get("precision") or told.get("precision", ""),
        "mode": record.get("mode") or told.get("mode", ""),
        "convention": (record.get("noise") or {}).get("convention") or "",
        "fingerprint": (record.get("data") or {}).get("fingerprint") or "",
    }


def _likest(record: Record, groups: Iterable[Sequence[Record]]) -> Record:
    """The record that shares most with the one that failed early: method and noise count less than the data."""
    run = record["run"]
    keys = ("data", "noise", "precision", "mode", "method", "loss", "recipe", "settings")

    def alike(other: Record) -> list[bool]:
        return [other["run"].get(key) == run.get(key) for key in keys]

    others = [group[0] for group in groups if group[0]["run"]["data"] == run["data"]]
    return max(others, key=lambda other: (alike(other), str(other["run_id"])), default=record)


def _row(group: Sequence[Record]) -> Row:
    by_seed: dict[int, Record] = {}
    for record in sorted(
        group, key=lambda one: (one["status"] != "done", str(one["run_id"]))
    ):  # of a seed the first stays
        by_seed.setdefault(record["run"]["seed"], record)
    of: dict[str, list[int]] = defaultdict(list)
    for seed in sorted(by_seed):
        of[by_seed[seed]["status"]].append(seed)
    first = group[0]
    facts = flat({key: value for key, value in first["run"].items() if key != "seed"}) | _measured(first)
    done = tuple(by_seed[seed] for seed in of["done"])
    return Row(facts, done, tuple(of["diverged"]), tuple(of["failed"]))


def flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    """Nested settings by dotted key; lists become their text.

    Example:
        >>> flat({"recipe": "digits", "settings": {"train": {"epochs": 60}, "hidden": [256, 256]}})
        {'recipe': 'digits', 'settings.train.epochs': 60, 'settings.hidden': '[256, 256]'}
    """
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{before}{key}.")
        else:
            found[before + key] = json.dumps(value) if isinstance(value, list | tuple) else value
    return found


# The order of rows and columns

_KINDS = ["clean", "symmetric", "asymmetric", "pairflip", "transition", "instance", "human"]
_METHODS = [
    *("ce", "fl", "gce", "sce", "nce", "nce+rce", "nce+aul", "nce+agce", "ce+lc", "lt-apl"),
    *("anl-ce", "anl-fl", "jal-ce", "jal-fl"),
]


def _order(row: Row) -> tuple[Any, ...]:
    facts = row.facts
    rest = json.dumps({key: str(value) for key, value in facts.items()}, sort_keys=True)
    return (row.data, facts["fingerprint"], noise_order(row.noise), facts["convention"], method_order(row.method), rest)


def method_order(method: str) -> tuple[int, str]:
    """The paper's rows in the paper's order, then the others by name."""
    known = method.lower() in _METHODS
    return (_METHODS.index(method.lower()) if known else len(_METHODS), method)


@lru_cache(maxsize=4096)
def noise_order(noise: str) -> tuple[int, float, str]:
    """Clean first, then kind by kind with rising rates."""
    try:
        call = parse_call(noise)
    except InputError:
        return (len(_KINDS), 0.0, noise)
    rate = dict(call.named).get("rate", call.values[0] if call.values else 0.0)
    number = float(rate) if isinstance(rate, int | float) else 0.0
    return (_KINDS.index(call.name) if call.name in _KINDS else len(_KINDS), number, noise)


@lru_cache(maxsize=4096)
def short_noise(noise: str) -> str:
    """A noise text as a column's head: without the name of its first parameter.

    Example:
        >>> short_noise("symmetric(rate=0.4)"), short_noise("symmetric(rate=0.4, convention=jal)"), short_noise("clean")
        ('symmetric(0.4)', 'symmetric(0.4, convention=jal)', 'clean')
    """
    try:
        call = parse_call(noise)
    except InputError:
        return noise
    values = [write_value(value) for value in call.values]
    for key, value in call.named:
        plain = not values and key in ("rate", "labels", "file")
        values.append(write_value(value) if plain else f"{key}={write_value(value)}")
    return f"{call.name}({', '.join(values)})" if values else call.name


# Tables


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
class Line:
    """A line of a table: what it is, then a cell for each column."""

    labels: tuple[str, ...]
    cells: tuple[Cell, ...]


@dataclass(frozen=True)
class Grid:
    """A table that only has to be written down: heads of the labels and of the columns, lines, closing remarks."""

    title: str
    heads: tuple[str, ...]
    columns: tuple[str, ...]
    lines: tuple[Line, ...]
    remarks: tuple[str, ...] = field(default=())

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """The footnotes of all cells, each once, in the order of reading; a note's number is its place from 1."""
        return tuple(dict.fromkeys(note for line in self.lines for cell in line.cells for note in cell.notes))

    def closing(self, second: str = "underlined") -> tuple[str, ...]:
        """The closing sentences; with marks in the table the last says how they look."""
        marked = any(cell.mark for line in self.lines for cell in line.cells)
        return (*self.remarks, *([f"Best in bold, second best {second}."] if marked else []))


def number(mean: float, std: float | None, *, signed: bool = False) -> str:
    """A mean with its standard deviation, as the tables of the field write it.

    Example:
        >>> number(87.528, 0.254), number(-0.5, None, signed=True)
        ('87.53 ± 0.25', '−0.50')
    """
    text = f"{round(mean, 2) + 0.0:{'+' if signed else ''}.2f}".replace("-", "−")  # + 0.0: no minus before a zero
    return text if std is None else f"{text} ± {std:.2f}"


def grids(records: Iterable[Record]) -> list[Grid]:
    """One table for each data set: a line for each method and protocol, a column for each noise."""
    made = rows(records)
    by_data: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in made:
        by_data[row.data, row.facts["fingerprint"]].append(row)
    names = [name for name, _ in by_data]
    return [
        _grid(name if names.count(name) == 1 else f"{name} (fingerprint {fingerprint[:12]})", group)
        for (name, fingerprint), group in by_data.items()
    ]


def _grid(title: str, group: Sequence[Row]) -> Grid:
    conventions: dict[str, set[str]] = defaultdict(set)
    for row in group:
        conventions[row.noise].add(row.facts["convention"])
    labels = variants(group)
    table: dict[tuple[str, str], dict[tuple[str, str], Row]] = defaultdict(dict)
    columns: dict[tuple[str, str], str] = {}
    for row, label in zip(group, labels, strict=True):
        place = (row.noise, row.facts["convention"])
        more = f" [{place[1] or 'no convention'}]" if len(conventions[row.noise]) > 1 else ""
        columns[place] = short_noise(row.noise) + more
        table[row.method, label][place] = row
    marks = top_two(row for row in group if row.mean is not None and not row.diverged)
    usual = max((row.n for row in group), default=0)
    lines = [
        Line(
            (f"{method} ({label})" if label else method,),
            tuple(cell(table[method, label].get(place), marks, usual) for place in columns),
        )
        for method, label in sorted(table, key=lambda name: (method_order(name[0]), name[1]))
    ]
    return Grid(title, ("method",), tuple(columns.values()), tuple(lines), tuple(_remarks(group, usual, lines)))


def cell(row: Row | None, marks: Mapping[int, str], usual: int) -> Cell:
    """How a row stands in a table whose means are over `usual` seeds; None has no record."""
    if row is None:
        return Cell()
    notes = list(_losses(row))
    if row.mean is None:
        return Cell("diverged" if row.diverged else "failed", notes=tuple(notes) if row.diverged and row.failed else ())
    if row.n != usual:
        notes.insert(0, f"over {row.n} {'seed' if row.n == 1 else 'seeds'}")
    return Cell(number(row.mean, row.std), marks.get(id(row), ""), tuple(notes), row.mean)


def _losses(row: Row) -> Iterator[str]:
    for word, seeds in (("diverged", row.diverged), ("failed", row.failed)):
        if seeds:
            names = ", ".join(map(str, seeds))
            yield f"seed{'s' if len(seeds) > 1 else ''} {names} {word} and {'are' if len(seeds) > 1 else 'is'} left out"


def top_two(group: Iterable[Row]) -> dict[int, str]:
    """The best and second best of each column, by the numbers as printed; equal numbers share a mark.

    Results of different selection rules do not compete, a mean over the seeds that did not diverge does not compete
    at all, and one number alone wins nothing.

    Returns:
        "best" or "second" by the `id` of a row.
    """
    columns: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in group:
        facts = row.facts
        columns[row.data, facts["fingerprint"], row.noise, facts["convention"], facts["selection"]].append(row)
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


def variants(group: Sequence[Row], place: Set[str] = _PLACE) -> list[str]:
    """For each row, what sets it apart from others of its method: "precision=bf16", "train.epochs=10", or nothing.

    Selection rule, precision and mode are said in every row as soon as two rows differ in them.

    Args:
        group: the rows of one table.
        place: the facts that say which cell of the table a row is in; rows that agree in them must be told apart.
    """
    said = [key for key in _ALWAYS_SAID if len({row.facts[key] for row in group}) > 1]
    by_place: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in group:
        by_place[(*(row.facts[key] for key in sorted(place)), *(row.facts[key] for key in said))].append(row)
    apart: dict[str, set[str]] = defaultdict(set)
    for same in by_place.values():
        if len(same) > 1:
            for key in dict.fromkeys(key for row in same for key in row.facts):
                if key not in place and len({str(row.facts.get(key)) for row in same}) > 1:
                    apart[same[0].method].add(key)
    return [", ".join(_fact(key, row) for key in [*said, *sorted(apart[row.method])]) for row in group]


def _fact(key: str, row: Row) -> str:
    if key == "selection":
        return str(row.facts[key])
    value = row.facts.get(key)
    return f"{plain(key)}={'none' if value is None else value}"


def plain(key: str) -> str:
    """A fact's name as a user types it: "train.epochs", "l1"."""
    return key.removeprefix("settings.").removeprefix("method.")


def _remarks(group: Sequence[Row], usual: int, lines: Sequence[Line]) -> Iterator[str]:
    """The closing sentences: what the numbers are, and what was not alike between the rows."""
    selections = sorted({str(row.facts["selection"]) for row in group})
    of = f"; {selections[0]}" if len(selections) == 1 and selections[0] else ""
    missing = f" {MISSING} means no record." if any(cell == Cell() for line in lines for cell in line.cells) else ""
    seeds = f"mean ± sample standard deviation over {usual} seeds" if usual > 1 else "one seed"
    yield f"Test accuracy in percent, {seeds}{of}.{missing}"
    for key in sorted({key for row in group for key in row.facts if key.startswith(_PROTOCOL)}):
        by_value: dict[str, dict[str, None]] = defaultdict(dict)
        for row in group:
            by_value[str(row.facts.get(key))][row.method] = None
        if len(by_value) > 1:
            said = "; ".join(f"{value} for {', '.join(methods)}" for value, methods in sorted(by_value.items()))
            yield f"Not all rows were trained alike: {plain(key)} is {said}."


_PROTOCOL = ("settings.model.", "settings.train.", "settings.augment.")
