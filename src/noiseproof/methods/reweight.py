"""Importance reweighting by the transition matrix."""

from __future__ import annotations

from torch import Tensor

from noiseproof.methods.base import METHODS, Batch, per_sample
from noiseproof.methods.forward import Corrected, through

__all__ = ["Reweight", "importance"]


def importance(logits: Tensor, given: Tensor, matrix: Tensor) -> Tensor:
    """p_y / (p T)_y of each sample, (B,).

    Source: Liu & Tao, TPAMI 2016 (arXiv:1411.7718); Xia et al., NeurIPS 2019 (arXiv:1906.00189), eq. 2.
    """
    log_p = logits.log_softmax(1) if logits.dtype.itemsize >= 4 else logits.float().log_softmax(1)
    return (log_p - through(logits, matrix)).gather(1, given[:, None]).squeeze(1).exp()


@METHODS.register("reweight", paper="arXiv:1411.7718", cost=1.1)
class Reweight(Corrected):
    """Importance reweighting: mean of p_y / (p T)_y times the loss, the weight constant in the gradient.

    Source: Liu & Tao, TPAMI 2016 (arXiv:1411.7718).
    """

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = batch.logits()
        weight = importance(logits, batch.given, self.matrix).detach()  # type: ignore[arg-type]
        return (weight * per_sample(self.loss, logits, batch.given)).mean(), logits
