"""Comparison of two diagnoses by the samples' own keys: suspects that are fixed, still there, new or gone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noiseproof.data.io.archives import MIB, read_text
from noiseproof.doctor.diagnosis import Diagnosis
from noiseproof.errors import DataError, InputError

__all__ = ["Comparison", "Suspect", "compare", "read_baseline", "suspects"]

_LONGEST = 1024 * MIB
_OWN = ("given", "likely", "suspicion")


@dataclass(frozen=True)
class Suspect:
    """A flagged sample: what identifies it, its given and likely label, and its suspicion."""

    key: Mapping[str, str]
    given: str
    likely: str
    suspicion: float
    position: int = -1

    def to_json(self) -> dict[str, Any]:
        return {**self.key, "given": self.given, "likely": self.likely, "suspicion": round(self.suspicion, 6)}

    def __str__(self) -> str:
        name, value = next(iter(self.key.items()))
        return f"{name} {value}: given {self.given}, likely {self.likely}, suspicion {self.suspicion:.2f}"


def suspects(diagnosis: Diagnosis) -> list[Suspect]:
    """The flagged samples of a diagnosis, the most suspect first."""
    columns = diagnosis.origin.columns()
    return [
        Suspect(
            {name: str(values[i]) for name, values in columns.items()},
            diagnosis.classes[int(diagnosis.issues.given[i])],
            diagnosis.classes[int(diagnosis.likely[i])],
            float(diagnosis.scores[i]),
            i,
        )
        for i in diagnosis.ranking.tolist()
        if diagnosis.is_issue[i]
    ]


@dataclass(frozen=True)
class Comparison:
    """Suspects of two diagnoses.

    Attributes:
        fixed: suspects of the earlier one that are flagged no more, or have another label now.
        still: suspects of both, with the same given label.
        new: suspects of the later one alone.
        gone: suspects of the earlier one whose sample is not in the data any more.
        rates: estimated share of wrong labels, before and now.
    """

    fixed: tuple[Suspect, ...]
    still: tuple[Suspect, ...]
    new: tuple[Suspect, ...]
    gone: tuple[Suspect, ...]
    rates: tuple[float, float]

    def __str__(self) -> str:
        counts = ", ".join(f"{len(getattr(self, name)):,} {name}" for name in ("fixed", "still", "new", "gone"))
        lines = [f"compared with before: {counts}; rate {self.rates[0]:.1%} before, {self.rates[1]:.1%} now"]
        return "\n".join([*lines, *(f"  new: {one}" for one in self.new[:10])])

    def to_json(self) -> dict[str, Any]:
        """The comparison as plain values."""
        lists = {name: [one.to_json() for one in getattr(self, name)] for name in ("fixed", "still", "new", "gone")}
        return {**lists, "rate_before": self.rates[0], "rate_now": self.rates[1]}


@dataclass(frozen=True)
class Baseline:
    """The suspects of an earlier diagnosis, keys of some other samples, and its estimated rate."""

    suspects: tuple[Suspect, ...]
    rate: float
    others: tuple[Mapping[str, str], ...] = ()


def read_baseline(path: str | Path) -> Baseline:
    """Read `diagnosis.json` of an earlier run.

    Raises:
        DataError: it is no diagnosis, or one of a version that did not list its suspects.
    """
    path = Path(path)
    try:
        content = json.loads(read_text(path, _LONGEST))
        listed, rate = content["flagged"], float(content["rate"])
        found = [
            Suspect(
                {name: str(value) for name, value in one.items() if name not in _OWN},
                str(one["given"]),
                str(one["likely"]),
                float(one["suspicion"]),
            )
            for one in listed
        ]
        others = tuple({name: str(value) for name, value in one.items()} for one in content.get("unsuspected", ()))
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DataError(
            f"{path}: not a diagnosis that can be compared ({error}); write one with noiseproof diagnose DATA --out DIR"
        ) from None
    return Baseline(tuple(found), rate, others)


def compare(before: Baseline, now: Diagnosis) -> Comparison:
    """Compare by the first key column that both have.

    Raises:
        InputError: they have no key in common, or no sample of the earlier one is in this data.
    """
    found = suspects(now)
    columns = {name: list(map(str, values)) for name, values in now.origin.columns().items()}
    earlier = [*(one.key for one in before.suspects), *before.others]
    key = next((name for name in columns if all(name in one for one in earlier)), None)
    if key is None:
        raise InputError(
            f"the earlier diagnosis names its samples by {', '.join(earlier[0])}, this one by "
            f"{', '.join(columns)}; give both the same --id"
        )
    place = {value: position for position, value in enumerate(columns[key])}
    if earlier and not any(one[key] in place for one in earlier):
        raise InputError(f"no sample of the earlier diagnosis is in this data (by {key!r}); is it of other data?")
    flagged = {one.key[key]: one for one in found}
    labels = [now.classes[int(label)] for label in now.issues.given]
    fixed, still, gone = [], [], []
    for one in before.suspects:
        name = one.key[key]
        if name not in place:
            gone.append(one)
        elif name in flagged and labels[place[name]] == one.given:
            still.append(flagged[name])
        else:
            fixed.append(one)
    known = {one.key[key] for one in still}
    new = [one for one in found if one.key[key] not in known]
    return Comparison(tuple(fixed), tuple(still), tuple(new), tuple(gone), (before.rate, now.rate))


def shown(several: Sequence[Suspect], most: int) -> list[str]:
    """The first suspects as lines of text."""
    return [str(one) for one in several[:most]]
