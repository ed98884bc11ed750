"""Records of named values, as JSON and web services give them, as a table of texts."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from noiseproof.data.readers.table import Column, Table
from noiseproof.errors import DataError

__all__ = ["Record", "as_text", "only_label", "table_of"]

Record = Mapping[str, Any]


def table_of(
    records: Sequence[Record],
    source: str,
    form: str,
    *,
    rows: npt.NDArray[np.int64] | None = None,
    known: Mapping[str, str] | None = None,
    places: Sequence[int] | None = None,
) -> Table:
    """A table with one column a name; names within names are joined with a dot, lists of numbers become columns.

    Args:
        records: the records; a name that one lacks is empty there.
        source: the file, for messages.
        form: its form in plain words.
        rows: the row of each record as an editor counts it.
        known: names whose role the form fixes.
        places: zero-based position of each record in the source, where some were left out or stand for several answers.
    """
    flat = [_flat(record) for record in records]
    names = list(dict.fromkeys(name for record in flat for name in record))
    columns: list[Column] = []
    for name in names:
        values = [record.get(name) for record in flat]
        columns += _columns(name, values, source)
    index = None if places is None else np.array(places, np.int64)
    return Table(source, form, columns, len(records), rows, known=dict(known or {}), index=index)


def as_text(value: object) -> str:
    """A value as JSON writes it, without quotes; nothing is empty.

    Example:
        >>> as_text(True), as_text(1.0), as_text(None), as_text("a")
        ('true', '1.0', '', 'a')
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    return json.dumps(value, ensure_ascii=False, default=str)


def only_label(values: Iterable[object], where: str) -> str:
    """The one label of an item, empty if it has none.

    Raises:
        DataError: it has several.
    """
    found = list(dict.fromkeys(as_text(value) for value in values))
    if len(found) > 1:
        raise DataError(
            f"{where} has several labels ({', '.join(found[:4])}); noiseproof takes one label an item: "
            "export a single-choice project, or keep one label an item"
        )
    return found[0] if found else ""


def _flat(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in record.items():
        if (
            isinstance(value, Mapping)
            and value
            and all(not isinstance(inner, Mapping | list) for inner in value.values())
        ):
            found |= {f"{name}.{inner}": each for inner, each in value.items()}
        else:
            found[str(name)] = value
    return found


def _columns(name: str, values: list[Any], source: str) -> list[Column]:
    lists = [value for value in values if isinstance(value, list)]
    if lists and len(lists) == sum(value is not None for value in values):
        if all(len(value) <= 1 for value in lists) and not all(_is_number(each) for value in lists for each in value):
            values = [value[0] if value else None for value in values]
        elif all(len(value) == len(lists[0]) and all(map(_is_number, value)) for value in lists) and lists[0]:
            width = len(lists[0])
            return [
                Column(f"{name}[{place}]", [as_text(value[place] if value else None) for value in values])
                for place in range(width)
            ]
        elif name.strip().casefold() in ("label", "labels", "class", "classes", "category", "categories"):
            bad = next(number for number, value in enumerate(values) if value and len(value) > 1)
            only_label(values[bad], f"{source}: record {bad} (counted from 0)")
    return [Column(name, [as_text(value) for value in values])]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
