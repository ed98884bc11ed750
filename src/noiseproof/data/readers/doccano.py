"""Exports of doccano's first version: a list of annotations by person, each with a label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.record_table import Record, as_text, only_label, table_of
from noiseproof.data.readers.table import Table

__all__ = ["is_export", "table"]


def is_export(records: Sequence[Record]) -> bool:
    """Test for records whose `annotations` are objects with `label` and `user`, some of them with one."""
    lists = [record.get("annotations") for record in records[:20]]
    if not all(isinstance(each, list) for each in lists):
        return False
    answers = [answer for each in lists for answer in each or []]
    return bool(answers) and all(isinstance(answer, dict) and {"label", "user"} <= answer.keys() for answer in answers)


def table(records: Sequence[Record], source: str, options: ReadingOptions) -> Table:
    """One record an item; one a person where several annotated an item."""
    rows: list[dict[str, Any]] = []
    places: list[int] = []
    several = False
    for number, record in enumerate(records):
        item = {name: value for name, value in record.items() if name not in ("annotations", "annotation_approver")}
        answers: dict[str, list[Any]] = {}
        for answer in record["annotations"]:
            answers.setdefault(as_text(answer["user"]), []).append(answer["label"])
        several |= len(answers) > 1
        where = f"{source}: record {number} (counted from 0)"
        for person, labels in answers.items() or [("", [])]:
            rows.append({**item, "label": only_label(labels, where), "annotator": person})
            places.append(number)
    if not several:
        rows = [{name: value for name, value in row.items() if name != "annotator"} for row in rows]
    return table_of(rows, source, "a doccano export", known={"label": "label", "id": "id"}, places=places)
