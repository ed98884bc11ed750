"""Value and gradient of a loss in one call, outside autograd."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd.graph import increment_version

from noiseproof.losses import _kernels
from noiseproof.losses._kernels.context import small_graph
from noiseproof.losses.base import Loss

__all__ = ["value_and_grad"]


def value_and_grad(
    loss: Loss, logits: Tensor, target: Tensor, *, upstream: Tensor | None = None, inplace: bool = False
) -> tuple[Tensor, Tensor]:
    """The loss and its gradient on the scores at once, outside autograd.

    Args:
        loss: any loss.
        logits: (N, K) scores.
        target: (N,) class indices, or (N, K) probabilities.
        upstream: factor of the gradient: a scalar, or one a row under reduction="none".
        inplace: the gradient overwrites the scores, so that no second (N, K) tensor is needed.

    Raises:
        TypeError, ValueError: `upstream` has another type, shape or device.
        RuntimeError: the scores cannot be overwritten, because they overlap in memory.

    Example:
        >>> from noiseproof import losses
        >>> logits, y = torch.zeros(1, 2), torch.tensor([0])
        >>> value, grad = value_and_grad(losses.parse("mae"), logits, y, inplace=True)
        >>> value.item(), grad.tolist()                               # 2 (1 - p_y), 2 p_y (p - e_y)
        (1.0, [[-0.5, 0.5]])
        >>> logits.tolist()                                           # overwritten
        [[-0.5, 0.5]]
    """
    if upstream is not None:
        upstream = _checked(upstream, loss, logits)
    if inplace:
        _check_writable(logits)
    logits = logits.detach()
    target = _apart(target.detach(), logits, inplace)
    if upstream is not None:
        upstream = _apart(upstream, logits, inplace)
    prepared = _kernels.prepare(loss, logits, target) if _kernels.are_plain(logits, target) else None
    if prepared is not None:
        scores, labels, weight, call, kernel = prepared
        if weight is not None:
            weight = _apart(weight, logits, inplace)
        grad = scores if inplace and scores is logits else torch.empty_like(scores)
        value = kernel.run(call, scores, labels, weight, grad, upstream)
        if value is not None:
            if not inplace:
                return value, grad
            if grad is not logits:
                return value, logits.copy_(grad)
            if not logits.is_inference():
                increment_version(logits)
            return value, logits
    with small_graph():
        leaf = logits.clone().requires_grad_()
        value = loss.formula(leaf, target.clone())
        ones = torch.ones_like(value)
        (grad,) = torch.autograd.grad(value, leaf, ones if upstream is None else (ones * upstream).to(value.dtype))
    return value.detach(), logits.copy_(grad) if inplace else grad


def _checked(upstream: Tensor, loss: Loss, logits: Tensor) -> Tensor:
    if not isinstance(upstream, Tensor) or not upstream.is_floating_point():
        kind = upstream.dtype if isinstance(upstream, Tensor) else type(upstream).__name__
        raise TypeError(f"upstream must be a floating-point tensor, got {kind}")
    rows = logits.shape[:1] + logits.shape[2:] if loss.reduction == "none" and logits.dim() > 1 else ()
    if upstream.shape not in ((), rows):
        wanted = f"{tuple(rows)} or ()" if rows else "()"
        raise ValueError(
            f"upstream must have the shape {wanted} under reduction={loss.reduction!r}, got {tuple(upstream.shape)}"
        )
    if upstream.device != logits.device:
        raise ValueError(f"upstream must be on the device of the scores, {logits.device}, got {upstream.device}")
    return upstream.detach()


def _check_writable(logits: Tensor) -> None:
    """Refuse what torch's own in-place operators refuse."""
    if logits.is_inference():
        logits.detach()[:0].mul_(1)  # raises outside inference mode
    if _overlaps(logits):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory location. "
            "Please clone() the tensor before performing the operation."
        )


def _overlaps(tensor: Tensor) -> bool:
    """True if two elements share memory: some stride is smaller than what the smaller ones span."""
    span = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size > 1 and stride < span:
            return True
        span = max(span, stride * (size - 1) + span)
    return False


def _apart(tensor: Tensor, logits: Tensor, inplace: bool) -> Tensor:
    """The tensor, or a copy where the gradient would overwrite it."""
    if inplace and tensor.device == logits.device and _storage(tensor) == _storage(logits):
        return tensor.clone()
    return tensor


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr() if type(tensor) in (Tensor, torch.nn.Parameter) else id(tensor)
