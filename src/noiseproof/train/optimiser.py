"""Optimisers of a run's networks and of a method's own parameters, and the learning rate of each epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from noiseproof.methods import Group
from noiseproof.models import Network, layers_of
from noiseproof.recipes import Method, Train
from noiseproof.train.device import DeviceConfig

__all__ = ["group_optimiser", "lr_at", "optimiser", "set_lr"]


def optimiser(networks: Sequence[Network], method: Method, train: Train, config: DeviceConfig) -> torch.optim.Optimizer:
    """The optimiser of all networks: the one that a method asks for, else the recipe's."""
    parameters: list[Any] = [parameter for network in networks for parameter in network.parameters()]
    cuda = config.device.type == "cuda"
    if train.layer_decay != 1 or train.frozen_layers:
        parameters = _by_layer(networks, method.lr or train.lr, train, config)
    lr: float | Tensor = method.lr or train.lr
    if cuda:
        lr = torch.tensor(float(lr), dtype=torch.float32, device=config.device)  # a graph reads it when it runs
    if (method.optimizer or train.optimizer) == "adam":
        return torch.optim.Adam(parameters, lr=lr, weight_decay=method.l2, capturable=cuda, foreach=True)
    return torch.optim.SGD(
        parameters,
        lr=lr,
        momentum=train.momentum,
        nesterov=train.nesterov,
        weight_decay=method.l2,
        fused=cuda,
        foreach=not cuda,
    )


def _by_layer(networks: Sequence[Network], lr: float, train: Train, config: DeviceConfig) -> list[dict[str, Any]]:
    """Parameter groups with a rate of their own: the head's is `lr`, each layer below has `layer_decay` times the next.

    Source: Bao et al., BEiT, ICLR 2022 (arXiv:2106.08254).
    """
    groups: list[dict[str, Any]] = []
    for network in networks:
        layers = layers_of(network)
        for depth, layer in enumerate(reversed(layers[train.frozen_layers :])):
            scale = train.layer_decay**depth
            rate: float | Tensor = scale * lr
            if config.device.type == "cuda":
                rate = torch.tensor(rate, dtype=torch.float32, device=config.device)
            if layer.parameters:
                groups.append({"params": layer.parameters, "lr": rate, "scale": scale})
    return groups


def group_optimiser(group: Group) -> torch.optim.Optimizer:
    """The optimiser of a method's own parameters."""
    if group.adam:
        return torch.optim.Adam(group.parameters, lr=group.lr, weight_decay=group.weight_decay, foreach=True)
    return torch.optim.SGD(
        group.parameters, lr=group.lr, momentum=group.momentum, weight_decay=group.weight_decay, foreach=True
    )


def lr_at(epoch: int, first: float, train: Train) -> float:
    """The learning rate of an epoch, counted from 0.

    Example:
        >>> train = Train(epochs=4, batch_size=1, lr=0.1)
        >>> [round(lr_at(epoch, 0.1, train), 4) for epoch in range(4)]                # 0.05 (1 + cos(pi e / 4))
        [0.1, 0.0854, 0.05, 0.0146]
    """
    if train.schedule == "cosine":
        return first * (1 + math.cos(math.pi * epoch / train.epochs)) / 2
    if train.schedule == "step":
        return first * train.step_factor ** (epoch // train.step_epochs)
    return first


def set_lr(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give every parameter group this learning rate, times the `scale` of its layer."""
    for group in optimizer.param_groups:
        rate = value * group.get("scale", 1.0)
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
