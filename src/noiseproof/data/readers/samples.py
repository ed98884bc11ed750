"""Labelled samples of a table: labels, parts, inputs and the origin of each."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from noiseproof.data.dataset import Files, Inputs, Origin, Split, Texts
from noiseproof.data.readers import annotators, classes
from noiseproof.data.readers.annotators import Annotations
from noiseproof.data.readers.base import Parts, ReadingOptions
from noiseproof.data.readers.column_roles import assign
from noiseproof.data.readers.feature_columns import features
from noiseproof.data.readers.part_names import part_in
from noiseproof.data.readers.table import Column, Roles, Table
from noiseproof.data.readers.table_pictures import Pictures, look_at, why
from noiseproof.data.reading_account import Reading, Skipped
from noiseproof.errors import DataError, DataMissingError
from noiseproof.labels import REGRESSION

__all__ = ["labelled", "parts"]

_BLOCK = 1024

Labels = npt.NDArray[np.int64]


def labelled(table: Table, options: ReadingOptions, reading: Reading, home: Path | None) -> Parts:
    """The samples of a table.

    Args:
        table: the table.
        options: what the user said.
        reading: where what was left out and assumed is written down.
        home: the folder that picture paths are relative to; None where there is none.

    Raises:
        DataError: no label column, nothing to learn from, a value that cannot be read; names the rows.
    """
    reading.form = table.form
    reading.skipped += [Skipped(what, why) for what, why in table.skipped]
    if not table.count:
        raise DataError(f"{table.source}: has a header and no rows; write one sample a line below it")
    pictures = None if home is None else Pictures(home)
    roles = assign(table, options, pictures.hold if pictures is not None else lambda names: False)
    found = None
    if roles.annotator is not None:
        table, found = _collapsed(table, roles, options)
    given, clean, names, found = _labels(table, roles, reading, found)
    _limits(table, given, names)
    keep, skipped = _usable(table, given)
    paths: dict[int, tuple[str, str]] = {}
    hashes: dict[str, bytes] = {}
    if roles.path is not None:
        paths, missing, hashes = _paths(table, roles, pictures, keep)
        skipped |= missing
        if not paths:
            raise DataMissingError(_none_found(table, roles, pictures, missing))
        keep = np.array(sorted(paths), np.int64)
    if skipped and options.strict:
        what, reason = next(iter(skipped.values()))
        raise DataError(
            f"{table.source}: {what}: {reason}; without --strict it is left out; noiseproof data check lists them all"
        )
    reading.skipped += [Skipped(what, why) for what, why in skipped.values()]
    inputs = _inputs(table, roles, reading, keep, paths)
    whole = Split(
        inputs,
        torch.from_numpy(given[keep]),
        None if clean is None or (clean[keep] < 0).any() else torch.from_numpy(clean[keep]),
        tuple(names),
        _origin(table, roles, keep, paths),
        annotators.soft_targets(found, options.soft, table.source, reading, keep),
    )
    _account(table, roles, reading)
    reading.notes += _giveaways(table, roles, given)
    if table.delimiter not in (None, ",") and options.delimiter is None:
        reading.assumed = {"--delimiter": str(table.delimiter), **reading.assumed}
    made = parts(whole, _parts_of(table, roles, keep), reading)
    return replace(made, annotations=found, hashes=hashes)


def parts(whole: Split, names: list[str] | None, reading: Reading) -> Parts:
    """The samples by the part that each belongs to; a validation part is the test part where there is no other."""
    reading.notes += classes.near_equal(whole.classes)
    counts = np.bincount(whole.given.numpy(), minlength=len(whole.classes))
    reading.counts = {name: int(count) for name, count in zip(whole.classes, counts, strict=True)}
    if len(single := [name for name, count in reading.counts.items() if count == 1]):
        shown = ", ".join(single[:5])
        has = "has" if len(single) == 1 else "have"
        reading.notes.append(f"{len(single)} of {len(whole.classes)} classes {has} a single sample ({shown})")
    if names is None:
        reading.samples = {"all": len(whole)}
        return Parts(whole)
    by_part = {part: np.array([i for i, name in enumerate(names) if name == part], np.int64) for part in set(names)}
    reading.samples = {part: len(by_part[part]) for part in ("train", "validation", "test") if part in by_part}
    if "train" not in by_part:
        raise DataError(f"{reading.source}: the training part is empty; its parts are {', '.join(sorted(by_part))}")
    taken = {part: whole.take(where) for part, where in by_part.items()}
    if "test" in taken:
        return Parts(taken["train"], taken["test"], taken.get("validation"))
    return Parts(taken["train"], taken.get("validation"))


# Labels


def _collapsed(table: Table, roles: Roles, options: ReadingOptions) -> tuple[Table, Annotations]:
    """One record an item, of a table with one answer a record."""
    label = roles.label if roles.label is not None else "label"
    ids = [
        roles.item,
        roles.id,
        *(name for name, why in roles.ignored.items() if why == "an id" and name != roles.annotator),
    ]
    keys = [name for name in (*ids, roles.path, roles.text) if name is not None and _repeats(table[name])]
    keys = keys or [name for name in table.names if name not in (roles.annotator, label) and _repeats(table[name])]
    if not keys:
        raise DataError(
            f"{table.source}: no column names the item that each answer is about; say which with --id COLUMN"
        )
    _, codes = table[keys[0]].coded
    _order, first, item = np.unique(codes, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))  # items in the order of their first record
    item, where = rank[item], np.sort(first).astype(np.int64)
    assert roles.annotator is not None
    found = annotators.from_long(table, item, table[label], table[roles.annotator])
    rows = None if table.rows is None else table.rows[where]
    kept = [column.take(where) for column in table if column.name not in (label, roles.annotator)]
    index = None if table.index is None else table.index[where]
    small = replace(table, columns=kept, count=len(where), rows=rows, index=index)
    roles.label = None
    roles.features = [name for name in roles.features if name in small.names]
    if roles.id is None and roles.path != keys[0] and roles.text != keys[0]:
        roles.id = keys[0]
        roles.features = [name for name in roles.features if name != keys[0]]
    return small, found


def _repeats(column: Column) -> bool:
    texts, codes = column.coded
    return 1 < len(texts) < len(codes)


def _labels(
    table: Table, roles: Roles, reading: Reading, found: Annotations | None
) -> tuple[Labels, Labels | None, list[str], Annotations | None]:
    """Given and clean labels, the names of the classes, and the annotations that the labels come from."""
    if roles.votes:
        found = annotators.wide([table[name] for name in roles.votes])
    elif roles.soft:
        found = _soft(table, roles)
    if found is not None:
        if found.ties:
            items = "items have" if found.ties > 1 else "item has"
            reading.notes.append(f"{found.ties:,} {items} a tie between annotators, decided by their agreement")
        if found.votes is not None:
            agreement = ", ".join(
                f"{name} {share:.0%}" for name, share in list(zip(found.annotators, found.quality, strict=False))[:8]
            )
            reading.notes.append(
                f"labels by majority of {len(found.annotators)} annotators; they agree with it: {agreement}"
            )
        return found.consensus, None, list(found.classes), found
    assert roles.label is not None
    columns = [table[roles.label], *([table[roles.clean]] if roles.clean is not None else [])]
    numbers, names = classes.indices(columns)
    return numbers[0], numbers[1] if len(numbers) > 1 else None, names, None


def _soft(table: Table, roles: Roles) -> Annotations:
    plain = [re_prefix(name) for name in roles.soft]
    prefixes = {name[: name.rfind(end)] for name, end in zip(roles.soft, plain, strict=True)}
    names = plain if len(prefixes) == 1 else list(roles.soft)  # `p_cat, p_dog`, or a column called as each class
    columns = {each: features(table, [name])[0] for each, name in zip(names, roles.soft, strict=True)}
    names = classes.in_order(names)
    return annotators.from_shares(np.stack([np.asarray(columns[name], np.float64) for name in names], axis=1), names)


def re_prefix(name: str) -> str:
    """The class that a column of probabilities is named after: `p_cat` and `p[cat]` are cat."""
    import re

    listed = re.fullmatch(r"[^\[]*\[(.+)\]", name.strip())
    return listed[1] if listed else re.sub(r"\A[A-Za-z]+[ _.:-]+", "", name.strip())


def _limits(table: Table, given: Labels, names: list[str]) -> None:
    labels = int((given >= 0).sum())
    if not labels:
        raise DataError(
            f"{table.source}: no record has a label; all {table.count:,} are blank; give another column with --label"
        )
    if len(names) * 2 > max(labels, 4) and labels >= 10:
        raise DataError(
            f"{table.source}: {len(names):,} different labels in {labels:,} rows ({', '.join(names[:4])[:80]}, ...) "
            f"are no classes; say which column is the label with --label{_if_numbers(names)}"
        )
    for name in names:
        if not classes.is_nameable(name):
            raise DataError(f"{table.source}: {name[:80]!r} cannot be the name of a class")


def _if_numbers(names: list[str]) -> str:
    numbers = all(classes.is_number(name) for name in names)
    return f" (a target of numbers? {REGRESSION})" if numbers else ""


def _usable(table: Table, given: Labels) -> tuple[npt.NDArray[np.int64], dict[int, tuple[str, str]]]:
    blank = np.flatnonzero(given < 0).tolist()
    kind = "rows" if table.rows is not None else "records"
    return np.flatnonzero(given >= 0), {i: (table.place(i), f"{kind} have no label") for i in blank}


# Inputs


def _paths(
    table: Table, roles: Roles, pictures: Pictures | None, keep: npt.NDArray[np.int64]
) -> tuple[dict[int, tuple[str, str]], dict[int, tuple[str, str]], dict[str, bytes]]:
    """File and name of each record's picture, by position; the records whose picture cannot be used; hashes by path."""
    assert roles.path is not None
    texts = table[roles.path].texts
    if pictures is None and all(map(os.path.isabs, texts)):
        pictures = Pictures(Path(os.sep))
    if pictures is None:
        raise DataError(f"{table.source}: pictures need a folder that their paths are relative to; give root=FOLDER")
    found: dict[int, tuple[str, str]] = {}
    missing: dict[int, tuple[str, str]] = {}
    for place in keep.tolist():
        fits = pictures.find(texts[place])
        if len(fits) > 1:
            raise DataError(
                f"{table.source}, {table.place(place)}: {texts[place]!r} may be {fits[0]} or {fits[1]}; "
                "write the path from the folder of the list"
            )
        if fits:
            found[place] = (os.path.join(pictures.root, fits[0]), fits[0])
        else:
            missing[place] = (f"{table.place(place)}: {texts[place][:80]}", f"files are not in {pictures.root}")
    places = list(found)
    seen = look_at([found[place][0] for place in places])
    for number, reason in seen.broken.items():
        missing[places[number]] = (found.pop(places[number])[1], why(reason))
    return found, missing, seen.hashes


