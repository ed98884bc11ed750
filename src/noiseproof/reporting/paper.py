"""Our numbers beside those of the paper: tables 3 to 6 of "Joint Asymmetric Loss for Learning with Noisy Labels".

`paper/tables.csv` holds the paper's cells, `paper/suspect.csv` what speaks against some of them. A difference counts as
inside the seeds' noise if it is at most twice its own standard error, with a floor that keeps a deviation printed
implausibly small from failing everybody; `RULE` says it in words.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

from noiseproof import recipes
from noiseproof.errors import InputError
from noiseproof.humanize import counted
from noiseproof.reporting.aggregate import Aggregate, Record, aggregate, flat, plain
from noiseproof.reporting.tables import Cell, Table, TableRow, cell, number, top_two, variants
from noiseproof.text import parse_call

__all__ = ["RULE", "Comparison", "Printed", "belongs", "compare", "csv_columns", "printed", "tables_of", "where"]

TRIALS = 3
FLOOR = {"CIFAR-10": 0.3, "CIFAR-10N": 0.3, "CIFAR-100": 1.0, "CIFAR-100N": 1.0}  # points
RULE = (
    "Inside: |difference| ≤ 2·√(s²/n + p²/3), where s and p are the standard deviations of our n seeds and the paper's "
    f"3 trials (p for s where n = 1), or ≤ {FLOOR['CIFAR-10']:g} points on CIFAR-10 and {FLOOR['CIFAR-100']:g} on "
    "CIFAR-100. The paper's single runs have no p and are not judged."
)

_DATA = {
    "cifar10": "CIFAR-10",
    "cifar100": "CIFAR-100",
    "webvision": "WebVision",
    "webvision on ilsvrc12": "ILSVRC12",
    "clothing1m": "Clothing1M",
}
_NOISE = {"clean": "clean", "symmetric": "symmetric", "asymmetric": "asymmetric", "instance": "instance-dependent"}
_HUMAN = {"noisy": "noisy100"}

Place = tuple[str, str, str]  # data set, noise and rate as the paper writes them


@dataclass(frozen=True)
class Printed:
    """A cell of the paper."""

    table: int
    mean: float | None
    std: float | None
    notes: tuple[str, ...]
    judged: bool


@cache
def printed() -> Mapping[tuple[Place, str], Printed]:
    """Every cell of tables 3 to 6 by place and method, in the paper's order."""
    cells = {}
    for line in _lines("tables.csv"):
        place = (line["dataset"], line["noise"], line["rate"])
        said = [one for one in _lines("suspect.csv") if _speaks_of(one, place, line["method"])]
        mean, std = (float(line[key]) if line[key] else None for key in ("mean", "std"))
        notes = tuple(one["note"] for one in said) if mean is not None else ()
        judged = std is not None and all(one["judged"] == "yes" for one in said)
        cells[place, line["method"]] = Printed(int(line["table"]), mean, std, notes, judged)
    return cells


@cache
def _lines(name: str) -> list[dict[str, str]]:
    text = resources.files("noiseproof.reporting").joinpath("paper_numbers", name).read_text(encoding="utf-8")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def _speaks_of(suspect: Mapping[str, str], place: Place, method: str) -> bool:
    keys = zip(("dataset", "noise", "rate", "method"), (*place, method), strict=True)
    return all(suspect[key] in ("*", value) for key, value in keys)


def where(data: str, noise: str) -> Place | None:
    """The place in the paper's tables of our data and noise texts, or None if the paper has none.

    Example:
        >>> where("cifar10", "symmetric(rate=0.4, convention=jal)")
        ('CIFAR-10', 'symmetric', '0.4')
        >>> where("cifar100", "human(labels=noisy)"), where("digits", "clean")
        (('CIFAR-100N', 'human', 'noisy100'), None)
    """
    dataset = _DATA.get(data)
    try:
        call = parse_call(noise)
    except InputError:
        return None
    if dataset is None:
        return None
    if not dataset.startswith("CIFAR"):
        return (dataset, "real-world", "native") if call.name == "clean" else None
    first = next(iter(dict(call.named).values()), "") if not call.values else call.values[0]
    if call.name == "human":
        return (f"{dataset}N", "human", _HUMAN.get(str(first), str(first)))
    rate = "0.0" if call.name == "clean" else str(dict(call.named).get("rate", first))
    return (dataset, _NOISE[call.name], rate) if call.name in _NOISE else None


