"""Base of all networks: features, then a head; initial weights from a generator of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from noiseproof.registry import Registry

__all__ = ["MODELS", "Network", "kaiming_conv", "torch_bias", "xavier_linear"]

MODELS: Registry[Network] = Registry("model", "models")


class Network(nn.Module):
    """A network in two parts, `features(inputs) -> (N, D)` and the head `fc(features) -> (N, K)`.

    Args:
        shape: of one input, without the batch.
        classes: number of scores.
    """

    name: ClassVar[str] = "network"  # what it is registered under
    fc: nn.Module  # the head
    width: int  # D, the number of features

    def __init__(self, shape: Sequence[int], classes: int) -> None:
        super().__init__()

    def features(self, inputs: Tensor) -> Tensor:
        """Features that the head sees, (N, D)."""
        raise NotImplementedError

    def forward(self, inputs: Tensor) -> Tensor:
        """Scores, (N, K)."""
        scores: Tensor = self.fc(self.features(inputs))
        return scores

    def initialise(self, generator: torch.Generator) -> None:
        """Draw the initial weights: conv Kaiming-uniform, linear Xavier-uniform, biases and BN as torch does.

        Source: cswjl/joint-asymmetric-loss, networks of the CIFAR tables.
        """
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                kaiming_conv(module, generator)
            elif isinstance(module, nn.Linear):
                xavier_linear(module, generator)
            elif isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
                module.reset_parameters()


def kaiming_conv(conv: nn.Conv2d, generator: torch.Generator) -> None:
    """Uniform within sqrt(6 / fan_in), He et al. 2015; the bias as torch draws it."""
    nn.init.kaiming_uniform_(conv.weight, mode="fan_in", nonlinearity="relu", generator=generator)
    torch_bias(conv, generator)


def xavier_linear(linear: nn.Linear, generator: torch.Generator) -> None:
    """Uniform within sqrt(6 / (fan_in + fan_out)), Glorot and Bengio 2010; the bias as torch draws it."""
    nn.init.xavier_uniform_(linear.weight, generator=generator)
    torch_bias(linear, generator)


def torch_bias(layer: nn.Conv2d | nn.Linear, generator: torch.Generator) -> None:
    """Uniform within 1 / sqrt(fan_in), the default of torch's layers."""
    if layer.bias is not None:
        bound = 1 / math.sqrt(layer.weight[0].numel())
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
