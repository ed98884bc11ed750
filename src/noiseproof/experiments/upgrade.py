"""Records of schema 1, taken over under the names that runs have now.

The name of a run covers its content from schema 2 on. Where a record of schema 1 says enough to check that the content
is still the same, it gets that name; the others stay as they are, to be read and tabulated.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch

from noiseproof.errors import InputError
from noiseproof.experiments import records
from noiseproof.experiments.records import Record
from noiseproof.experiments.run_content import Sources
from noiseproof.experiments.single_run import given_labels, protocol
from noiseproof.experiments.specification import Run
from noiseproof.storage import files

__all__ = ["Upgraded", "upgrade"]


@dataclass(frozen=True)
class Upgraded:
    """Result of an upgrade: records that got a new name, records whose name says all, the others with the reason."""

    taken_over: int
    unchanged: int
    left: tuple[tuple[Record, str], ...]


def upgrade(folder: Path, *, root: Path | None = None) -> Upgraded:
    """Give the records of schema 1 in a folder the names that their runs have now.

    Each is checked against the data and files as they are: the hash of the data, and the hash of the noisy labels. The
    record of the old name is moved among the notes of its run.

    Args:
        folder: a results folder.
        root: where the data sets lie.
    """
    sources, taken_over, unchanged, left = Sources(root), 0, 0, list[tuple[Record, str]]()
    for record in records.read_folder(folder).records:
        if record["schema"] > 1:
            continue
        try:
            content, why = _content(record, sources)
        except (InputError, KeyError, TypeError) as error:  # of settings that no run has
            content, why = {}, str(error)
        if why:
            left.append((record, why))
        elif not content:
            unchanged += 1
        else:
            _take_over(folder, record, content)
            taken_over += 1
    return Upgraded(taken_over, unchanged, tuple(left))


def _content(record: Record, sources: Sources) -> tuple[dict[str, str], str]:
    """The content of a record's run, or the reason why it cannot be known that it is the content of then."""
    run = Run(records.canonical(record["run"]))
    spec, (method, recipe) = run.spec, protocol(run)
    content = sources.content(spec["data"], spec["noise"], method, recipe)
    then, data = record["data"], sources.data(spec["data"])
    if "weights" in content:
        return {}, f"it does not say what {recipe.model.weights} held"
    if code := next((key for key in content if key.startswith("code ")), None):
        return {}, f"it does not say what the {code} was"
    if content and (then is None or data is None):
        return {}, "it does not say which data it was computed on"
    if then and data and then["fingerprint"] != data.fingerprint:
        if not isinstance(data.train.inputs, torch.Tensor):
            return {}, "it knows the names and sizes of the pictures only"
        return {}, f"{spec['data']} has changed since"
    if data and record["noise"] and {"matrix", "labels"} & content.keys():
        noisy = given_labels(data, spec["noise"], spec["seed"], sources.root)
        if noisy is None or noisy.sha256 != record["noise"]["sha256"]:
            return {}, f"{spec['noise']} makes other labels now"
    return content, ""


def _take_over(folder: Path, record: Record, content: dict[str, str]) -> None:
    spec: Any = {**record["run"], "content": content}
    new = {**record, "schema": records.SCHEMA, "run": spec, "run_id": records.run_id(spec)}
    old = records.location(folder, record["run_id"])
    target = records.location(folder, records.run_id(spec))
    if (kept := old.with_name(records.OUTPUTS)).is_file() and not target.with_name(records.OUTPUTS).exists():
        files.make_folder(target.parent)
        files.rename(kept, target.with_name(records.OUTPUTS))
    records.write(folder, cast(Record, new))
    files.move_aside(old, old.parent / "notes")
