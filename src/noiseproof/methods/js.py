"""JS and GJS: the Jensen-Shannon divergence between the given label and the predictions of one or more views."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from noiseproof.errors import InputError, in_range, true_or_false
from noiseproof.methods.base import METHODS, Batch, Method

__all__ = ["GJS", "JS", "jensen_shannon"]

_FLOOR = 1e-7  # of M inside its logarithm, as published


def jensen_shannon(logits: Sequence[Tensor], given: Tensor, w: float, *, scaled: bool = True) -> Tensor:
    """Mean of H(M) - sum_m w_m H(p_m) with M = w e_y + sum_m w_m p_m, the views sharing 1-w evenly.

    Args:
        logits: (B, K) of each view.
        given: labels (B,).
        w: weight of the label, above 0 and below 1: towards 0 cross-entropy, towards 1 1 - p_y.
        scaled: divided by -(1-w) ln(1-w), so that it spans between the two.

    Example:
        >>> logits, given = torch.tensor([[2.0, 1.0, 0.1, -1.0]]), torch.tensor([1])
        >>> round(jensen_shannon([logits], given, 0.5).item(), 5)
        1.13359

    Source: Englesson & Azizpour, NeurIPS 2021 (arXiv:2105.04522), eq. 6 and 8; with the clamp of their code.
    """
    each = (1 - w) / len(logits)
    log_p = [one.float().log_softmax(1) if one.dtype != torch.float64 else one.log_softmax(1) for one in logits]
    mixture = w * F.one_hot(given, log_p[0].shape[1]).to(log_p[0].dtype) + each * sum(one.exp() for one in log_p)
    value = -(mixture * mixture.clamp(_FLOOR, 1).log()).sum(1)
    for one in log_p:
        value = value + each * (one.exp() * one).sum(1)
    return value.mean() / (-(1 - w) * math.log1p(-w) if scaled else 1.0)


class _Divergence(Method):
    captures = distributes = True

    def __init__(self, w: float, scaled: bool) -> None:
        super().__init__("ce")
        self.w, self.scaled = in_range("w", w, 0, 1, above=True, below=True), true_or_false("scaled", scaled)

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = [batch.logits(view=view) for view in range(len(batch.views))]
        return jensen_shannon(logits, batch.given, self.w, scaled=self.scaled), logits[0]


@METHODS.register(
    "js",
    paper="arXiv:2105.04522",
    cost=1.0,
    settings={
        "cifar10": "w=0.1 (clean), 0.7, 0.7, 0.9, 0.9 (symmetric .2 to .8), 0.3 (asymmetric); PreActResNet-34",
        "cifar100": "w=0.1, 0.1, 0.3, 0.5, 0.3, 0.5",
    },
)
class JS(_Divergence):
    """Jensen-Shannon divergence of label and prediction, scaled: between cross-entropy (w to 0) and 1 - p_y (w to 1).

    Args:
        w: weight of the given label.
        scaled: divided by -(1-w) ln(1-w); false in the published runs on WebVision.

    Source: Englesson & Azizpour, NeurIPS 2021 (arXiv:2105.04522).
    """

    def __init__(self, w: float = 0.5, scaled: bool = True) -> None:
        super().__init__(w, scaled)


@METHODS.register(
    "gjs",
    paper="arXiv:2105.04522",
    cost=2.0,
    settings={
        "cifar10": "w=0.5 (clean), 0.3, 0.9, 0.1, 0.1 (symmetric .2 to .8), 0.3 (asymmetric); PreActResNet-34",
        "cifar100": "w=0.3, 0.3, 0.5, 0.9, 0.1, 0.5",
    },
)
class GJS(_Divergence):
    """Generalised Jensen-Shannon divergence: label and predictions of differently augmented views, which must agree.

    Each view is a forward pass of its own. Where the recipe augments nothing, as for vectors, all views are equal.

    Args:
        w: weight of the given label.
        views: number of views, from 2 on.
        scaled: as in JS.

    Source: Englesson & Azizpour, NeurIPS 2021 (arXiv:2105.04522).
    """

    def __init__(self, w: float = 0.5, views: int = 2, scaled: bool = True) -> None:
        super().__init__(w, scaled)
        if int(in_range("views", views, 1, 16)) != views:
            raise InputError(f"views must be a whole number, got views={views!r}")
        self.views = int(views)  # type: ignore[misc]
