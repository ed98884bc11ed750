"""The losses as published code usually writes them: softmax, one-hot labels, products, mean.

What `noiseproof bench losses` compares with; restated here from the formulas, for speed and memory only.
"""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from noiseproof.losses import Loss

__all__ = ["usual_loss"]

_SMALL = 1e-8


def usual_loss(loss: Loss) -> Callable[[Tensor, Tensor], Tensor]:
    """A loss of the registry, or a sum of them, written the usual way."""
    parts = [(factor, _WAYS[term.name], term) for factor, term in loss.terms()]

    def value(scores: Tensor, target: Tensor) -> Tensor:
        return torch.stack([factor * way(scores, target, term) for factor, way, term in parts]).sum()

    return value


def _p_and_label(scores: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return scores.softmax(1).clamp(_SMALL, 1.0), F.one_hot(target, scores.shape[1]).float()


def _ce(scores: Tensor, target: Tensor, loss: Any) -> Tensor:
    return F.cross_entropy(scores, target)


def _mae(scores: Tensor, target: Tensor, loss: Any) -> Tensor:
    p, label = _p_and_label(scores, target)
    return 2 * (1 - (label * p).sum(1)).mean()


def _rce(scores: Tensor, target: Tensor, loss: Any) -> Tensor:
    p, label = _p_and_label(scores, target)
    return -(p * label.clamp(1e-4, 1.0).log()).sum(1).mean()


def _sce(scores: Tensor, target: Tensor, loss: Any) -> Tensor:
    return loss.alpha * _ce(scores, target, loss) + loss.beta * _rce(scores, target, loss)


def _gce(scores: Tensor, target: Tensor, loss: Any) -> Tensor:
    p, label = _p_and_label(scores, target)
    return ((1 - (label * p).sum(1) ** loss.q) / loss.q).mean()


def _agce(scores: Tensor, target: Tensor, loss: Any) -> Tensor:
    p, label = _p_and_label(scores, target)
    return (((loss.a + 1) ** loss.q - (loss.a + (label * p).sum(1)) ** loss.q) / loss.q).mean()


def _nce(scores: Tensor, target: Tensor, loss: Any) -> Tensor:
    log_p = scores.log_softmax(1)
    label = F.one_hot(target, scores.shape[1]).float()
    return ((label * log_p).sum(1) / log_p.sum(1)).mean()


def _nfl(scores: Tensor, target: Tensor, loss: Any) -> Tensor:
    log_p = scores.log_softmax(1)
    label = F.one_hot(target, scores.shape[1]).float()
    terms = (1 - log_p.exp().detach()) ** loss.gamma * log_p
    return ((label * terms).sum(1) / terms.sum(1)).mean()


def _amse(scores: Tensor, target: Tensor, loss: Any) -> Tensor:
    p, label = scores.softmax(1), F.one_hot(target, scores.shape[1]).float()
    return ((p - loss.a * label) ** 2).mean()


def _nnce(scores: Tensor, target: Tensor, loss: Any) -> Tensor:
    p = scores.softmax(1).clamp(loss.p_min, 1.0)
    label = F.one_hot(target, scores.shape[1]).float()
    above = p.log() - math.log(loss.p_min)
    return (1 - (label * above).sum(1) / above.sum(1)).mean()


def _nnfl(scores: Tensor, target: Tensor, loss: Any) -> Tensor:
    p = scores.softmax(1).clamp(loss.p_min, 1.0)
    label = F.one_hot(target, scores.shape[1]).float()
    highest = -((1 - loss.p_min) ** loss.gamma) * math.log(loss.p_min)
    above = highest + (1 - p.detach()) ** loss.gamma * p.log()
    return (1 - (label * above).sum(1) / above.sum(1)).mean()


_WAYS: dict[str, Callable[[Tensor, Tensor, Any], Tensor]] = {
    "ce": _ce,
    "mae": _mae,
    "rce": _rce,
    "sce": _sce,
    "gce": _gce,
    "agce": _agce,
    "nce": _nce,
    "nfl": _nfl,
    "amse": _amse,
    "nnce": _nnce,
    "nnfl": _nnfl,
}
