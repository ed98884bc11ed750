"""Training: one loop, one step, checkpoints; alone, side by side or by several processes."""

from __future__ import annotations

from noiseproof.train.distributed import Team
from noiseproof.train.health import watch
from noiseproof.train.loop import Training, fit
from noiseproof.train.outcome import Outcome
from noiseproof.train.side_by_side import fit_together

__all__ = ["Outcome", "Team", "Training", "fit", "fit_together", "watch"]
