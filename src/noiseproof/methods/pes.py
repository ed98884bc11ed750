"""PES: progressive early stopping of the later layers, then training on the samples that the network confirms."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from noiseproof import rng
from noiseproof.errors import in_range
from noiseproof.losses import Loss
from noiseproof.methods.base import METHODS, Batch, Method, Outputs, Pass, Task, epochs_of, per_sample
from noiseproof.models import Network
from noiseproof.models.base import kaiming_conv, xavier_linear

__all__ = ["PES", "layers"]

_LATER = 0.2  # share of the layers, the head included, that the first refinement trains


def layers(network: nn.Module) -> list[nn.Module]:
    """Modules that hold parameters of their own, in order; the head last."""
    found = [module for module in network.modules() if next(module.parameters(recurse=False), None) is not None]
    head = set(network.fc.modules())  # type: ignore[union-attr]
    return [module for module in found if module not in head] + [module for module in found if module in head]


@METHODS.register(
    "pes",
    paper="arXiv:2106.15853",
    cost=1.3,
    neutral="pes(t1=1000000)",
    settings={"cifar10": "t1=25, t2=7, t3=5 of 200 epochs; ResNet-18", "cifar100": "t1=30, t2=7, t3=5; ResNet-34"},
)
class PES(Method):
    """Progressive early stopping: the layers stop at different times, the earliest first.

    After t1 epochs the later fifth of the layers is drawn anew and trained alone for t2 epochs, then the head alone
    for t3. From then on each epoch trains on samples whose given label is predicted, by the network of the epoch
    before on inputs without augmentation, with class weights mean(count) / count of those samples. The refined layers
    go on training (in the published code no optimiser holds them afterwards), under the recipe's optimiser throughout.

    Args:
        loss: of each sample.
        t1, t2, t3: epochs of the three parts, or below 1 shares of the training.

    Source: Bai et al., NeurIPS 2021 (arXiv:2106.15853), algorithm 1.
    """

    def __init__(self, loss: str | Loss = "ce", t1: float = 25, t2: float = 7, t3: float = 5) -> None:
        super().__init__(loss)
        self.t1, self.t2, self.t3 = (in_range(name, value, 0) for name, value in (("t1", t1), ("t2", t2), ("t3", t3)))

    def setup(self, task: Task) -> None:
        spans = [epochs_of(name, getattr(self, name), task.epochs) for name in ("t1", "t2", "t3")]
        self.ends = [sum(spans[: number + 1]) for number in range(3)]
        self.given, self.classes, self.seed = task.given, task.classes, task.seed
        self.register_buffer("kept", torch.ones(task.samples, dtype=torch.bool, device=task.device))
        self.register_buffer("weights", torch.ones(task.classes, device=task.device))

    def _trained(self, network: Network, epoch: int) -> list[nn.Module]:
        """The layers that an epoch trains."""
        every = layers(network)
        if not self.ends[0] <= epoch < self.ends[2]:
            return every
        heads = sum(1 for module in network.fc.modules() if next(module.parameters(recurse=False), None) is not None)
        return every[-max(heads + 1, round(_LATER * len(every))) :] if epoch < self.ends[1] else every[-heads:]

    def epoch_start(self, epoch: int, networks: Sequence[Network]) -> None:
        network = networks[0]
        network.requires_grad_(False)
        for module in self._trained(network, epoch):
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(True)

    def plan(self, order: Tensor, batch_size: int, epoch: int) -> list[Pass]:
        return [Pass(torch.split(order[self.kept[order]], batch_size))]  # type: ignore[index]

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = batch.logits()
        if batch.epoch < self.ends[2]:
            return self.loss(logits, batch.given), logits
        weight = self.weights[batch.given]  # type: ignore[index]
        return (weight * per_sample(self.loss, logits, batch.given)).sum() / weight.sum(), logits

    def wants_outputs(self, epoch: int) -> bool:
        return epoch + 1 >= self.ends[2]

    def epoch_end(self, epoch: int, outputs: Sequence[Outputs], networks: Sequence[Network]) -> None:
        done = epoch + 1
        if done in self.ends[:2] and self.ends[2] > self.ends[0]:  # the layers that the next epoch trains start anew
            generator = rng.generator(self.seed, "method", "pes", done)
            for module in self._trained(networks[0], done):
                _draw(module, generator)
        if self.wants_outputs(epoch):
            confirmed = outputs[0].logits.argmax(1) == self.given
            if confirmed.any():
                counts = self.given[confirmed].bincount(minlength=self.classes).float()
                some = counts > 0
                self.kept.copy_(confirmed)  # type: ignore[operator]
                self.weights.copy_(torch.where(some, counts[some].mean() / counts.clamp_min(1), 0.0))  # type: ignore[operator]


@torch.no_grad()
def _draw(module: nn.Module, generator: torch.Generator) -> None:
    """Initial weights, drawn anew as the networks draw them."""
    device = next(module.parameters()).device
    module.cpu()
    if isinstance(module, nn.Conv2d):
        kaiming_conv(module, generator)
    elif isinstance(module, nn.Linear):
        xavier_linear(module, generator)
    elif hasattr(module, "reset_parameters") and isinstance(module, nn.modules.batchnorm._BatchNorm):
        module.reset_parameters()
    module.to(device)
