"""Evaluation of a network on a split: correct predictions, features and logits, batch-norm statistics."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from noiseproof.data.pipeline.batches import Batches
from noiseproof.models import Network
from noiseproof.train.device import DeviceConfig

__all__ = ["count_correct", "features_and_logits", "refresh_statistics"]


@torch.inference_mode()
def _each(network: Network, batches: Batches, config: DeviceConfig) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Features, logits and positions of each batch."""
    network.eval()
    for inputs, index in batches.epoch():
        if len(index):  # a process may have no share of a small last batch
            with config.autocast():
                features = network.features(config.laid_out(inputs))
                logits = network.fc(features)
            yield features, logits, index


def count_correct(network: Network, batches: Batches, labels: Tensor, config: DeviceConfig) -> tuple[Tensor, Tensor]:
    """Number of labels that it predicts, and number of its logits that are not finite; both on the device."""
    labels = labels.to(config.device)
    correct, broken = torch.zeros(2, dtype=torch.int64, device=config.device)
    for _, logits, index in _each(network, batches, config):
        correct += (logits.argmax(1) == labels[index]).sum()
        broken += (~logits.isfinite()).sum()
    return correct, broken


def features_and_logits(network: Network, batches: Batches, config: DeviceConfig) -> tuple[Tensor, Tensor]:
    """Of all samples, (N, D) and (N, K), float32, in their order."""
    parts = [(features.float(), logits.float()) for features, logits, _ in _each(network, batches, config)]
    features, logits = zip(*parts, strict=True)
    return torch.cat(features), torch.cat(logits)


@torch.no_grad()
def refresh_statistics(network: Network, batches: Batches, config: DeviceConfig) -> None:
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
            with config.autocast():
                network(config.laid_out(inputs))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    network.eval()
