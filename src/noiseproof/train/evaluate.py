"""Evaluation of a network on a split."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from noiseproof.data.pipeline.batches import Batches
from noiseproof.models import Network
from noiseproof.train.device import DeviceConfig

__all__ = ["count_correct", "features_and_scores", "refresh_statistics"]


@torch.inference_mode()
def _each(network: Network, batches: Batches, place: DeviceConfig) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Features, scores and positions of each batch."""
    network.eval()
    for inputs, index in batches.epoch():
        if len(index):  # a process may have no share of a small last batch
            with place.autocast():
                features = network.features(place.laid_out(inputs))
                scores = network.fc(features)
            yield features, scores, index


def count_correct(network: Network, batches: Batches, labels: Tensor, place: DeviceConfig) -> tuple[Tensor, Tensor]:
    """Numbers of labels that it predicts and of scores that are not finite; both on the device."""
    labels = labels.to(place.device)
    correct, broken = torch.zeros(2, dtype=torch.int64, device=place.device)
    for _, scores, index in _each(network, batches, place):
        correct += (scores.argmax(1) == labels[index]).sum()
        broken += (~scores.isfinite()).sum()
    return correct, broken


def features_and_scores(network: Network, batches: Batches, place: DeviceConfig) -> tuple[Tensor, Tensor]:
    """Of all samples, (N, D) and (N, K), float32, in their order."""
    parts = [(features.float(), scores.float()) for features, scores, _ in _each(network, batches, place)]
    features, scores = zip(*parts, strict=True)
    return torch.cat(features), torch.cat(scores)


@torch.no_grad()
def refresh_statistics(network: Network, batches: Batches, place: DeviceConfig) -> None:
    """Compute the statistics of batch normalisation anew, as the mean over all batches."""
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    if not norms:
        return
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches so far
    network.train()
    for inputs, index in batches.epoch():
        if len(index) > 1:
            with place.autocast():
                network(place.laid_out(inputs))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