def _none_found(table: Table, roles: Roles, pictures: Pictures | None, missing: dict[int, tuple[str, str]]) -> str:
    root = "" if pictures is None else f" {pictures.root}"
    first = ", ".join(what for what, _ in list(missing.values())[:5])
    return (
        f"{table.source}: {len(missing):,} of {len(missing):,} files are not in{root}; {first}; give paths relative to "
        "that folder, or the folder that they are relative to with --root (--data-root)"
    )


def _inputs(
    table: Table, roles: Roles, reading: Reading, keep: npt.NDArray[np.int64], paths: dict[int, tuple[str, str]]
) -> Inputs:
    everything = len(keep) == table.count
    if roles.path is not None:
        return Files(paths[place][0] for place in keep.tolist())
    if roles.text is not None:
        texts = table[roles.text].texts
        empty = [place for place in keep.tolist() if not texts[place].strip()]
        if empty:
            are = "texts are" if len(empty) > 1 else "text is"
            reading.notes.append(f"{len(empty):,} {are} empty ({table.place(empty[0])}, ...); they stay")
        return Texts(texts if everything else (texts[place] for place in keep.tolist()))
    columns = features(table, roles.features, reading.notes)
    if any(column.dtype == object or np.isnan(column).any() for column in columns):
        return _frame(roles.features, columns, keep, everything)
    matrix = np.empty((table.count, len(columns)), np.float32)
    with np.errstate(over="ignore"):
        for start in range(0, table.count, _BLOCK):  # rows that stay in the processor's cache
            rows = slice(start, start + _BLOCK)
            np.stack([column[rows] for column in columns], axis=1, out=matrix[rows], casting="same_kind")
    return torch.from_numpy(matrix if everything else matrix[keep])


