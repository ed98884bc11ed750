"""ANL-CE-ER: active negative loss with the entropy of the batch's mean prediction."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from noiseproof.errors import in_range
from noiseproof.losses.normalized import NCE, NNCE
from noiseproof.methods.base import METHODS, Batch, Method

__all__ = ["ANLCEER", "entropy_gap"]

_FLOOR = 1e-7  # of probabilities, as published


def entropy_gap(logits: Tensor) -> Tensor:
    """ln K - H(q) of the shares q that a batch gives each class on average; 0 if all classes are predicted alike.

    Args:
        logits: (B, K).

    Example:
        >>> entropy_gap(torch.tensor([[9.0, -9.0], [-9.0, 9.0]])).item()          # half each
        0.0

    Source: Ye et al., arXiv:2412.02373v2; p and q are clamped to [1e-7, 1 - 1e-7] as in their code.
    """
    p = (logits if logits.dtype == torch.float64 else logits.float()).softmax(1).clamp(_FLOOR, 1 - _FLOOR)
    q = p.sum(0)
    q = (q / q.sum()).clamp(_FLOOR, 1 - _FLOOR)
    return math.log(p.shape[1]) + (q * q.log()).sum()


@METHODS.register(
    "anl-ce-er",
    paper="arXiv:2412.02373",
    cost=1.0,
    settings={
        "cifar10": "alpha=5, beta=5, delta=5e-5, lam=2; no weight decay",
        "cifar100": "alpha=10, beta=1, delta=5e-7, lam=0.01; no weight decay",
    },
)
class ANLCEER(Method):
    """ANL-CE with entropy regularisation: alpha NCE + beta NNCE + delta sum |theta| + lam (ln K - H(q)).

    q is the mean prediction of the batch, so the term depends on the batch size and cannot be a loss of a sample.

    Args:
        alpha, beta: factors of normalised cross-entropy and its negative counterpart.
        delta: factor of the sum of |theta| over all weights of the network.
        lam: factor of the entropy term; 0 leaves ANL-CE.

    Source: Ye et al., arXiv:2412.02373v2 (the journal version of NeurIPS 2023); Virusdoll/Active-Negative-Loss.
    """

    captures = True

    def __init__(self, alpha: float = 5.0, beta: float = 5.0, delta: float = 5e-5, lam: float = 2.0) -> None:
        self.alpha, self.beta = in_range("alpha", alpha, 0, above=True), in_range("beta", beta, 0, above=True)
        super().__init__(self.alpha * NCE() + self.beta * NNCE(p_min=_FLOOR))
        self.delta, self.lam = in_range("delta", delta, 0), in_range("lam", lam, 0)

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = batch.logits()
        value = self.loss(logits, batch.given)
        if self.lam:
            value = value + self.lam * entropy_gap(logits)
        if self.delta:
            value = value + self.delta * sum(
                parameter.abs().sum() for network in batch.modules for parameter in network.parameters()
            )
        return value, logits