@dataclass(frozen=True)
class Comparison:
    """Our row against the paper's cell.

    Attributes:
        difference: ours minus the paper's, in points.
        allowed: the largest difference that counts as inside; None where it is not judged.
    """

    difference: float
    allowed: float | None

    @property
    def inside(self) -> bool | None:
        """True if the seeds explain the difference; None where it is not judged."""
        return None if self.allowed is None else abs(self.difference) <= self.allowed


def compare(row: Aggregate, theirs: Printed, dataset: str) -> Comparison | None:
    """The comparison, if both have a number.

    Example:
        >>> runs = [{"run": {"data": "cifar10", "noise": "clean", "method": "ce", "seed": s}, "run_id": str(s),
        ...          "status": "done", "result": {"accuracy": a}} for s, a in [(1, 90.0), (2, 91.0), (3, 92.0)]]
        >>> made = compare(aggregate(runs)[0], Printed(3, 90.5, 0.5, (), True), "CIFAR-10")
        >>> round(made.difference, 6), made.inside, round(made.allowed, 6)     # 2*sqrt(1/3 + 0.25/3)
        (0.5, True, 1.290994)
    """
    if row.mean is None or theirs.mean is None:
        return None
    allowed = None
    if theirs.judged and theirs.std is not None:
        ours = theirs.std if row.std is None else row.std
        allowed = max(2 * (ours**2 / row.n + theirs.std**2 / TRIALS) ** 0.5, FLOOR.get(dataset, 0.0))
    return Comparison(row.mean - theirs.mean, allowed)


# Tables


def belongs(record: Record) -> bool:
    """True if the paper has a cell for this record."""
    run = record["run"]
    place = where(run["data"], run["noise"])
    return place is not None and (place, str(run["method"]).upper()) in printed()


def tables_of(records: Iterable[Record]) -> list[Table]:
    """Tables 3 to 6, a data set each, as far as there are records for them; below each of the paper's lines ours.

    Raises:
        InputError: no record belongs to a cell of the paper's tables.
    """
    by_table: dict[tuple[int, str], list[tuple[Place, Aggregate]]] = defaultdict(list)
    for row in aggregate(records):
        place = where(row.data, row.noise)
        found = printed().get((place, row.method.upper())) if place else None
        if place and found:
            by_table[found.table, place[0]].append((place, row))
    if not by_table:
        raise InputError(
            "none of the records belongs to a cell of the paper's tables: cifar10, cifar100, webvision and clothing1m "
            "with the paper's noises, rates and methods, as `noiseproof sweep table3` to `table6` run them"
        )
    return [_table(table, dataset, by_table[table, dataset]) for table, dataset in sorted(by_table)]


def _table(table: int, dataset: str, placed: Sequence[tuple[Place, Aggregate]]) -> Table:
    theirs = {key: one for key, one in printed().items() if one.table == table and key[0][0] == dataset}
    places = list(dict.fromkeys(place for place, _ in theirs))
    group = [replace(row, shared={**row.shared, "noise": place}) for place, row in placed]  # whatever its text was
    ours: dict[str, dict[str, dict[Place, Aggregate]]] = defaultdict(lambda: defaultdict(dict))
    for (place, _), row, label in zip(placed, group, variants(group, {"data", "noise", "method"}), strict=True):
        ours[row.method.upper()][label][place] = row
    marks = top_two(row for row in group if row.mean is not None and not row.diverged)
    usual = max(row.n for row in group)
    lines = []
    for method in dict.fromkeys(method for _, method in theirs):
        lines.append(TableRow((method, "paper"), tuple(_their_cell(theirs, place, method) for place in places)))
        for label, mine in sorted(ours[method].items()):
            name = f"ours ({label})" if label else "ours"
            cells = [(mine.get(place), theirs[place, method]) for place in places]
            lines.append(TableRow(("", name), tuple(cell(row, marks, usual) for row, _ in cells)))
            lines.append(TableRow(("", "difference"), tuple(_difference(row, one, dataset) for row, one in cells)))
    heads = tuple(noise if rate in ("0.0", "native") else f"{noise} {rate}" for _, noise, rate in places)
    remarks = tuple(_remarks(usual, [row for _, row in placed]))
    return Table(f"Table {table}, {dataset}", ("method", ""), heads, tuple(lines), remarks)


