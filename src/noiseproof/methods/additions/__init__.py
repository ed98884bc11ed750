"""Additions to any method: averages of weights, SAM, label smoothing, early stopping on given labels."""

from __future__ import annotations

from noiseproof.methods.additions import averages, early_stop, sam, smooth
from noiseproof.methods.additions.base import ADDITIONS, Addition

__all__ = ["ADDITIONS", "Addition", "averages", "early_stop", "sam", "smooth"]
