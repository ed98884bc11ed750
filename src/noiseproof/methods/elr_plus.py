"""ELR+: early-learning regularisation with two networks, averaged weights and mixup."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noiseproof.errors import in_range
from noiseproof.losses import Loss
from noiseproof.methods.additions.averages import average_into
from noiseproof.methods.base import METHODS, Batch, Method, Task
from noiseproof.methods.elr import agreement_penalty, clamped
from noiseproof.methods.mixup import draw_mix, mix
from noiseproof.models import Network

__all__ = ["ELRPlus", "ramp"]


def ramp(step: int, length: int) -> float:
    """exp(-5 (1 - t)^2) with t = min(step, length) / length, from e^-5 to 1; 1 where length is 0."""
    return math.exp(-5 * (1 - min(step, length) / length) ** 2) if length else 1.0


@METHODS.register(
    "elr-plus",
    paper="arXiv:2007.00151",
    cost=4 / 3 + 2,
    settings={
        "cifar10": "beta=0.7, lam=3 (asymmetric 0.9, 1); PreActResNet-18, lr .02, weight decay 5e-4, 200 epochs",
        "cifar100": "beta=0.9, lam=7, coef_steps=40000; 250 epochs",
    },
)
class ELRPlus(Method):
    """ELR+: two networks on mixup, each regularised by targets from the other's averaged weights.

    Targets h_i <- beta h_i + (1-beta) p_i, p of the *other* network's average on unmixed inputs; q = l h_i + (1-l) h_j
    of a mixed pair, l = max(b, 1-b), b ~ Beta(mixup, mixup). Both networks learn in the same step. The mean of the
    logits of network 1 and of the average of network 2 predicts.

    Args:
        loss: of each possible label.
        beta, lam: as in ELR.
        mixup: parameter of the Beta distribution; 0 mixes nothing.
        decay: of the average, ramped up over the first `average_steps` steps.
        coef_steps: steps over which lam is ramped up.
        average_steps: None: the whole training, at most 40000.

    Source: Liu et al., NeurIPS 2020 (arXiv:2007.00151), section 4.3; shengliu66/ELR. (There, with 100 classes the mixed
    label is multiplied by q, which the paper does not say and this does not do.)
    """

    networks = 2
    combination = "mean of logits"

    def __init__(
        self,
        loss: str | Loss = "ce",
        beta: float = 0.7,
        lam: float = 3.0,
        mixup: float = 1.0,
        decay: float = 0.997,
        coef_steps: int = 0,
        average_steps: int | None = None,
    ) -> None:
        super().__init__(loss)
        self.beta, self.lam = in_range("beta", beta, 0, 1, below=True), in_range("lam", lam, 0)
        self.mixup, self.decay = in_range("mixup", mixup, 0), in_range("decay", decay, 0, 1, below=True)
        self.coef_steps = int(in_range("coef_steps", coef_steps, 0))
        self.average_steps = None if average_steps is None else int(in_range("average_steps", average_steps, 1))

    def setup(self, task: Task) -> None:
        self.classes = task.classes
        self.steps = -(-task.samples // task.batch_size)
        self.average_length = self.average_steps or min(40000, self.steps * task.epochs)
        for number in (1, 2):
            self.register_buffer(f"targets{number}", torch.zeros(task.samples, task.classes, device=task.device))
        self.averages = nn.ModuleList()

    def attach(self, networks: Sequence[Network]) -> None:
        self.averages = nn.ModuleList(copy.deepcopy(network).requires_grad_(False) for network in networks)

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        share, partner = (1.0, torch.arange(len(batch.given), device=batch.given.device))
        if self.mixup:
            share, partner = draw_mix(batch.draw(), len(batch.given), self.mixup, mostly_own=True)
        mixed = mix(batch.inputs, share, partner)
        labels = mix(F.one_hot(batch.given, self.classes).float(), share, partner)
        strength = self.lam * ramp(int(batch.epoch * self.steps), self.coef_steps)
        value, logits = torch.zeros((), device=mixed.device), []
        for number in range(2):
            targets: Tensor = getattr(self, f"targets{number + 1}")
            target = targets[batch.index]
            if not batch.again:
                with torch.no_grad(), batch.autocast():
                    peer: Network = self.averages[1 - number].eval()  # type: ignore[assignment]
                    p = peer(batch.inputs).float().softmax(1)
                target = self.beta * target + (1 - self.beta) * p
                targets[batch.index] = target
            z = batch.networks[number](mixed)
            q = mix(target, share, partner)
            value = value + self.loss(z.float(), labels) + strength * agreement_penalty(q, clamped(z))
            logits.append(z)
        return value, logits[0]

    def after_step(self, networks: Sequence[Network], step: int) -> None:
        decay = self.decay * ramp(step + 1, self.average_length)
        for average, network in zip(self.averages, networks, strict=True):
            average_into(average, network, decay)

    def members(self, networks: Sequence[Network]) -> Sequence[Network]:
        return [networks[0], self.averages[1]]  # type: ignore[list-item]
