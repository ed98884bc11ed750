"""JSON and JSON lines: plain records, or the export of a labelling tool."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from noiseproof.data.io.archives import MIB
from noiseproof.data.readers import argilla, coco, doccano, ground_truth, label_studio, prodigy
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.dialect import decode
from noiseproof.data.readers.listing import is_picture
from noiseproof.data.readers.packed import unpacked
from noiseproof.data.readers.part_names import parts_of
from noiseproof.data.readers.record_table import Record, table_of
from noiseproof.data.readers.table import Table
from noiseproof.errors import DataError

__all__ = ["read_json", "read_json_lines"]

_LONGEST = 2048 * MIB

Tool = tuple[Callable[[Sequence[Record]], bool], Callable[[Sequence[Record], str, ReadingOptions], Table]]
_TOOLS: tuple[Tool, ...] = (
    (label_studio.is_export, label_studio.table),
    (label_studio.is_minimal, label_studio.minimal_table),
    (argilla.is_export, argilla.table),
    (prodigy.is_export, prodigy.table),
    (doccano.is_export, doccano.table),
    (ground_truth.is_export, ground_truth.table),
)


def read_json(path: Path, options: ReadingOptions) -> Table:
    """Read a JSON file: a list of objects, an object of columns, or an export."""
    text = decode(unpacked(path, _LONGEST), options.encoding, str(path))
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        if "Extra data" in str(error):
            return read_json_lines(path, options)
        raise DataError(f"{path}: not JSON ({str(error)[:100]})") from None
    if coco.is_export(content):
        return coco.table(content, str(path))
    records = _records(content, path)
    return _table(records, path, options, "JSON", None)


def read_json_lines(path: Path, options: ReadingOptions) -> Table:
    """Read a file with one JSON object a line; the row of a record is its line."""
    text = decode(unpacked(path, _LONGEST), options.encoding, str(path))
    records: list[Record] = []
    lines: list[int] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}, row {number}: not a JSON object ({str(error)[:100]})") from None
        if not isinstance(record, dict):
            raise DataError(f'{path}, row {number}: must be an object such as {{"text": ..., "label": ...}}')
        records.append(record)
        lines.append(number)
    return _table(records, path, options, "JSON lines", lines)


def _table(records: Sequence[Record], path: Path, options: ReadingOptions, form: str, lines: list[int] | None) -> Table:
    for is_export, table in _TOOLS:
        if records and is_export(records):
            found = table(records, str(path), options)
            if lines is not None and found.rows is None and (found.index is not None or found.count == len(lines)):
                found.rows = np.array(lines, np.int64)[slice(None) if found.index is None else found.index]
            return found
    return table_of(records, str(path), form, rows=None if lines is None else np.array(lines, np.int64))


def _records(content: Any, path: Path) -> list[Record]:
    if isinstance(content, dict):
        content = content.get("_via_img_metadata", content)  # a project of VGG's annotator
        lists = [
            value for value in content.values() if isinstance(value, list) and value and isinstance(value[0], dict)
        ]
        parts = parts_of(content) if len(lists) == len(content) > 1 else {}
        if "train" in parts.values() and len(parts) == len(content):
            content = [{**record, "split": part} for part, records in content.items() for record in records]
        elif len(lists) == 1:
            content = lists[0]  # {"data": [...]}, as services wrap it
        elif isinstance(content.get("columns"), list) and isinstance(content.get("data"), list):  # orient="split"
            content = [dict(zip(content["columns"], row, strict=True)) for row in content["data"]]
        elif content and all(isinstance(value, list) for value in content.values()):
            if len({len(value) for value in content.values()}) == 1:
                content = [dict(zip(content, values, strict=True)) for values in zip(*content.values(), strict=True)]
        elif content and all(isinstance(value, dict) for value in content.values()):
            keys = [list(value) for value in content.values()]
            if all(key == keys[0] for key in keys) and len(content) < len(keys[0]):  # DataFrame.to_json()
                content = [{name: column[key] for name, column in content.items()} for key in keys[0]]
            else:  # a record by its name
                content = [{"id": name, **record} for name, record in content.items()]
        elif len(content) > 1 and all(isinstance(value, str) and is_picture(name) for name, value in content.items()):
            content = [{"path": name, "label": label} for name, label in content.items()]
    if not isinstance(content, list) or not all(isinstance(record, dict) for record in content):
        raise DataError(f'{path}: must be a list of objects such as [{{"text": ..., "label": ...}}]')
    return content
