"""JSON: records, JSON lines, and the exports of Label Studio and COCO, each in its own form."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from noiseproof.data.readers import prodigy
from noiseproof.data.readers.dialect import encoding_of
from noiseproof.doctor.cleaning.forms.base import WEIGHT, Change, Edit, Job, whole
from noiseproof.errors import InputError
from noiseproof.storage import files

__all__ = ["accepts", "write"]

Record = dict[str, Any]


def accepts(path: Path) -> bool:
    """Test for a JSON or JSON-lines file."""
    return path.suffix.lower() in (".json", ".jsonl", ".ndjson")


def write(job: Job) -> list[Edit]:
    """Write the records with the indentation, separators and escapes of the original.

    Raises:
        InputError: the records are of a form that is read but not written.
    """
    raw = job.source.read_bytes()
    encoding = job.encoding or encoding_of(raw)
    text = raw.decode(encoding).removeprefix("\ufeff")
    if job.source.suffix.lower() != ".json":
        made = _lines(job, text)
    else:
        content = json.loads(text)
        made = _written(_changed(job, content), text) + text[len(text.rstrip()) :]
    new = raw[: len(raw) - len(text.encode(encoding))] + made.encode(encoding)
    files.write_atomic(job.out, new, exist_ok=False)
    return whole(raw, new)


def _lines(job: Job, text: str) -> str:
    changes = job.by_index()
    kept, index = [], 0
    for line in text.splitlines(keepends=True):
        if not line.strip():
            kept.append(line)
            continue
        change = changes.get(index)
        weighted = job.weighted and (change is None or not change.drop)
        index += 1
        if change is None and not weighted:
            kept.append(line)
        elif change is None or not change.drop:
            record = _record(job, json.loads(line), change or Change())
            kept.append(_written(record, line) + line[len(line.rstrip()) :])
    return "".join(kept)


def _changed(job: Job, content: Any) -> Any:
    if isinstance(content, dict) and {"images", "annotations", "categories"} <= content.keys():
        return _coco(job, content)
    if isinstance(content, list) and content and all(isinstance(one, dict) for one in content):
        studio = all("data" in one and ("annotations" in one or "completions" in one) for one in content[:20])
        minimal = all(one.keys() >= {"annotator", "annotation_id"} for one in content[:20])
        if studio:
            return _kept(job, content, _task, lambda task: str(task.get("id")), "id")
        if minimal:
            return _kept(job, content, _record, lambda task: str(task.get("id")), "id")
        changes = job.by_index()
        made = [(record, changes.get(index)) for index, record in enumerate(content)]
        return [
            _record(job, record, change or Change()) for record, change in made if change is None or not change.drop
        ]
    raise InputError(f"{job.source}: this form of JSON is read but not written; convert it to JSON lines or CSV first")


def _kept(
    job: Job,
    content: list[Record],
    changed: Callable[[Job, Record, Change], Record],
    key: Callable[[Record], str],
    column: str,
) -> list[Record]:
    changes = job.by_key(column)
    made = [(record, changes.get(key(record), Change())) for record in content]
    return [changed(job, record, change) for record, change in made if not change.drop]


def _record(job: Job, record: Record, change: Change) -> Record:
    made = dict(record)
    if change.label is not None and prodigy.is_export([record]):
        made |= prodigy.answer(record, change.label)
    elif change.label is not None and (nested := _nested(made, job.label)):
        outer, inner = nested
        made[outer] = {**made[outer], inner: _typed(change.label, made[outer][inner])}
    elif change.label is not None:
        name = job.label if job.label in made else next((key for key in made if key.lower() == job.label.lower()), "")
        if not name:
            raise InputError(f"{job.source}: a record has no {job.label!r}; say which key is the label with --label")
        made[name] = _typed(change.label, made[name])
    if job.weighted:
        made[WEIGHT] = 1.0 if change.weight is None else change.weight
    return made


def _nested(record: Record, label: str) -> tuple[str, str] | None:
    """The two keys of a label within an object, `annotation.label`; None if the record has none there."""
    for outer, within in record.items():
        inner = label.removeprefix(f"{outer}.")
        if label not in record and inner != label and isinstance(within, dict) and inner in within:
            return outer, inner
    return None


def _typed(label: str, old: Any) -> Any:
    """The class in the type of the old value: a number stays a number, a list of one stays a list."""
    if isinstance(old, list):
        return [_typed(label, old[0] if old else "")]
    if isinstance(old, dict) and "choices" in old:
        return {**old, "choices": [label]}
    if isinstance(old, bool):
        return label.lower() == "true"
    if isinstance(old, int | float):
        number = float(label)
        return int(number) if isinstance(old, int) and number.is_integer() else number
    return label


def _task(job: Job, task: Record, change: Change) -> Record:
    """A task of Label Studio: every choice of every annotation that counts."""
    made = json.loads(json.dumps(task))
    for annotation in made.get("annotations") or made.get("completions") or []:
        if change.label is None or annotation.get("was_cancelled") or annotation.get("skipped"):
            continue
        for result in annotation.get("result") or []:
            asked = result.get("from_name") == job.label.removesuffix(" (annotation)") or job.label == "label"
            if result.get("type") == "choices" and asked:
                result["value"]["choices"] = [change.label]
    if job.weighted:
        made["data"][WEIGHT] = 1.0 if change.weight is None else change.weight
    return made  # type: ignore[no-any-return]


def _coco(job: Job, content: Record) -> Record:
    if job.weighted:
        raise InputError(f"{job.source}: COCO's form has no place for weights; use --drop or --relabel")
    changes = job.by_key("id")
    categories = [dict(one) for one in content["categories"]]
    numbers = {str(one["name"]): one["id"] for one in categories}
    for change in changes.values():
        if change.label is not None and change.label not in numbers:
            numbers[change.label] = max(one["id"] for one in categories) + 1
            categories.append({"id": numbers[change.label], "name": change.label})
    dropped = {key for key, change in changes.items() if change.drop}
    annotations = []
    for one in content["annotations"]:
        change = changes.get(str(one["image_id"]), Change())
        if not change.drop:
            annotations.append(one if change.label is None else {**one, "category_id": numbers[change.label]})
    images = [one for one in content["images"] if str(one["id"]) not in dropped]
    return {**content, "images": images, "annotations": annotations, "categories": categories}


def _written(content: Any, like: str) -> str:
    """JSON in the style of a text: its indentation, separators and whether it escapes characters."""
    second = like.split("\n")[1] if "\n" in like.strip() else ""
    indent: int | str | None = None
    if second.strip():
        space = second[: len(second) - len(second.lstrip())]
        indent = space if "\t" in space else len(space) or None
    tight = '": ' not in like and '":' in like
    separators = ("," if tight and indent is None else ", " if indent is None else ",", ":" if tight else ": ")
    return json.dumps(content, indent=indent, separators=separators, ensure_ascii=like.isascii())
