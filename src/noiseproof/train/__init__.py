"""Training: one loop, one step, checkpoints."""

from __future__ import annotations

from noiseproof.train.loop import Outcome, Training, fit

__all__ = ["Outcome", "Training", "fit"]
