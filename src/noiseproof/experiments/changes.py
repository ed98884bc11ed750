"""Notices of what has changed since runs were recorded: a file under the same path holds something else now."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from noiseproof.errors import DataMissingError
from noiseproof.experiments import records
from noiseproof.experiments.run_content import subject
from noiseproof.experiments.specification import Run

__all__ = ["notices"]


def notices(runs: Iterable[Run], folder: Path) -> list[str]:
    """A sentence for each path or part of these runs that held something else when a run in the folder was recorded."""
    now: dict[str, set[str]] = defaultdict(set)
    words: dict[str, str] = {}
    for run in runs:
        for place, (text, digest) in _places(run.spec).items():
            now[place].add(digest)
            words[place] = text
    if not now:
        return []
    try:
        recorded = records.read_folder(folder, whole=False).records
    except DataMissingError:
        return []
    before: dict[str, list[str]] = defaultdict(list)
    early: dict[str, int] = defaultdict(int)
    for record in recorded:
        for place, (_, digest) in _places(record["run"]).items():
            before[place].append(digest)
        if record["schema"] == 1:
            early[_data(record["run"])] += 1
    found = []
    for place in sorted(now):
        if before[place] and not now[place] & set(before[place]):
            found.append(f"{words[place]} has changed since the {_runs(len(before[place]))} recorded here")
        if early[place]:
            found.append(
                f"{_runs(early[place])} of {words[place]} recorded here by an earlier version: "
                f"`noiseproof records upgrade {folder}` takes over those whose data are still the same"
            )
    return found


def _places(spec: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Subjects of a run's content, the same however they were spelled: words and hash."""
    made = {}
    for key, digest in (spec.get("content") or {}).items():
        text = subject(spec, key)
        place = _data(spec) if key == "data" else f"{key} {os.path.abspath(text)}"
        made[place] = text, digest
    return made


def _data(spec: Mapping[str, Any]) -> str:
    return f"data {os.path.abspath(spec['data'])}"


def _runs(count: int) -> str:
    return f"{count} {'run' if count == 1 else 'runs'}"
