"""The tensors that go in and out of a loss's formula, and the options that every loss has."""

from __future__ import annotations

from typing import TypedDict

from torch import Tensor

__all__ = ["LogProbs", "Logits", "Options", "PerClass"]

Logits = Tensor  # (N, K) scores
LogProbs = Tensor  # (N, K) log-probabilities
PerClass = Tensor  # (N, K) the loss of every possible label


class Options(TypedDict, total=False):
    """The keywords of `torch.nn.functional.cross_entropy`, with its defaults."""

    weight: Tensor | None
    ignore_index: int
    reduction: str
    label_smoothing: float