def _their_cell(theirs: Mapping[tuple[Place, str], Printed], place: Place, method: str) -> Cell:
    """The paper's number, marked by its rank among the paper's numbers and not by the paper's own bold type."""
    one = theirs[place, method]
    if one.mean is None:
        return Cell()
    best, second, *_ = sorted(
        {other.mean for key, other in theirs.items() if key[0] == place and other.mean is not None}
    )[::-1]
    mark = "best" if one.mean == best else "second" if one.mean == second else ""
    return Cell(number(one.mean, one.std), mark, one.notes, one.mean)


def _difference(row: Aggregate | None, theirs: Printed, dataset: str) -> Cell:
    made = row and compare(row, theirs, dataset)
    if not made:
        return Cell("")
    word = {True: " inside", False: " outside", None: ""}[made.inside]
    return Cell(number(made.difference, None, signed=True) + word, value=made.difference)


def _remarks(usual: int, group: Sequence[Aggregate]) -> Iterator[str]:
    yield (
        f"Test accuracy in percent, last epoch, mean ± sample standard deviation; ours over {counted(usual, 'seed')}. "
        "The paper's and ours are ranked apart, by the numbers."
    )
    yield RULE
    made = sorted({str(row.shared["convention"]) for row in group if row.noise != "clean"} - {"jal", "published", ""})
    if made:
        yield f"Our labels were drawn by the convention {' and '.join(made)}, the paper's by the one named jal."
    departures: dict[tuple[str, ...], dict[str, None]] = defaultdict(dict)
    for row in group:
        departures[tuple(_departures(row))][row.method] = None
    for departure, methods in sorted(departures.items()):
        if departure:
            yield f"Not the paper's protocol, for {', '.join(methods)}: {'; '.join(departure)}."


def _departures(row: Aggregate) -> Iterator[str]:
    """In what the runs were not the recipe that made the paper's numbers."""
    recipe = recipes.load(row.data.partition(" on ")[0])
    method = recipe.method(row.method, row.noise).settings()
    wanted = {"loss": method.pop("loss"), **flat({"settings": {**recipe.settings(), "method": method}})}
    said = {key: value for key, value in row.shared.items() if key == "loss" or key.startswith("settings.")}
    for key in sorted((wanted.keys() | said.keys()) - {"settings.train.eval_batch_size"}):
        if wanted.get(key) != said.get(key):
            yield f"{plain(key)} is {said.get(key)}, the recipe's is {wanted.get(key)}"
    if row.shared["selection"] != "last epoch":
        yield f"the epoch is chosen by {row.shared['selection']}, the paper's is the last"


# CSV


def csv_columns(row: Aggregate) -> dict[str, object]:
    """Columns with the paper's numbers for a row of the CSV."""
    place = where(row.data, row.noise)
    theirs = printed().get((place, row.method.upper())) if place else None
    if place is None or theirs is None:
        return {}
    made = compare(row, theirs, place[0])
    inside = made.inside if made else None
    return {
        "paper_table": theirs.table,
        "paper_mean": "" if theirs.mean is None else f"{theirs.mean:.2f}",
        "paper_std": "" if theirs.std is None else f"{theirs.std:.2f}",
        "difference": "" if made is None else f"{made.difference:.4f}",
        "inside": {True: "yes", False: "no", None: ""}[inside],
        "paper_notes": "; ".join(theirs.notes),
    }
