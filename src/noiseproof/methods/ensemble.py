"""Several networks that predict as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from noiseproof.models import Network

__all__ = ["COMBINATIONS", "Ensemble"]


def _mean_of_probabilities(logits: Sequence[Tensor]) -> Tensor:
    if len(logits) == 1:
        return logits[0]
    return torch.stack([each.log_softmax(1) for each in logits]).logsumexp(0)


def _sum_of_logits(logits: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(logits)).sum(0)


def _mean_of_logits(logits: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(logits)).mean(0)


#: Rules by which a method's networks predict as one, by the name that a model folder holds.
COMBINATIONS: dict[str, Callable[[Sequence[Tensor]], Tensor]] = {
    "mean of probabilities": _mean_of_probabilities,
    "sum of logits": _sum_of_logits,
    "mean of logits": _mean_of_logits,
}


class _Heads(nn.Module):
    """The members' heads on their slices of the features, combined."""

    def __init__(self, members: Sequence[Network], predict: Callable[[Sequence[Tensor]], Tensor]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(member.fc for member in members)
        self.widths = [member.width for member in members]
        self.predict = predict

    def forward(self, features: Tensor) -> Tensor:
        parts = torch.split(features, self.widths, dim=1)
        return self.predict([head(part).float() for head, part in zip(self.heads, parts, strict=True)])


class Ensemble(Network):
    """Networks side by side: their features joined, their logits combined by the method's rule.

    Args:
        members: networks on the same inputs.
        predict: logits of all members to one (N, K).
        combination: its name in `COMBINATIONS`; None: a rule of the user's own.
    """

    def __init__(
        self,
        members: Sequence[Network],
        predict: Callable[[Sequence[Tensor]], Tensor],
        combination: str | None = None,
    ) -> None:
        super().__init__((), 0)
        self.combination = combination
        self.members = nn.ModuleList(members)
        self.width = sum(member.width for member in members)
        self.fc = _Heads(members, predict)

    def features(self, inputs: Tensor) -> Tensor:
        return torch.cat([member.features(inputs) for member in self.members], 1)  # type: ignore[operator]
