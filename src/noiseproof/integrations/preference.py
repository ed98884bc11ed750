"""Losses on the margin of preference pairs whose labels may be flipped, for language models.

The margin s is the log-ratio of policy and reference for the chosen answer minus that for the rejected one. All take
tensors of margins and return a tensor of the same shape. DPO, cDPO and robust DPO equal `DPOTrainer.dpo_loss` of
TRL 0.28.0 to 2e-15 in float64.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import logsigmoid

from noiseproof.errors import in_range

__all__ = ["cdpo", "dpo", "rdpo", "vce_dpo"]


def dpo(margin: Tensor, *, beta: float = 0.1) -> Tensor:
    """Direct preference optimisation: -ln sigmoid(beta s).

    Source: Rafailov et al., NeurIPS 2023 (arXiv:2305.18290), eq. 7.
    """
    return cdpo(margin, beta=beta, flip=0.0)


def cdpo(margin: Tensor, *, beta: float = 0.1, flip: float = 0.1) -> Tensor:
    """Conservative DPO: -(1-e) ln sigmoid(beta s) - e ln sigmoid(-beta s), as smoothed labels give it.

    Args:
        margin: s, any shape.
        beta: above 0.
        flip: e, the share of flipped pairs, from 0 to below 1/2.

    Example:
        >>> import torch
        >>> round(cdpo(torch.tensor(2.0), flip=0.1).item(), 4)
        0.6181

    Source: Mitchell, "A note on DPO with noisy preferences", 2023. TRL has it as loss_type "sigmoid" with
    label_smoothing up to 0.28; from 0.29 on "sigmoid" ignores label_smoothing.
    """
    beta, flip = _checked(beta, flip)
    return -(1 - flip) * logsigmoid(beta * margin) - flip * logsigmoid(-beta * margin)


def rdpo(margin: Tensor, *, beta: float = 0.1, flip: float = 0.1) -> Tensor:
    """Robust DPO: [-(1-e) ln sigmoid(beta s) + e ln sigmoid(-beta s)] / (1 - 2e), unbiased under flips of rate e.

    Unbounded below. Its mean over flips of rate e is the loss of unflipped pairs.

    Args:
        margin: s, any shape.
        beta: above 0.
        flip: e, the share of flipped pairs, from 0 to below 1/2.

    Example:
        >>> import torch
        >>> round(rdpo(torch.tensor(2.0), flip=0.1).item(), 4)
        0.5731

    Source: Chowdhury et al., ICML 2024 (arXiv:2403.00409), eq. 8.
    """
    beta, flip = _checked(beta, flip)
    return (-(1 - flip) * logsigmoid(beta * margin) + flip * logsigmoid(-beta * margin)) / (1 - 2 * flip)


def vce_dpo(margin: Tensor, *, beta: float = 0.1, a: float = 4.0) -> Tensor:
    """Variation-bounded DPO: -ln(sigmoid(beta s) + a), whose slope in the probability varies by (1+a)/a at most.

    Args:
        margin: s, any shape.
        beta: above 0.
        a: above 0; towards 0 plain DPO.

    Source: the variation-bounded cross-entropy of arXiv:2511.12143 on sigmoid(beta s).
    """
    beta, a = in_range("beta", beta, 0, above=True), in_range("a", a, 0, above=True)
    return -((beta * margin).sigmoid() + a).log()


def _checked(beta: float, flip: float) -> tuple[float, float]:
    return in_range("beta", beta, 0, above=True), in_range("flip", flip, 0, 0.5, below=True)
