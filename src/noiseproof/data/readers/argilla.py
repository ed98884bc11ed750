"""Exports of Argilla: the submitted response is the label; drafts, discarded ones and suggestions are not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.record_table import Record, as_text, only_label, table_of
from noiseproof.data.readers.table import Table
from noiseproof.errors import DataError

__all__ = ["is_export", "table"]

_ABOUT = ("status", "_server_id", "inserted_at", "updated_at")


def is_export(records: Sequence[Record]) -> bool:
    """Test for flat records (`label.responses`), nested ones (`fields`, `responses`), or those of version 1."""
    first = records[0]
    if is_legacy(records):
        return True
    flat = any(any(name.endswith(".responses") for name in record) for record in records)
    nested = isinstance(first.get("fields"), dict) and "responses" in first
    return flat or nested or bool(_questions_of_1(records))


def table(records: Sequence[Record], source: str, options: ReadingOptions) -> Table:
    """One record an item; one an answer where an item has several."""
    if is_legacy(records):
        return _legacy_table(records, source)
    questions = list(dict.fromkeys(name for record in records for name in _answers(record)))
    if options.label in questions:
        questions = [str(options.label)]
    if len(questions) != 1:
        has = f"has several questions ({', '.join(questions)})" if questions else "has no question with responses"
        raise DataError(f"{source}: {has}; say which one is the label with --label NAME")
    label = questions[0]
    rows: list[dict[str, Any]] = []
    places: list[int] = []
    several = False
    for number, record in enumerate(records):
        fields = record["fields"] if isinstance(record.get("fields"), dict) else {
            name: value for name, value in record.items() if not name.startswith(f"{label}.") and name != label
        }  # fmt: skip
        item = {name: value for name, value in fields.items() if not _about(name)}
        if "id" in record:
            item = {"id": record["id"], **item}
        where = f"{source}: record {number} (counted from 0)"
        answers = [
            (user, only_label(value if isinstance(value, list) else [value], where))
            for user, value, status in _answers(record).get(label, [])
            if status in ("submitted", "")
        ]
        several |= len(answers) > 1
        rows += [{**item, label: answer, "annotator": user} for user, answer in answers or [("", "")]]
        places += [number] * (len(answers) or 1)
    if not several:
        rows = [{name: value for name, value in row.items() if name != "annotator"} for row in rows]
    return table_of(rows, source, "an Argilla export", known={"label": label, "id": "id"}, places=places)


def is_legacy(records: Sequence[Record]) -> bool:
    """Test for records of version 0 and 1 with one `annotation` beside a `prediction`, which is no label."""
    return all({"annotation", "prediction", "status"} <= record.keys() for record in records[:20])


def _legacy_table(records: Sequence[Record], source: str) -> Table:
    rows: list[dict[str, Any]] = []
    skipped: list[tuple[str, str]] = []
    places: list[int] = []
    for number, record in enumerate(records):
        where = f"record {number} (counted from 0)"
        if record["status"] == "Discarded":
            skipped.append((where, "records were discarded"))
            continue
        inputs = record.get("inputs")
        item = dict(inputs) if isinstance(inputs, dict) else {"text": record.get("text", inputs)}
        given = record["annotation"]
        label = only_label(given if isinstance(given, list) else [given], f"{source}: {where}")
        rows.append({"id": record.get("id"), **item, "annotation": label})
        places.append(number)
    known = {"label": "annotation", "id": "id"}
    found = table_of(rows, source, "an Argilla export", known=known, places=places)
    found.skipped = skipped
    return found


def _about(name: str) -> bool:
    return name in _ABOUT or any(part in name for part in (".responses", ".suggestion", "vectors.", "metadata"))


def _answers(record: Record) -> dict[str, list[tuple[str, Any, str]]]:
    """User, value and status of each response, by question."""
    found: dict[str, list[tuple[str, Any, str]]] = {}
    for name, values in record.items():
        if name.endswith(".responses"):
            question = name.removesuffix(".responses")
            values = values or []
            users = record.get(f"{name}.users") or [""] * len(values)
            states = record.get(f"{name}.status") or [""] * len(values)
            found[question] = [(as_text(u), v, as_text(s)) for u, v, s in zip(users, values, states, strict=False)]
    nested = record.get("responses")
    if isinstance(nested, dict):
        for question, values in nested.items():
            found[question] = [
                (as_text(one.get("user_id")), one.get("value"), as_text(one.get("status")))
                for one in values or []
                if isinstance(one, dict)
            ]
    for question in _questions_of_1([record]):
        found.setdefault(
            question,
            [(as_text(one.get("user_id")), one.get("value"), as_text(one.get("status"))) for one in record[question]],
        )
    return found


def _questions_of_1(records: Sequence[Record]) -> list[str]:
    """Questions of version 1: a list of objects with `user_id`, `value` and `status`."""
    return list(
        dict.fromkeys(
            name
            for record in records
            for name, value in record.items()
            if isinstance(value, list)
            and value
            and isinstance(value[0], dict)
            and {"user_id", "value"} <= value[0].keys()
        )
    )
