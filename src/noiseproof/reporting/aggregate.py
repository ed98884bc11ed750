"""Aggregation of records over seeds: which runs may share a mean, and which may not.

Two runs share a mean only if everything but the seed is equal: the content of data, matrices, weights and code; noise
and its convention, method, recipe settings, selection rule, precision, mode. Versions and devices may differ.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from statistics import fmean, stdev
from typing import Any

from noiseproof.errors import InputError
from noiseproof.experiments.run_id import words
from noiseproof.text import parse_call, write_value

__all__ = ["Aggregate", "Record", "aggregate", "flat", "method_order", "noise_order", "plain", "short_noise"]

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Aggregate:
    """The seeds of one protocol.

    Attributes:
        shared: settings common to the runs, by dotted key ("noise", "precision", "settings.train.epochs", ...).
        records: of the finished runs, by seed.
        diverged, failed: seeds that gave no number; they never enter a mean.
    """

    shared: Mapping[str, Any]
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
        return str(self.shared["data"])

    @property
    def noise(self) -> str:
        return str(self.shared["noise"])

    @property
    def method(self) -> str:
        return str(self.shared["method"])

    def setting(self, name: str) -> Any:
        """A setting by the last part of its key; what the method says goes before what the recipe says for all."""
        keys = sorted((key for key in self.shared if key.endswith(f".{name}")), key=lambda key: (".train." in key, key))
        return next((self.shared[key] for key in keys if self.shared[key] is not None), None)

    @property
    def n(self) -> int:
        """Number of seeds that the mean is over."""
        return len(self.records)

    @cached_property
    def computed_with(self) -> dict[str, tuple[str, ...]]:
        """Versions and devices of the runs that the mean is over; they may differ."""
        found: dict[str, set[str]] = defaultdict(set)
        for record in self.records:
            for name, version in (record.get("versions") or {}).items():
                found[name].add(str(version))
            if device := str(record.get("device") or ""):
                found["device"].add(_GPU.sub(r"\1", device))
        return {name: tuple(sorted(values)) for name, values in sorted(found.items())}

    @cached_property
    def mean(self) -> float | None:
        """The mean accuracy in percent; None without a finished run."""
        return fmean(self.accuracies) if self.records else None

    @cached_property
    def std(self) -> float | None:
        """The sample standard deviation (n-1); None with fewer than two finished runs."""
        return stdev(self.accuracies) if self.n > 1 else None


_GPU = re.compile(r"cuda:\d+ \((.*)\)")  # whichever of several alike


def aggregate(records: Iterable[Record]) -> list[Aggregate]:
    """One row for each protocol, with the mean and the standard deviation (n-1) over its seeds.

    Example:
        >>> run = {"data": "digits", "noise": "symmetric(rate=0.4)", "method": "ce"}
        >>> made = [{"run": run | {"seed": s}, "run_id": str(s), "status": "done", "selection": "last epoch",
        ...          "result": {"accuracy": a}} for s, a in [(1, 80.0), (2, 82.0), (3, 84.0)]]
        >>> [(row.method, row.mean, row.std, row.n) for row in aggregate(made)]
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
    run = {key: value for key, value in words(record["run"]).items() if key not in ("seed", "precision", "mode")}
    return json.dumps([run, *measured.values()], sort_keys=True, separators=(",", ":"))


def _measured(record: Record) -> dict[str, Any]:
    """Facts established by the run itself: these too must agree before numbers are averaged."""
    spec = record["run"]
    return {
        "selection": record.get("selection", ""),
        "precision": record.get("precision") or spec.get("precision", ""),
        "mode": record.get("mode") or spec.get("mode", ""),
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


def _row(group: Sequence[Record]) -> Aggregate:
    by_seed: dict[int, Record] = {}
    for record in sorted(
        group, key=lambda one: (one["status"] != "done", str(one["run_id"]))
    ):  # of a seed the first stays
        by_seed.setdefault(record["run"]["seed"], record)
    of: dict[str, list[int]] = defaultdict(list)
    for seed in sorted(by_seed):
        record = by_seed[seed]
        lost = record["status"] == "done" and record["result"]["accuracy"] is None  # no finite score on this test set
        of["diverged" if lost else record["status"]].append(seed)
    first = group[0]
    shared = flat({key: value for key, value in first["run"].items() if key not in ("seed", "content")})
    shared |= _content(first["run"]) | _measured(first)
    done = tuple(by_seed[seed] for seed in of["done"])
    return Aggregate(shared, done, tuple(of["diverged"]), tuple(of["failed"]))


def _content(run: Mapping[str, Any]) -> dict[str, str]:
    """The hashes of what the run's words stand for, shortened; that of the data is its fingerprint."""
    content: Mapping[str, str] = run.get("content") or {}
    return {key: digest[:8] for key, digest in content.items() if key not in ("data", "files")}


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


def _order(row: Aggregate) -> tuple[Any, ...]:
    shared = row.shared
    rest = json.dumps({key: str(value) for key, value in shared.items()}, sort_keys=True)
    return (
        row.data,
        shared["fingerprint"],
        noise_order(row.noise),
        shared["convention"],
        method_order(row.method),
        rest,
    )


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


def plain(key: str) -> str:
    """A fact's name as a user types it: "train.epochs", "l1"."""
    return key.removeprefix("settings.").removeprefix("method.")