def _frame(names: list[str], columns: list[npt.NDArray[Any]], keep: npt.NDArray[np.int64], everything: bool) -> Any:
    import pandas as pd

    made = {name: column if everything else column[keep] for name, column in zip(names, columns, strict=True)}
    return pd.DataFrame(made)


# Origin and account


def _origin(table: Table, roles: Roles, keep: npt.NDArray[np.int64], paths: dict[int, tuple[str, str]]) -> Origin:
    keys, key = None, ""
    if roles.id is not None:
        keys, key = table[roles.id].texts, roles.id
    elif roles.path is not None and (roles.path != "path" or _rewritten(table[roles.path], paths)):
        keys, key = table[roles.path].texts, roles.path
    index = np.arange(table.count) if table.index is None else table.index
    return Origin(
        table.source,
        index[keep],
        None if table.rows is None else table.rows[keep],
        None if keys is None else tuple(keys[i] for i in keep.tolist()),
        key,
        tuple(paths[place][1] for place in keep.tolist()) if paths else None,
    )


def _rewritten(column: Column, paths: dict[int, tuple[str, str]]) -> bool:
    return any(column.texts[place] != name for place, (_, name) in paths.items())


def _parts_of(table: Table, roles: Roles, keep: npt.NDArray[np.int64]) -> list[str] | None:
    if roles.split is None:
        return None
    texts, codes = table[roles.split].coded
    named = [part_in(roles.split, text) if text.strip() else "train" for text in texts]
    named = ["train" if part == "unlabelled" else part for part in named]
    bad = np.array([not part for part in named])[codes]
    if bad.any():
        column = table[roles.split]
        raise DataError(
            f"{table.source}: {roles.split} must be train or test (or validation); "
            f"{table.offenders(bad, column.texts)}; if it is something else add --drop {roles.split}"
        )
    found = [named[code] for code in codes[keep].tolist()]
    return None if set(found) == {"train"} else found


def _giveaways(table: Table, roles: Roles, given: Labels) -> list[str]:
    """Notes on columns of words each of whose values goes with one label: they may have been made from it."""
    found = []
    for name in roles.features:
        if table[name].numbers is not None:
            continue
        texts, codes = table[name].coded
        known = given >= 0
        pairs = np.unique(np.stack([codes[known], given[known]]), axis=1)
        labels = len(np.unique(pairs[1]))
        if labels >= 2 and pairs.shape[1] == len(np.unique(pairs[0])) <= max(2 * labels, len(texts) // 20):
            say = f"the column {name!r} says the label, for each of its values goes with one"
            found.append(f"{say}; if it was made from the labels, leave it out with --drop {name!r}")
    return found


def _account(table: Table, roles: Roles, reading: Reading) -> None:
    reading.columns = tuple(roles.features) or tuple(name for name in (roles.path, roles.text) if name is not None)
    reading.ignored |= roles.ignored
    reading.assumed |= roles.assumed
    if roles.annotator is not None:
        reading.ignored[roles.annotator] = "the annotator"
