"""Multilayer perceptron for features and very small images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from noiseproof.errors import InputError
from noiseproof.models.base import MODELS, Network

__all__ = ["MLP"]


@MODELS.register("mlp")
class MLP(Network):
    """Multilayer perceptron: the input flattened, hidden layers with ReLU, a linear head."""

    def __init__(self, shape: Sequence[int], classes: int, hidden: Sequence[int] = (256, 256)) -> None:
        super().__init__(shape, classes)
        if any(isinstance(width, bool) or not isinstance(width, int) or width < 1 for width in hidden):
            raise InputError(f"hidden must be widths from 1 on, such as [256, 256], got {list(hidden)}")
        widths = [math.prod(shape), *hidden]
        layers = [nn.Linear(here, there) for here, there in pairwise(widths)]
        self.body = nn.Sequential(nn.Flatten(), *(part for layer in layers for part in (layer, nn.ReLU())))
        self.width = widths[-1]
        self.fc = nn.Linear(self.width, classes)

    def features(self, inputs: Tensor) -> Tensor:
        features: Tensor = self.body(inputs)
        return features
