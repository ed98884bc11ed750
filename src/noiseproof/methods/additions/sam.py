"""Sharpness-aware minimisation: the gradient at the worst weights nearby."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import nn

from noiseproof.errors import in_range, true_or_false
from noiseproof.methods.additions.base import ADDITIONS, Addition
from noiseproof.models import Network

__all__ = ["SAM"]


@ADDITIONS.register("sam", paper="arXiv:2010.01412", cost=2.0)
class SAM(Addition):
    """Sharpness-aware minimisation: the gradient at w + e, e = rho g / ||g||, is applied at w.

    Adaptive: e = rho w^2 g / || |w| g ||, with a rho about ten times larger. Networks are perturbed one by one. The
    running statistics of batch normalisation follow the first pass only.

    Args:
        rho: size of the perturbation; 0: none.
        adaptive: relative to the size of each weight.

    Source: Foret et al., ICLR 2021, eq. 3; Kwon et al., ICML 2021 (arXiv:2102.11600) for the adaptive form.
    """

    positional: ClassVar[str] = "rho"
    distributes = False  # gradients are averaged over processes in the first backward pass only

    def __init__(self, rho: float = 0.05, adaptive: bool = False) -> None:
        super().__init__()
        self.rho, self.adaptive = in_range("rho", rho, 0), true_or_false("adaptive", adaptive)

    def second_gradient(self, networks: Sequence[Network], evaluate: Callable[[], None]) -> None:
        if not self.rho:
            return
        before: list[tuple[torch.Tensor, torch.Tensor]] = []
        with torch.no_grad():
            for network in networks:
                weights = [parameter for parameter in network.parameters() if parameter.grad is not None]
                if not weights:
                    continue
                gradients = [parameter.grad for parameter in weights]
                steps = [g * w.abs() if self.adaptive else g for w, g in zip(weights, gradients, strict=True)]  # type: ignore[operator]
                scale = self.rho / (torch.stack([step.norm() for step in steps]).norm() + 1e-12)  # type: ignore[union-attr]
                before += [(weight, weight.clone()) for weight in weights]
                for weight, step in zip(weights, steps, strict=True):
                    weight.add_(step * weight.abs() * scale if self.adaptive else step * scale)  # type: ignore[operator]
        norms = [m for network in networks for m in network.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            norm.momentum = 0.0
        evaluate()
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        with torch.no_grad():
            for moved, kept in before:
                moved.copy_(kept)
