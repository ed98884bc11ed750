"""SOP: sparse over-parameterisation of each sample's label noise."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noiseproof import rng
from noiseproof.errors import in_range
from noiseproof.methods.base import METHODS, Batch, Group, Method, Task

__all__ = ["SOP", "SOPPlus"]

_FLOOR = 1e-4  # of q, as published
_INIT = 1e-8  # standard deviation of u and v at the start


def sop_terms(logits: Tensor, given: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """The loss of a batch, and q, the prediction with the modelled noise added.

    U = clamp(u^2 e_y), V = clamp(v^2 (1 - e_y)), q = p + U - V normalised; with h the one-hot prediction the loss is
    mean -ln q_y + mean |h + U - V - e_y|^2. V is constant in q, so v learns from the square alone.

    Args:
        logits: (B, K).
        given: (B,).
        u, v: (B, 1) and (B, K), of the batch's samples.
    """
    p = (logits if logits.dtype == torch.float64 else logits.float()).softmax(1)
    label = F.one_hot(given, p.shape[1]).to(p.dtype)
    added = (u.square() * label).clamp(0, 1)
    removed = (v.square() * (1 - label)).clamp(0, 1)
    q = (p + added - removed.detach()).clamp_min(_FLOOR)
    q = (q / q.sum(1, keepdim=True)).clamp(_FLOOR, 1)
    predicted = F.one_hot(p.argmax(1), p.shape[1]).to(p.dtype)
    fit = -(label * q.log()).sum(1).mean()
    square = (predicted + added - removed - label).square().sum() / len(p)
    return fit + square, q


_SETTINGS = {
    "cifar10": "lr_u=10, lr_v=10",
    "cifar100": "lr_u=1, lr_v=10 (asymmetric: 0.1, 100)",
    "cifar10n, cifar100n": "10, 10 and 1, 10",
}


@METHODS.register("sop", paper="arXiv:2202.14026", cost=1.0, settings=_SETTINGS)
class SOP(Method):
    """Sparse over-parameterisation: u_i and v_i of each sample model the noise of its label.

    Args:
        lr_u, lr_v: learning rates of u (N, 1) and v (N, K): plain SGD, constant, without momentum or decay.

    Source: Liu et al., ICML 2022 (arXiv:2202.14026), eq. 3 and 5; shengliu66/SOP.
    """

    def __init__(self, lr_u: float = 10.0, lr_v: float = 10.0) -> None:
        super().__init__("ce")
        self.lr_u, self.lr_v = in_range("lr_u", lr_u, 0), in_range("lr_v", lr_v, 0)

    def setup(self, task: Task) -> None:
        generator = rng.generator(task.seed, "method", "sop")
        u, v = (torch.randn(task.samples, width, generator=generator) * _INIT for width in (1, task.classes))
        self.u, self.v = nn.Parameter(u.to(task.device)), nn.Parameter(v.to(task.device))

    def groups(self) -> list[Group]:
        return [Group([self.u], self.lr_u), Group([self.v], self.lr_v)]

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = batch.logits()
        value, _ = sop_terms(logits, batch.given, self.u[batch.index], self.v[batch.index])
        return value, logits


@METHODS.register("sop-plus", paper="arXiv:2202.14026", cost=2.0, settings=_SETTINGS)
class SOPPlus(SOP):
    """SOP with consistency of two augmented views and a class balance term.

    Adds consistency mean KL(p(view 1) || p(view 2)), the first constant, and -balance mean_k ln mean_B q_k.

    Args:
        lr_u, lr_v: as in SOP.
        consistency, balance: factors of the two terms.

    Source: Liu et al., ICML 2022 (arXiv:2202.14026), section 4; shengliu66/SOP.
    """

    views = 2

    def __init__(self, lr_u: float = 10.0, lr_v: float = 10.0, consistency: float = 0.9, balance: float = 0.1) -> None:
        super().__init__(lr_u, lr_v)
        self.consistency, self.balance = in_range("consistency", consistency, 0), in_range("balance", balance, 0)

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits, other = batch.logits(), batch.logits(view=1)
        value, q = sop_terms(logits, batch.given, self.u[batch.index], self.v[batch.index])
        log_p = logits.detach().float().log_softmax(1)
        consistency = F.kl_div(other.float().log_softmax(1), log_p, log_target=True, reduction="batchmean")
        balance = -q.mean(0).clamp_min(_FLOOR).log().mean()
        return value + self.consistency * consistency + self.balance * balance, logits
