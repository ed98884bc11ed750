"""One update of the weights, as a sequence of calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from noiseproof.methods import Batch
from noiseproof.methods import Method as Rule
from noiseproof.models import Network
from noiseproof.train.device import DeviceConfig

__all__ = ["Step"]


@dataclass
class Step:
    """Objective, backward, L1, clipping, optimisers; nothing in it waits for the device.

    The L1 penalty is added to the gradients as l1 * sign(theta), which is what its derivative adds, before the
    gradients of each network are clipped; weight decay is the optimiser's and is not clipped. Parameters of the
    method's own take no part in any of these.
    """

    rule: Rule
    networks: Sequence[Network]
    forwards: Sequence[Callable[[Tensor], Tensor]]  # the networks, or what averages their gradients over processes
    optimizer: torch.optim.Optimizer
    own: Sequence[torch.optim.Optimizer]  # of the method's own parameters
    config: DeviceConfig
    l1: float
    clip_norm: float

    def __post_init__(self) -> None:
        self.parameters: list[list[Tensor]] = [list(network.parameters()) for network in self.networks]

    def _logits(self, number: int) -> Callable[[Tensor], Tensor]:
        def logits(inputs: Tensor) -> Tensor:
            with self.config.autocast():
                return self.forwards[number](inputs)

        return logits

    def __call__(self, batch: Batch, weight: float = 1.0) -> tuple[Tensor, Tensor]:
        """Update the weights.

        Args:
            batch: views, given labels and index; the networks are added here.
            weight: factor of the loss's gradient.

        Returns:
            The loss before the update and how many given labels were predicted, both on the device.
        """
        batch = replace(
            batch,
            networks=[self._logits(number) for number in range(len(self.forwards))],
            modules=self.networks,
            autocast=self.config.autocast,
        )
        value, logits = self._evaluate(batch, weight)
        for addition in self.rule.additions:
            addition.second_gradient(self.networks, lambda: self._evaluate(replace(batch, again=True), weight))
        for parameters in self.parameters:
            trained = [parameter for parameter in parameters if parameter.grad is not None]
            if self.l1 and trained:
                torch._foreach_add_(
                    [p.grad for p in trained if p.grad is not None], torch._foreach_sign(trained), alpha=self.l1
                )
            if self.clip_norm and trained:
                nn.utils.clip_grad_norm_(trained, self.clip_norm, foreach=True)
        self.optimizer.step()
        for optimizer in self.own:
            optimizer.step()
        return value.detach(), (logits.detach().argmax(1) == batch.given).sum()

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for optimizer in (self.optimizer, *self.own):
            optimizer.zero_grad()

    def _evaluate(self, batch: Batch, weight: float) -> tuple[Tensor, Tensor]:
        self.zero_grad()
        value, logits = self.rule.objective(batch)
        if value.requires_grad:  # a selection may keep nobody
            torch.autograd.backward(value if weight == 1 else weight * value)
        return value, logits
