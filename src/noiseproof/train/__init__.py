"""Training: one loop, one step, checkpoints; alone, side by side or by several processes."""

from __future__ import annotations

from noiseproof.train.loop import Training, fit, fit_together
from noiseproof.train.outcome import Outcome
from noiseproof.train.team import Team

__all__ = ["Outcome", "Team", "Training", "fit", "fit_together"]
