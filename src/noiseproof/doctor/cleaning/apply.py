"""Apply decisions to a data set: a new one in the same form, and the log that reverses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from noiseproof.data import Data, load
from noiseproof.data.dataset import Split
from noiseproof.data.readers.dialect import named
from noiseproof.data.reading_account import Reading
from noiseproof.doctor.cleaning.decisions import Decision
from noiseproof.doctor.cleaning.forms import Change, Job, form_of
from noiseproof.doctor.cleaning.forms.folder import removed_folder
from noiseproof.doctor.cleaning.key_matching import Matcher
from noiseproof.doctor.cleaning.log import log_path, write_log
from noiseproof.doctor.cleaning.rules import warnings
from noiseproof.errors import DataError, InputError
from noiseproof.escaping import visible
from noiseproof.text import parse_call

__all__ = ["Cleaned", "changes_of", "clean"]


@dataclass(frozen=True)
class Cleaned:
    """A cleaned data set.

    Attributes:
        out: the new file or folder.
        log: what reverses it, see `undo`.
        counts: number of samples by decision.
        notes: warnings, and what was left as it is.
    """

    out: Path
    log: Path
    counts: Mapping[str, int]
    notes: tuple[str, ...]

    def __str__(self) -> str:
        words = {"keep": "kept as it is", "drop": "dropped", "relabel": "relabelled", "weight": "weighted"}
        counted = ", ".join(f"{count:,} {words[name]}" for name, count in self.counts.items() if count)
        lines = [f"wrote {self.out}: {counted}", f"wrote {self.log}, which reverses it (noiseproof clean --undo)"]
        return "\n".join([*lines, *self.notes])


def clean(
    data: str | Path,
    decisions: Sequence[Decision],
    out: str | Path,
    *,
    link: bool = False,
    also_test: bool = False,
    **reading: Any,
) -> Cleaned:
    """Write a cleaned copy of a data set in its own form; the source is not touched.

    Args:
        data: the path of the data set.
        decisions: about its samples, from `decide`, `read_decisions` or `merge`.
        out: the new file or folder; nothing may lie there.
        link: hard links instead of copies of pictures.
        also_test: apply decisions about the test part, too.
        reading: options of `data.load`, such as `label="breed"`.

    Raises:
        InputError: something lies at `out`, the form cannot be written, or decisions are about no sample.
        DataError: a sample's label is no longer the one that the decision was made about.
    """
    out = Path(out)
    for place in (out, log_path(out), removed_folder(out)):
        if place.exists():
            raise InputError(f"{place} exists already; choose another name, nothing is overwritten")
    found = load(data, **reading)
    split = found.everything()
    if found.reading is not None:
        _writable(Path(found.reading.source), found.reading, [one.decision for one in decisions])
    changes, notes = changes_of(split, decisions, found, also_test=also_test)
    assert found.reading is not None
    source = Path(found.reading.source)
    if source.is_file() and out.suffix.lower() != source.suffix.lower():
        raise InputError(
            f"{out}: the new data set has the form of the old one; give a name that ends in {source.suffix}"
        )
    if also_test and found.held_out is None:
        split, changes = _with_test(found, decisions, changes)
    said = {**reading, **_said(data)}
    job = _job(source, out, split, changes, found.reading, said, link)
    form = form_of(job)
    how = form.write(job)
    log = write_log(source, out, form.name, how, decisions)
    labels = [split.classes[label] for label in split.given.tolist()]
    counts = {name: sum(one.decision == name for one in decisions) for name in ("drop", "relabel", "weight", "keep")}
    assert split.origin is not None
    if source.is_file() and split.origin.paths is not None and source.parent.resolve() != out.parent.resolve():
        notes.append(f"the paths in {out.name} are relative to {source.parent}: keep the new file there, too")
    return Cleaned(out, log, counts, (*notes, *warnings(decisions, labels)))


def _writable(source: Path, reading: Reading, decided: Sequence[str]) -> None:
    """Refuse a source of which no cleaned copy can be written; says what to do instead.

    Raises:
        InputError: an archive of several files, several tables, or new labels where several columns hold the label.
    """
    folders = reading.form.startswith("class folders")
    if source.is_file() and (folders or " files of " in reading.form or reading.form == "WebDataset"):
        raise InputError(f"{source}: unpack the archive, and clean the folder that comes out of it")
    several = " files of " in reading.form or reading.form == "WebDataset" or "beside one of labels" in reading.form
    if source.is_dir() and several:
        raise InputError(f"{source}: holds several files; clean each of them by its own diagnosis")
    if source.is_dir() and "relabel" in decided and not folders and "CVAT" not in reading.form:
        raise InputError(f"{source}: the labels stand in a file in it; diagnose and clean that file (CSV, JSON, ...)")
    if reading.form == "a list":
        raise InputError(f"{source}: a list without a header is read but not written; save it as CSV with a header")
    label = reading.assumed.get("--label", "")
    if "relabel" in decided and (label.endswith("*") or "," in label):
        raise InputError(
            f"{source}: its labels stand in several columns ({label}); drop or weight the suspects instead"
        )


def changes_of(
    split: Split, decisions: Sequence[Decision], found: Data, *, also_test: bool = False
) -> tuple[dict[int, Change], list[str]]:
    """The changes of a split's samples by position, and notes on decisions that do not apply.

    Raises:
        InputError: the decisions are about no sample of the data.
        DataError: a given label has changed since the decision.
    """
    origin = split.origin
    if origin is None:
        raise InputError(
            f"{found.name}: a data set that comes with the package is not cleaned; give the path of your own"
        )
    rows = [dict(one.key) for one in decisions]
    positions = Matcher(origin).positions(rows, "the decisions")
    changes: dict[int, Change] = {}
    unknown = []
    for decision, position in zip(decisions, positions, strict=True):
        if position is None:
            unknown.append(decision)
            continue
        _same_label(split, position, decision)
        if decision.decision != "keep":
            changes[position] = _change(decision)
    notes = []
    if unknown and not also_test:
        names = ", ".join(visible(next(iter(one.key.values()))) for one in unknown[:5])
        notes.append(
            f"{len(unknown):,} decisions are about no training sample ({names}{', ...' if len(unknown) > 5 else ''}) "
            "and change nothing; the test part stays as it is unless --also-test is given"
        )
    return changes, notes


def _change(decision: Decision) -> Change:
    label = decision.label if decision.decision == "relabel" else None
    return Change(decision.decision == "drop", label, decision.weight if decision.decision == "weight" else None)


def _same_label(split: Split, position: int, decision: Decision) -> None:
    now = split.classes[int(split.given[position])]
    if decision.given and decision.given != now:
        assert split.origin is not None
        raise DataError(
            f"{split.origin.name(position)}: its label is {now!r}, the decision was made about {decision.given!r}; "
            "diagnose the data again, they have changed since"
        )


def _with_test(
    found: Data, decisions: Sequence[Decision], changes: Mapping[int, Change]
) -> tuple[Split, dict[int, Change]]:
    """Training and test part as one split, with the changes of both."""
    train, test = found.train, found.test
    assert train.origin is not None
    assert test.origin is not None
    positions = Matcher(test.origin).positions([dict(one.key) for one in decisions], "the decisions")
    more = {
        len(train) + position: _change(decision)
        for decision, position in zip(decisions, positions, strict=True)
        if position is not None and decision.decision != "keep"
    }
    return joined(train, test), {**changes, **more}


def joined(one: Split, other: Split) -> Split:
    """Two splits of one source as one."""
    from noiseproof.data.dataset import HeldOut

    count = len(one)
    return HeldOut(np.arange(count), np.arange(count, count + len(other)), other).joined(one)


def _said(data: str | Path) -> dict[str, str]:
    """Options of reading that stand in the text of the data: `file(pets.csv, label=breed)`."""
    if isinstance(data, str) and data.lstrip().startswith("file(") and not Path(data).exists():
        return {name: str(value) for name, value in parse_call(data).named}
    return {}


def _job(
    source: Path,
    out: Path,
    split: Split,
    changes: Mapping[int, Change],
    account: Reading,
    said: Mapping[str, Any],
    link: bool,
) -> Job:
    assumed = account.assumed
    if said.get("annotators") or "--annotators" in assumed:
        raise InputError(
            f"{source}: its labels are the majority of several annotators; correct them in the tool they come from"
        )
    label = said.get("label") or assumed.get("--label") or "label"
    delimiter = said.get("delimiter") or assumed.get("--delimiter")
    if delimiter is not None:
        delimiter = named(delimiter)
    elif source.name.lower().removesuffix(".gz").endswith((".tsv", ".tab")):
        delimiter = "\t"
    return Job(source, out, split, changes, str(label), delimiter, said.get("encoding"), link)
