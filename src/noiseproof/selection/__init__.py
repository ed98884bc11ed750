"""Selection without clean labels: a suggested method, and tuning on held-out given labels."""

from __future__ import annotations

from noiseproof.selection.suggest import Suggestion, suggest
from noiseproof.selection.tune import Choice, Trial, blinded, tune

__all__ = ["Choice", "Suggestion", "Trial", "blinded", "suggest", "tune"]
