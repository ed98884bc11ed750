"""Exports of Prodigy: choices and binary answers; rejected and ignored ones are no labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.records import Record, as_text, only_label, table_of
from noiseproof.data.readers.table import Table

__all__ = ["is_export", "table"]

_PEOPLE = ("_annotator_id", "_session_id")


def is_export(records: Sequence[Record]) -> bool:
    """Test for records with an `answer` and a label, choices or hashes beside it."""
    return all(
        record.get("answer") in ("accept", "reject", "ignore")
        and bool({"accept", "label", "_task_hash"} & record.keys())
        for record in records[:20]
    )


def table(records: Sequence[Record], source: str, options: ReadingOptions) -> Table:
    """One record an accepted answer."""
    rows: list[dict[str, Any]] = []
    skipped: list[tuple[str, str]] = []
    for number, record in enumerate(records):
        where = f"record {number} (counted from 0)"
        if record["answer"] != "accept":
            why = {"reject": "answers are rejected, which says only what they are not", "ignore": "answers are ignored"}
            skipped.append((where, why[record["answer"]]))
            continue
        chosen = record["accept"] if "accept" in record else [record.get("label")]
        item = {name: record[name] for name in ("text", "image", "path", "_input_hash") if name in record}
        person = next((as_text(record[name]) for name in _PEOPLE if record.get(name)), "")
        label = only_label([choice for choice in chosen if choice is not None], f"{source}: {where}")
        rows.append({**item, "label": label, "annotator": person})
    hashes = [row.get("_input_hash", row.get("text")) for row in rows]
    if len(set(map(str, hashes))) == len(hashes):
        rows = [{name: value for name, value in row.items() if name != "annotator"} for row in rows]
    known = {"label": "label", **({"path": "image"} if rows and "image" in rows[0] else {})}
    found = table_of(rows, source, "a Prodigy export", known=known)
    found.skipped = skipped
    return found
