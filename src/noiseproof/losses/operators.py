"""Operators on any loss, written around its text: `sym(nce + mae)`, `logit-bias(mae, eps=2)`."""

from __future__ import annotations

from typing import ClassVar, Unpack

import torch
from torch import Tensor

from noiseproof.errors import InputError, in_range
from noiseproof.losses.base import LOSSES, Logits, Loss, Options, PerClass, parse

__all__ = ["LogitBias", "Normalized", "Symmetrised", "with_bias"]


def _inner(loss: str | Loss) -> Loss:
    """The loss that an operator works on; it has no options of its own."""
    found = parse(loss) if isinstance(loss, str) else loss
    if not isinstance(found, Loss):
        raise InputError(f"loss must be the text of a loss, such as gce(q=0.5); got {loss!r}")
    if found.options():
        raise InputError("weight, ignore_index, reduction and label_smoothing belong to the operator, not to its loss")
    return found


@LOSSES.register("sym", paper="arXiv:2605.20347", symmetric=True, active=False, bounded=False)
class Symmetrised(Loss):
    """Symmetrised loss: L_k minus its mean over all labels, so that the sum over labels is 0.

    Of cross-entropy it is mean_j z_j - z_k: linear in the scores and unbounded below, so scores must be bounded some
    other way (a normalised last layer).

    Source: arXiv:2605.20347.
    """

    positional: ClassVar[str] = "loss"

    def __init__(self, loss: str | Loss = "ce", **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.loss = _inner(loss)

    def per_class(self, logits: Logits) -> PerClass:
        values = self.loss.per_class(logits)
        masked = logits.isneginf()  # such classes are absent from the mean
        mean = values.masked_fill(masked, 0.0).sum(1, keepdim=True) / (~masked).sum(1, keepdim=True)
        return values - mean


@LOSSES.register("normalized", paper="arXiv:2006.13554", symmetric=True, active=False, bounded=True)
class Normalized(Loss):
    """Normalised loss: L_k divided by the sum of the losses of all labels, from 0 to 1; for L >= 0.

    `normalized(ce)` is NCE and `normalized(fl)` NFL up to rounding; those two are faster and exact where p is tiny.

    Source: Ma et al., ICML 2020 (arXiv:2006.13554), eq. 6.
    """

    positional: ClassVar[str] = "loss"

    def __init__(self, loss: str | Loss = "gce", **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.loss = _inner(loss)

    def per_class(self, logits: Logits) -> PerClass:
        values = self.loss.per_class(logits)
        endless = values.isposinf()  # of classes with the score -inf: they take the whole sum
        count = endless.sum(1, keepdim=True)
        finite = values.masked_fill(endless, 0.0)
        share = finite / finite.sum(1, keepdim=True).masked_fill(count > 0, 1.0)
        return torch.where(count > 0, endless.to(values.dtype) / count.clamp_min(1), share)


_MOST = 1 << 22  # scores that are raised at a time: there are K x K for each sample


def with_bias(loss: Loss, logits: Logits, eps: float) -> PerClass:
    """L_k at scores whose k-th is raised by eps, for every k; (N, K)."""
    rows = max(1, _MOST // logits.shape[1] ** 2)
    if len(logits) <= rows:
        return _with_bias(loss, logits, eps)
    return torch.cat([_with_bias(loss, part, eps) for part in torch.split(logits, rows)])


def _with_bias(loss: Loss, logits: Logits, eps: float) -> PerClass:
    count, classes = logits.shape
    raised = logits[:, None, :] + eps * torch.eye(classes, dtype=logits.dtype, device=logits.device)
    table: Tensor = loss.per_class(raised.reshape(count * classes, classes)).reshape(count, classes, classes)
    return table.diagonal(dim1=1, dim2=2)


@LOSSES.register("logit-bias", paper="arXiv:2306.05497", symmetric=False, active=False, bounded=True)
class LogitBias(Loss):
    """Logit bias: the loss with eps added to the given label's score; for training only.

    It lets losses that start flat with many classes, MAE above all, begin to learn. The paper's eps depends on the
    number of classes alone.

    Source: Ding et al., AAAI 2025 (arXiv:2306.05497). Its values of eps are not known here: the default is ours.
    """

    positional: ClassVar[str] = "loss"

    def __init__(self, loss: str | Loss = "mae", eps: float = 1.0, **options: Unpack[Options]) -> None:
        super().__init__(**options)
        self.loss = _inner(loss)
        self.eps = in_range("eps", eps, -1e4, 1e4)

    def per_class(self, logits: Logits) -> PerClass:
        return with_bias(self.loss, logits, self.eps)
