"""The skorch net of a classifier: weighted loss, held-out samples, logits."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from skorch import NeuralNetClassifier
from skorch.dataset import ValidSplit
from torch import Tensor

from noiseproof.runtime.isolation import isolated

__all__ = ["WeightedNet", "logits_of", "split_of"]


class WeightedNet(NeuralNetClassifier):  # type: ignore[misc]
    """skorch's classifier with the mean loss weighted by `sample_weight`."""

    def get_loss(self, y_pred: Tensor, y_true: Tensor, X: Any = None, training: bool = False) -> Tensor:
        weights = X["sample_weight"].to(y_pred.device)
        targets = X.get("soft", y_true)
        each = self.criterion_(y_pred, targets.to(y_pred.device))
        mean: Tensor = (each * weights).sum() / weights.sum()
        return mean


def split_of(codes: npt.NDArray[np.int64], fraction: float, seed: int) -> ValidSplit | None:
    """A split into samples to train on and to stop early by, of each class its share where all have one; None of 0."""
    if not fraction:
        return None
    counts = np.unique(codes, return_counts=True)[1]
    held_out = math.ceil(fraction * len(codes))
    shared = counts.min() > 1 and min(held_out, len(codes) - held_out) >= len(counts)
    return ValidSplit(fraction, stratified=bool(shared), random_state=seed)


def logits_of(net: Any, features: npt.NDArray[Any]) -> Tensor:
    """Logits (N, K) of a fitted net."""
    network = net.module_.eval()
    with isolated(), torch.no_grad():
        return torch.cat([network(part.to(net.device)) for part in torch.split(torch.from_numpy(features), 1024)])
