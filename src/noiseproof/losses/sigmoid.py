"""Binary and multi-label classification: the sigmoid form of a loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from noiseproof.errors import InputError
from noiseproof.losses.base import LOSSES, Loss, parse

__all__ = ["SigmoidLoss"]


class SigmoidLoss(nn.Module):
    r"""The sigmoid form of a loss, a drop-in for `torch.nn.functional.binary_cross_entropy_with_logits`.

    A score z says $p = \sigma(z)$, which is the softmax of the two scores (0, z). The definitions that depend on p
    alone therefore carry over: with L the loss over those two classes, an entry with target t, weight w and positive
    weight v has the loss $w\,[v\,t\,L(z, 1) + (1-t)\,L(z, 0)]$. The sigmoid form of `ce` is binary cross-entropy. In
    multi-label data each label is a binary problem of its own.

    Losses that do not depend on p alone have no sigmoid form: `lc` clips the norm of the scores and `ldr` normalises
    their softplus, and both change when (0, z) is written as (-z/2, z/2).

    Args:
        loss: a loss or its text, without options of its own.
        weight: factor of each entry, broadcast to the scores' shape.
        pos_weight: factor of the entries' positive part, broadcast likewise.
        reduction: "mean" over all entries, "sum" or "none".

    Raises:
        InputError: the loss has no sigmoid form, or options of its own.

    Example:
        >>> scores, target = torch.tensor([[0.0, 2.0]]).double(), torch.tensor([[1.0, 0.0]])
        >>> SigmoidLoss("mae", reduction="none")(scores, target).round(decimals=4).tolist()       # 2 |t - sigma(z)|
        [[1.0, 1.7616]]
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        loss: Loss | str,
        *,
        weight: Tensor | None = None,
        pos_weight: Tensor | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.loss = parse(loss) if isinstance(loss, str) else loss
        if self.loss.options():
            raise InputError(f"give weight, pos_weight and reduction to SigmoidLoss itself; got {self.loss!r}")
        for _, term in self.loss.terms():
            if not _depends_on_p_alone(term):
                raise InputError(
                    f"{term} has no sigmoid form: it depends on the scores themselves, not on their softmax alone; "
                    "use another loss, or two scores per label"
                )
        if reduction not in ("mean", "sum", "none"):
            raise InputError(f"reduction must be mean, sum or none, got {reduction!r}")
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)
        self.reduction = reduction

    def forward(self, input: Tensor, target: Tensor) -> Tensor:
        """The loss of scores (N, ...) against targets of the same shape, each from 0 to 1."""
        if input.shape != target.shape:
            raise ValueError(f"Target size ({target.shape}) must be the same as input size ({input.shape})")
        scores = input if input.dtype in (torch.float32, torch.float64) else input.float()
        pair = self.loss.per_class(torch.stack([torch.zeros_like(scores), scores], -1).reshape(-1, 2))
        negative, positive = pair.reshape(*scores.shape, 2).unbind(-1)
        t = target.to(scores.dtype)
        if self.pos_weight is not None:
            positive = positive * self.pos_weight
        value = t * positive + (1 - t) * negative
        if self.weight is not None:
            value = value * self.weight
        if self.reduction == "none":
            return value
        return value.mean() if self.reduction == "mean" else value.sum()


def _depends_on_p_alone(loss: Loss) -> bool:
    """Whether one number added to all scores changes nothing: what a registered loss says, or what others answer."""
    claims = LOSSES[loss.name].claims if hasattr(loss, "name") else {}
    if "shift_invariant" in claims:
        return bool(claims["shift_invariant"])
    z = torch.linspace(-8, 8, 17, dtype=torch.float64, device="cpu")[:, None].expand(17, 2).clone()
    z[:, 0] = 0.0
    return torch.allclose(loss.per_class(z), loss.per_class(z - z.mean(1, keepdim=True)), rtol=1e-9, atol=1e-12)
