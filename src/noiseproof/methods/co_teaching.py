"""Co-teaching: each of two networks chooses the small-loss samples for the other."""

from __future__ import annotations

from torch import Tensor

from noiseproof.methods.base import METHODS, Batch, per_sample
from noiseproof.methods.two_networks import Peers

__all__ = ["CoTeaching"]


@METHODS.register(
    "co-teaching",
    paper="arXiv:1804.06872",
    cost=2.1,
    settings={"cifar10, cifar100": "forget rate = noise rate (asymmetric r: r/2), ramp=10 of 200 epochs; Adam 1e-3"},
)
class CoTeaching(Peers):
    """Co-teaching: two networks, each trained on the (1 - f) B samples of a batch with the smallest loss for its peer.

    f grows linearly to the forget rate. Means are over the kept samples. The mean of both predictions predicts.

    Source: Han et al., NeurIPS 2018 (arXiv:1804.06872), algorithm 1.
    """

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = self.both(batch)
        losses = [per_sample(self.loss, each, batch.given) for each in logits]
        return self.crosswise(losses, self.kept(batch.epoch, len(batch.given))), logits[0]
