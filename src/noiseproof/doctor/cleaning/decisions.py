"""Decisions about samples: keep, drop, relabel or weight, by a rule or a person, in one CSV file."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from noiseproof.doctor.cleaning.key_matching import read_rows
from noiseproof.errors import DataError, InputError, one_of
from noiseproof.storage import files

__all__ = ["DECISIONS", "Conflict", "Decision", "merge", "read_decisions", "write_decisions"]

DECISIONS = ("keep", "drop", "relabel", "weight")
_OWN = ("given", "decision", "label", "weight", "by", "when")


@dataclass(frozen=True)
class Decision:
    """A decision about one sample.

    Args:
        key: columns that identify the sample, such as {"id": "17"} or {"row": "14"}.
        given: the label that the sample had when the decision was made.
        decision: keep, drop, relabel or weight.
        label: the new label of a relabelled sample.
        weight: of a weighted sample, above 0 and at most 1.
        by: the person or rule that decided.
        when: time of the decision, ISO 8601.
    """

    key: Mapping[str, str]
    given: str
    decision: str
    label: str = ""
    weight: float | None = None
    by: str = ""
    when: str = ""

    def row(self) -> dict[str, str]:
        """The decision as a row of the file."""
        weight = "" if self.weight is None else f"{self.weight:.6g}"
        own = (self.given, self.decision, self.label, weight, self.by, self.when)
        return {**self.key, **dict(zip(_OWN, own, strict=True))}


def read_decisions(path: str | Path) -> list[Decision]:
    """Read a decisions file; rows without a decision are left out.

    Raises:
        DataError: a column is missing, or a value is none that a decision can have; names the row.
    """
    path = Path(path)
    decisions = []
    for number, row in enumerate(read_rows(path, ["given", "decision"]), 2):
        if row["decision"].strip():
            try:
                decisions.append(_decision(row))
            except (InputError, ValueError) as error:
                raise DataError(f"{path}, row {number}: {error}") from None
    return decisions


def _decision(row: Mapping[str, str]) -> Decision:
    decision = one_of("decision", row["decision"].strip().lower(), DECISIONS)
    label, text = row.get("label", ""), row.get("weight", "").strip().replace(",", ".")
    if decision == "relabel" and not label:
        raise InputError("a relabelled sample needs its new label in the column 'label'")
    weight = float(text) if text else None
    if decision == "weight" and (weight is None or not 0 < weight <= 1):
        raise InputError(f"a weight lies above 0 and at most at 1, got {text!r}")
    key = {name: value for name, value in row.items() if name not in _OWN}
    return Decision(key, row["given"], decision, label, weight, row.get("by", ""), row.get("when", ""))


def write_decisions(path: str | Path, decisions: Sequence[Decision]) -> Path:
    """Write a decisions file.

    Returns:
        The file.
    """
    keys = dict.fromkeys(name for decision in decisions for name in decision.key)
    out = io.StringIO()
    writer = csv.DictWriter(out, [*keys, *_OWN], restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(decision.row() for decision in decisions)
    files.write_atomic(Path(path), out.getvalue())
    return Path(path)


@dataclass(frozen=True)
class Conflict:
    """Different decisions of several people about one sample; the sample is kept as it is until they agree."""

    key: Mapping[str, str]
    decisions: tuple[Decision, ...] = field(repr=False)

    def __str__(self) -> str:
        who = "; ".join(f"{one.by or 'somebody'}: {one.decision} {one.label}".rstrip() for one in self.decisions)
        return f"{', '.join(f'{name} {value}' for name, value in self.key.items())} ({who})"


def merge(several: Sequence[Sequence[Decision]]) -> tuple[list[Decision], list[Conflict]]:
    """Decisions of several people as one list.

    Of one person's decisions about a sample the latest counts. Where people agree the decision stands, by all of them;
    where they differ it stands for none: the sample is listed as a conflict and kept.

    Example:
        >>> ann = Decision({"id": "1"}, "cat", "relabel", "dog", by="ann")
        >>> bob = Decision({"id": "1"}, "cat", "relabel", "dog", by="bob")
        >>> [decision.by for decision in merge([[ann], [bob]])[0]]
        ['ann, bob']
    """
    by_sample: dict[tuple[tuple[str, str], ...], dict[tuple[int, str], Decision]] = {}
    for number, decisions in enumerate(several):
        for decision in sorted(decisions, key=lambda one: one.when):
            who = (0, decision.by) if decision.by else (number + 1, "")
            by_sample.setdefault(tuple(decision.key.items()), {})[who] = decision
    agreed, conflicts = [], []
    for key, people in by_sample.items():
        answers = list(people.values())
        if len({(one.decision, one.label, one.weight) for one in answers}) > 1:
            conflicts.append(Conflict(dict(key), tuple(answers)))
            continue
        names = ", ".join(dict.fromkeys(one.by for one in answers if one.by))
        first = answers[0]
        when = max(one.when for one in answers)
        agreed.append(Decision(first.key, first.given, first.decision, first.label, first.weight, names, when))
    return agreed, conflicts
