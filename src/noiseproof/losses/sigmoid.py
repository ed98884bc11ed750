"""Binary and multi-label classification: the sigmoid form of a loss."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.autograd.function import Function

from noiseproof.errors import InputError
from noiseproof.losses import _kernels
from noiseproof.losses._kernels import cpu
from noiseproof.losses._kernels.context import graph_is_kept, is_batched, small_graph, transforms_are_active
from noiseproof.losses._kernels.plan import plan
from noiseproof.losses.base import LOSSES, Loss, parse
from noiseproof.losses.types import PerClass

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
        """The loss of scores (N, ...) against targets of the same shape, each from 0 to 1.

        Raises:
            ValueError, RuntimeError: as `binary_cross_entropy_with_logits` raises them, in its words.
        """
        self._refuse_what_torch_refuses(input, target)
        scores = input if input.dtype in (torch.float32, torch.float64) else input.float()
        t = target.to(scores.dtype)
        weight = None if self.weight is None else self.weight.expand(scores.shape)
        pos_weight = None if self.pos_weight is None else self.pos_weight.expand(scores.shape)
        known = plan(self.loss) if scores.is_cpu and scores.numel() and scores.dim() and _kernels.enabled else None
        packed = known.packed if known is not None and known.below > 2 and cpu.has_pairs else b""
        if (packed or scores.numel() > _BLOCK) and self._is_plain(scores, t, weight, pos_weight):
            loss = _Fixed(copy.deepcopy(self.loss) if known is None else known, packed)
            if not (scores.requires_grad and torch.is_grad_enabled()):
                return _sweep(loss, scores, t, weight, pos_weight, self.reduction, None)
            value: Tensor = _Blocks.apply(scores, t, weight, pos_weight, loss, self.reduction)  # type: ignore[no-untyped-call]
            return value
        return _reduced(_each(self.loss, scores, t, weight, pos_weight), self.reduction)

    def activation(self, logits: Tensor) -> Tensor:
        """Probability of each label, sigmoid of its score."""
        return logits.sigmoid()

    def decodes(self, probabilities: Tensor) -> Tensor:
        """Predicted labels, where `activation` gives more than one half."""
        return probabilities > 0.5

    def _refuse_what_torch_refuses(self, input: Tensor, target: Tensor) -> None:
        fits = target.shape == input.shape and input.is_floating_point() and target.is_floating_point()
        for factor in (self.weight, self.pos_weight):
            # broadcast to the scores, never beyond them: (N, 1) weights of (N,) scores would make N x N losses
            ahead = (1,) * (input.dim() - (factor.dim() if factor is not None else 0))
            fits = fits and (
                factor is None
                or (
                    factor.dim() <= input.dim()
                    and all(own in (1, size) for own, size in zip((*ahead, *factor.shape), input.shape, strict=True))
                )
            )
        if not fits or self.reduction not in ("mean", "sum", "none"):
            bce = nn.functional.binary_cross_entropy_with_logits
            bce(input, target, self.weight, reduction=self.reduction, pos_weight=self.pos_weight)
            raise ValueError(
                f"weight and pos_weight must broadcast to the scores' shape {tuple(input.shape)}, and scores and "
                f"target must be floating-point; got {input.dtype} and {target.dtype}"
            )

    def _is_plain(self, *tensors: Tensor | None) -> bool:
        """True if blocks may be computed on their own: only the scores need a gradient, and nothing traces them."""
        _, *others = tensors
        learned = [*self.loss.parameters(), *(each for each in others if each is not None)]
        plain = all(each is None or type(each) in (Tensor, nn.Parameter) for each in tensors)
        return plain and not transforms_are_active() and not any(each.requires_grad for each in learned)


_BLOCK = 1 << 14  # scores whose intermediates exist at once


class _HasPerClass(Protocol):
    def per_class(self, logits: Tensor) -> PerClass: ...


class _Fixed(NamedTuple):
    """A loss with the parameters of one moment, and its program for the kernel, if it has one."""

    loss: _HasPerClass
    packed: bytes


def _each(loss: _HasPerClass, scores: Tensor, t: Tensor, weight: Tensor | None, pos_weight: Tensor | None) -> Tensor:
    """The loss of every entry, differentiable."""
    pair = loss.per_class(torch.stack([torch.zeros_like(scores), scores], -1).reshape(-1, 2))
    negative, positive = pair.reshape(*scores.shape, 2).unbind(-1)
    if pos_weight is not None:
        positive = positive * pos_weight
    value = t * positive + (1 - t) * negative
    return value if weight is None else value * weight


def _reduced(value: Tensor, reduction: str) -> Tensor:
    if reduction == "none":
        return value
    return value.mean() if reduction == "mean" else value.sum()


def _sweep(
    fixed: _Fixed,
    scores: Tensor,
    t: Tensor,
    weight: Tensor | None,
    pos_weight: Tensor | None,
    reduction: str,
    grad: Tensor | None,
) -> Tensor:
    """The loss by the kernel, or a block of rows at a time; fills the gradient on the scores."""
    if fixed.packed:
        value = cpu.run_pairs(fixed.packed, scores, t, weight, pos_weight, grad, reduction)
        if value is not None:
            return value
    loss = fixed.loss
    values = torch.empty_like(scores) if reduction == "none" else None
    share = 1 / scores.numel() if reduction == "mean" else 1.0
    total = torch.zeros((), dtype=torch.float64, device=scores.device)
    step = max(1, _BLOCK * len(scores) // scores.numel())
    for start in range(0, len(scores), step):
        rows = slice(start, start + step)
        factors = [None if each is None else each[rows] for each in (weight, pos_weight)]
        if grad is None:
            value = _each(loss, scores[rows], t[rows], *factors)
        else:
            with small_graph():
                leaf = scores[rows].detach().requires_grad_()
                value = _each(loss, leaf, t[rows], *factors)
                (grad[rows],) = torch.autograd.grad(value, leaf, torch.full_like(value, share))
            value = value.detach()
        if values is not None:
            values[rows] = value
        else:
            total += value.sum(dtype=torch.float64)
    return (total * share).to(scores.dtype) if values is None else values


class _Blocks(Function):
    @staticmethod
    def forward(
        ctx: Any,
        scores: Tensor,
        t: Tensor,
        weight: Tensor | None,
        pos_weight: Tensor | None,
        loss: _Fixed,
        reduction: str,
    ) -> Tensor:
        ctx.loss, ctx.reduction = loss.loss, reduction
        grad = torch.empty_like(scores, memory_format=torch.contiguous_format)
        value = _sweep(loss, scores, t, weight, pos_weight, reduction, grad)
        ctx.save_for_backward(scores, t, weight, pos_weight, grad)
        return value

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        scores, t, weight, pos_weight, grad = ctx.saved_tensors
        if torch.is_grad_enabled():
            value = _reduced(_each(ctx.loss, scores, t, weight, pos_weight), ctx.reduction)
            (grad,) = torch.autograd.grad(value, scores, upstream, create_graph=True)
        elif graph_is_kept() or is_batched(upstream) or transforms_are_active():
            grad = grad * upstream
        elif not (upstream.dim() == 0 and upstream.is_cpu and upstream.item() == 1):
            grad.mul_(upstream)
        return grad, None, None, None, None, None


def _depends_on_p_alone(loss: Loss) -> bool:
    """True if one number added to all scores changes nothing: by a registered loss's claim, or by trying others."""
    claims = LOSSES[loss.name].claims if hasattr(loss, "name") else {}
    if "shift_invariant" in claims:
        return bool(claims["shift_invariant"])
    z = torch.linspace(-8, 8, 17, dtype=torch.float64, device="cpu")[:, None].expand(17, 2).clone()
    z[:, 0] = 0.0
    return torch.allclose(loss.per_class(z), loss.per_class(z - z.mean(1, keepdim=True)), rtol=1e-9, atol=1e-12)
