"""Exports of Prodigy: choices, and answers about one label, whose rejection is the other class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.record_table import Record, as_text, only_label, table_of
from noiseproof.data.readers.table import Table

__all__ = ["answer", "is_export", "table"]

_PEOPLE = ("_annotator_id", "_session_id")


def is_export(records: Sequence[Record]) -> bool:
    """Test for records with an `answer` and a label, choices or hashes beside it."""
    return all(
        record.get("answer") in ("accept", "reject", "ignore")
        and bool({"accept", "label", "_task_hash"} & record.keys())
        for record in records[:20]
    )


def table(records: Sequence[Record], source: str, options: ReadingOptions) -> Table:
    """One record an answer: the accepted choice or label; where all are asked about one label, a rejection is its
    opposite. Other rejections say only what an item is not, and are left out, as are ignored items.
    """
    only = _only_label(records)
    rows: list[dict[str, Any]] = []
    skipped: list[tuple[str, str]] = []
    places: list[int] = []
    for number, record in enumerate(records):
        where = f"record {number} (counted from 0)"
        if record["answer"] != "accept" and (only is None or record["answer"] == "ignore"):
            why = {"reject": "answers are rejected, which says only what they are not", "ignore": "answers are ignored"}
            skipped.append((where, why[record["answer"]]))
            continue
        chosen = record["accept"] if "accept" in record else [record.get("label")]
        if record["answer"] == "reject":
            chosen = [f"not {only}"]
        item = {name: record[name] for name in ("text", "image", "path", "_input_hash") if name in record}
        person = next((as_text(record[name]) for name in _PEOPLE if record.get(name)), "")
        label = only_label([choice for choice in chosen if choice is not None], f"{source}: {where}")
        rows.append({**item, "label": label, "annotator": person})
        places.append(number)
    hashes = [row.get("_input_hash", row.get("text")) for row in rows]
    if len(set(map(str, hashes))) == len(hashes):
        rows = [{name: value for name, value in row.items() if name != "annotator"} for row in rows]
    known = {"label": "label", **({"path": "image"} if rows and "image" in rows[0] else {})}
    found = table_of(rows, source, "a Prodigy export", known=known, places=places)
    found.skipped = skipped
    return found


def _only_label(records: Sequence[Record]) -> str | None:
    """The label that every record is asked about, as in a task with one label; None if there are more, or choices."""
    if any("accept" in record or "options" in record for record in records):
        return None
    labels = {as_text(record.get("label")) for record in records}
    return labels.pop() if len(labels) == 1 and "" not in labels else None


def answer(record: Record, label: str) -> dict[str, Any]:
    """The entries of a record that say this label.

    Example:
        >>> answer({"label": "SPAM", "answer": "accept"}, "not SPAM")
        {'answer': 'reject'}
    """
    if "accept" in record:
        return {"accept": [label], "answer": "accept"}
    if label == f"not {record.get('label')}":
        return {"answer": "reject"}
    return {"label": label, "answer": "accept"}
