"""Losses for the Hugging Face Trainer: `RobustTrainer("nce + amse(a=30)", model, args, ...)`, or parts of it.

`compute_loss` goes into a Trainer of your own; `causal_loss` joins the head of a causal language model and the loss.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from noiseproof.integrations._model_loss import causal_loss, compute_loss

__all__ = ["HealthCallback", "RobustTrainer", "causal_loss", "compute_loss"]  # noqa: F822  # the first two: __getattr__


def __getattr__(name: str) -> Any:
    if name in ("HealthCallback", "RobustTrainer"):  # on first use: transformers' Trainer takes seconds to import
        return getattr(import_module("noiseproof.integrations._trainer"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
