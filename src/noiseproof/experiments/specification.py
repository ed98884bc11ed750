"""A run: one (data, noise, method, recipe, seed), named by the hash of everything that decides its result."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

from noiseproof.experiments import records
from noiseproof.experiments.records import Record, RunText

__all__ = ["Run"]


@dataclass(frozen=True)
class Run:
    """Everything that decides a result, and nothing else; `single_run.describe` makes one of what a person types.

    Args:
        text: canonical JSON of a `records.RunText`.
    """

    text: str

    @cached_property
    def spec(self) -> RunText:
        """The run as plain values, as its record holds them."""
        spec: RunText = json.loads(self.text)
        return spec

    @property
    def told(self) -> RunText:
        """The specification by its earlier name."""
        return self.spec

    @cached_property
    def run_id(self) -> str:
        """SHA-256 of its words and content, see `experiments.run_id`."""
        return records.run_id(self.spec)

    def __str__(self) -> str:
        spec = self.spec
        return f"{spec['data']} {spec['noise']} {spec['method']} seed {spec['seed']}"

    def record(self, **found: Any) -> Record:
        """The record of this run: what was found, and what every record says."""
        record = {"schema": records.SCHEMA, "run_id": self.run_id, "run": self.spec, "selection": "last epoch", **found}
        return cast(Record, record)

    def failure(self, error: str, seconds: float) -> Record:
        """The record of a run that could not be finished."""
        return self.record(
            status="failed",
            result={"accuracy": None, "curves": {}},
            noise=None,
            data=None,
            seconds=round(seconds, 3),
            device="",
            threads=0,
            versions=records.versions(),
            precision=self.spec["precision"],
            mode=self.spec["mode"],
            health={},
            error=error.encode("utf-8", "replace").decode(),
        )
