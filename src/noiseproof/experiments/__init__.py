"""Experiments: what a run is, grids of runs, the driver that computes them, and the records they leave."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from noiseproof.experiments.own_loop import Experiment

__all__ = ["Experiment"]


def __getattr__(name: str) -> Any:
    if name == "Experiment":  # on first use: tables read records without torch
        from noiseproof.experiments.own_loop import Experiment

        return Experiment
    raise AttributeError(f"module 'noiseproof.experiments' has no attribute {name!r}")
