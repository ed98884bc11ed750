"""Cross-entropy and focal loss: active losses, fast to fit and not robust."""

from __future__ import annotations

from noiseproof.losses.base import LOSSES, Logits, LogProbs, Loss, PerClass

__all__ = ["CE", "cross_entropy"]


def cross_entropy(log_p: LogProbs) -> PerClass:
    """Cross-entropy: -log p_k.

    Example:
        >>> import torch
        >>> even = torch.zeros(1, 4).log_softmax(1)                   # p_k = 1/4
        >>> cross_entropy(even).exp().round(decimals=4).tolist()      # 1 / p_k
        [[4.0, 4.0, 4.0, 4.0]]
    """
    return -log_p


@LOSSES.register("ce", active=True)
class CE(Loss):
    """Cross-entropy, see `cross_entropy`."""

    def per_class(self, logits: Logits) -> PerClass:
        return cross_entropy(logits.log_softmax(1))
