"""Exports of Label Studio: JSON with tasks and annotations, JSON_MIN and CSV with one row an annotation."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Sequence
from typing import Any

from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.record_table import Record, as_text, only_label, table_of
from noiseproof.data.readers.table import Column, Table
from noiseproof.errors import DataError

__all__ = ["is_export", "is_minimal", "minimal_table", "table", "trimmed"]

_MINIMAL = {"annotator", "annotation_id", "lead_time"}
_ABOUT = ("annotation_id", "created_at", "updated_at", "lead_time", "agreement")


def is_export(records: Sequence[Record]) -> bool:
    """Test for the full export: tasks with `data` and `annotations` (formerly `completions`)."""
    return all(
        isinstance(task.get("data"), dict) and ("annotations" in task or "completions" in task) for task in records[:20]
    )


def is_minimal(records: Sequence[Record]) -> bool:
    """Test for the short export: one record an annotation."""
    return all(task.keys() >= _MINIMAL for task in records[:20])


def table(records: Sequence[Record], source: str, options: ReadingOptions) -> Table:
    """One record a task; one an annotation where a task has several. Predictions are no labels."""
    rows: list[dict[str, Any]] = []
    skipped: list[tuple[str, str]] = []
    places: list[int] = []
    label = _control(records, source, options)
    several = False
    for number, task in enumerate(records):
        item = {"id": task.get("id"), **{name: _location(value) for name, value in task["data"].items()}}
        answers = []
        cancelled = False
        for annotation in task.get("annotations") or task.get("completions") or []:
            if annotation.get("was_cancelled") or annotation.get("skipped"):
                cancelled = True
                continue
            chosen = _choice(annotation, label, f"{source}: task {task.get('id')}")
            if chosen:
                answers.append((_person(annotation.get("completed_by")), chosen))
        several |= len(answers) > 1
        if not answers and cancelled:
            first = next((as_text(value) for value in item.values() if isinstance(value, str)), "")
            skipped.append((f"task {task.get('id')} ({first[:80]})", "tasks were skipped by the annotator"))
            continue
        rows += [{**item, label: answer, "annotator": person} for person, answer in answers or [("", "")]]
        places += [number] * (len(answers) or 1)
    if not several:
        rows = [{name: value for name, value in row.items() if name != "annotator"} for row in rows]
    found = table_of(rows, source, "a Label Studio export", known={"label": label, "id": "id"}, places=places)
    found.skipped = skipped
    return found


def minimal_table(records: Sequence[Record], source: str, options: ReadingOptions) -> Table:
    """One record an annotation, without the columns about the annotation."""
    return trimmed(table_of([{k: _choices(v, source) for k, v in record.items()} for record in records], source, ""))


def trimmed(found: Table) -> Table:
    """A table of one row an annotation, as the CSV export too, without the columns about the annotation."""
    if not set(found.names) >= _MINIMAL:
        return found
    found.form = "a Label Studio export"
    found.ignored |= {name: "about the annotation" for name in _ABOUT if name in found}
    if "id" in found:
        found.known["id"] = "id"
    found.columns = [_plain(column, found.source) for column in found.columns]
    return found


def _plain(column: Column, source: str) -> Column:
    if any(text.startswith("/data/") for text in column.different):
        return Column(column.name, [_location(text) for text in column.texts])
    if not any(text.startswith('{"choices"') for text in column.different):
        return column

    def plain(text: str) -> str:
        return as_text(_choices(json.loads(text), source)) if text.startswith('{"choices"') else text

    return Column(column.name, [plain(text) for text in column.texts])


def _choices(value: Any, source: str) -> Any:
    if isinstance(value, dict) and "choices" in value:
        return only_label(value["choices"], f"{source}: an annotation")
    return value


def _control(records: Sequence[Record], source: str, options: ReadingOptions) -> str:
    """The name of the control tag whose choices are the labels."""
    names = list(
        dict.fromkeys(
            str(result.get("from_name"))
            for task in records
            for annotation in task.get("annotations") or task.get("completions") or []
            for result in annotation.get("result") or []
            if result.get("type") == "choices"
        )
    )
    if options.label in names:
        return str(options.label)
    if len(names) > 1:
        raise DataError(f"{source}: has several questions ({', '.join(names)}); say which with --label {names[0]}")
    if not names:
        raise DataError(f"{source}: no task has a choice; noiseproof reads projects with one choice an item")
    return names[0] if all(names[0] not in task["data"] for task in records) else f"{names[0]} (annotation)"


def _choice(annotation: Record, label: str, where: str) -> str:
    chosen = [
        choice
        for result in annotation.get("result") or []
        if result.get("type") == "choices" and result.get("from_name") == label.removesuffix(" (annotation)")
        for choice in result.get("value", {}).get("choices", [])
    ]
    return only_label(chosen, where)


def _location(value: Any) -> Any:
    """The path in a link to a file: `/data/local-files/?d=dir/x.jpg`, `/data/upload/1/x.jpg`; others as they are."""
    if isinstance(value, str) and "?d=" in value:
        return urllib.parse.unquote(value.partition("?d=")[2])
    if isinstance(value, str) and value.startswith("/data/upload/"):
        return urllib.parse.unquote(value.rpartition("/")[2])
    return value


def _person(value: Any) -> str:
    return as_text(value.get("email") or value.get("id")) if isinstance(value, dict) else as_text(value)
