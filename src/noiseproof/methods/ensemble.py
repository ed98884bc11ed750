"""Several networks that predict as one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from noiseproof.models import Network

__all__ = ["Ensemble"]


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
    """

    def __init__(self, members: Sequence[Network], predict: Callable[[Sequence[Tensor]], Tensor]) -> None:
        super().__init__((), 0)
        self.members = nn.ModuleList(members)
        self.width = sum(member.width for member in members)
        self.fc = _Heads(members, predict)

    def features(self, inputs: Tensor) -> Tensor:
        return torch.cat([member.features(inputs) for member in self.members], 1)  # type: ignore[operator]
