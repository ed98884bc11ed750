"""Tuned track of a grid: every method may spend the same number of trainings on choosing its parameters.

    [tune]
    budget = 5                 # in trainings of cross-entropy; a method of cost 2 tries half as many candidates
    hold_out = 0.2             # share of each given class that candidates are judged by
    seed = 1
    lr = [3, 0.3]              # factors of the recipe's learning rate, tried after the texts below
    [tune.candidates]
    elr = ["elr(beta=0.9, lam=1)", "elr(beta=0.9, lam=7)"]

The method as it is comes first. A candidate is trained without the held-out given labels and judged by them; neither
true labels nor the test split can choose. Trials and tuned runs are ordinary runs, named `elr (candidate 2)` and
`elr (tuned)`, so a sweep that was stopped goes on, and what was chosen follows from the records.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from noiseproof import recipes
from noiseproof.errors import DataError, InputError
from noiseproof.experiments.grid import Grid, Part
from noiseproof.experiments.records import Record
from noiseproof.experiments.run_content import Sources
from noiseproof.experiments.single_run import describe, recipe_for
from noiseproof.experiments.specification import Run
from noiseproof.methods import METHODS
from noiseproof.methods.additions import ADDITIONS
from noiseproof.text import parse_sum
from noiseproof.train.input_preparation import HELD_OUT

__all__ = ["Candidate", "Tuned", "cost_of", "follow_up", "held_out_accuracy", "of_grid", "track_of"]

_NAME = re.compile(r"(.+) \((tuned|candidate (\d+))\)\Z")


class _Tune(BaseModel):
    """The table `[tune]`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    budget: float = Field(ge=1)
    hold_out: float = Field(0.2, gt=0, le=0.5)
    seed: int = 1
    lr: tuple[float, ...] = ()
    candidates: dict[str, tuple[str, ...]] = {}


@dataclass(frozen=True)
class Candidate:
    """Parameters that a method may be given: its trial, and its runs if it is chosen."""

    trial: Run
    runs: tuple[Run, ...]


@dataclass(frozen=True)
class Tuned:
    """A method under one data set and noise: its candidates, the method as it is first."""

    candidates: tuple[Candidate, ...]

    @property
    def trials(self) -> list[Run]:
        """The run that judges each candidate."""
        return [candidate.trial for candidate in self.candidates]

    def runs(self, records: Mapping[str, Record]) -> tuple[Run, ...] | None:
        """The runs of the best candidate; the first of equals.

        Args:
            records: by run id.

        Returns:
            None while a trial has no record. Nothing if the method as it is was chosen, for its runs are there.
        """
        if any(candidate.trial.run_id not in records for candidate in self.candidates):
            return None
        best = max(self.candidates, key=lambda one: held_out_accuracy(records[one.trial.run_id]))
        return () if best is self.candidates[0] else best.runs


def held_out_accuracy(record: Mapping[str, Any]) -> float:
    """Accuracy on held-out given labels, percent; minus infinity for a run that was not finished."""
    found = (record["result"].get("also") or {}).get(HELD_OUT)
    return float(found) if record["status"] == "done" and found is not None else float("-inf")


def track_of(method: str) -> tuple[str, str]:
    """The method and the track of a run's name: "default", "tuned" or "candidate 2".

    Example:
        >>> track_of("elr (tuned)"), track_of("elr(lam=7)")
        (('elr', 'tuned'), ('elr(lam=7)', 'default'))
    """
    found = _NAME.match(method)
    return (found[1], found[2]) if found else (method, "default")


def cost_of(method: str | None) -> float:
    """Forward and backward passes beside cross-entropy, from the claims of a method's text; None: a loss alone.

    Example:
        >>> cost_of("co-teaching(ramp=5) + sam"), cost_of("elr(loss=2*nce + amse(a=20))"), cost_of(None)
        (4.2, 1.0, 1.0)
    """
    cost = 1.0
    for _, call in parse_sum(method, nested=True) if method else []:
        for registry in (METHODS, ADDITIONS):
            if call.name in registry:
                cost *= registry[call.name].claims.get("cost", 1.0)
    return cost


def of_grid(grid: Grid, *, root: Path | None = None, sources: Sources | None = None) -> list[Tuned]:
    """The tuned track of a grid; empty if the grid has no `[tune]`. Data sets that cannot be read are left out.

    Args:
        grid: as it was read.
        root: where the data sets lie.
        sources: in place of `root`: data that was read for other runs.

    Raises:
        InputError: `[tune]` says something that it cannot say, or names something that does not exist.
    """
    if grid.tune is None:
        return []
    try:
        tune = _Tune.model_validate(grid.tune)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError(f"{grid.name}: tune.{key}: {first['msg']}, got {first['input']!r}") from None
    sources = sources or Sources(root)
    return [
        Tuned(tuple(_candidates(part, where, how, method, tune, sources)))
        for part in grid.parts
        for where, how, method in product(part.data, part.noise, part.methods)
        if _there(where, sources)
    ]


def follow_up(tracks: Iterable[Tuned], records: Iterable[Record]) -> list[Run]:
    """The tuned runs that the recorded trials decide so far."""
    known = {record["run_id"]: record for record in records}
    return [run for track in tracks for run in track.runs(known) or ()]


def _there(data: str, sources: Sources) -> bool:
    try:
        sources.data(data)
    except DataError:
        return False
    return True


def _candidates(part: Part, data: str, noise: str, method: str, tune: _Tune, sources: Sources) -> Iterator[Candidate]:
    """As many as the budget pays for, at least the method as it is."""
    words = dict(part.words)
    name = words.pop("recipe", None) or recipe_for(data, sources.root, sources)
    plain = recipes.load(name, part.overrides)
    chosen = plain.method(method, noise=noise)
    tried: Sequence[tuple[str, float]] = [
        (method, 1.0),
        *((text, 1.0) for text in tune.candidates.get(method, ())),
        *((method, factor) for factor in tune.lr if chosen.lr is None),  # else it has a learning rate of its own
    ]
    count = max(1, int(tune.budget / cost_of(chosen.method)))
    for number, (text, factor) in enumerate(tried[:count]):
        rate = {} if factor == 1 else {"train.lr": plain.train.lr * factor}
        whole = recipes.load(name, {**part.overrides, **rate})
        part_of = recipes.load(name, {**part.overrides, **rate, "train.hold_out": tune.hold_out})
        options: dict[str, Any] = {"sources": sources, **words}
        yield Candidate(
            describe(
                data, noise, text, seed=tune.seed, recipe=part_of, name=f"{chosen.name} (candidate {number})", **options
            ),
            tuple(
                describe(data, noise, text, seed=seed, recipe=whole, name=f"{chosen.name} (tuned)", **options)
                for seed in part.seeds
            ),
        )
