"""JoCoR: two networks that must agree, trained on samples of small joint loss."""

from __future__ import annotations

from torch import Tensor

from noiseproof.errors import in_range
from noiseproof.losses import Loss
from noiseproof.methods.base import METHODS, Batch, per_sample
from noiseproof.methods.two_networks import Peers, smallest

__all__ = ["JoCoR", "joint_losses"]


def joint_losses(one: Tensor, other: Tensor, losses: Tensor, lam: float) -> Tensor:
    """(1 - lam) (L1 + L2) + lam (KL(p2 || p1) + KL(p1 || p2)) of each sample, (B,).

    Args:
        one, other: logits of the two networks.
        losses: L1 + L2, (B,).
        lam: weight of the agreement.
    """
    log_p, log_q = (
        each.log_softmax(1) if each.dtype.itemsize >= 4 else each.float().log_softmax(1) for each in (one, other)
    )
    agreement = ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(1)  # the two divergences together
    return (1 - lam) * losses + lam * agreement


@METHODS.register(
    "jocor",
    paper="arXiv:2003.02752",
    cost=2.1,
    settings={"cifar10": "lam=0.9 (symmetric .8: 0.65)", "cifar100": "lam=0.85"},
)
class JoCoR(Peers):
    """JoCoR: both networks train on the (1 - f) B samples with the smallest joint loss, agreement included.

    Args:
        lam: weight of the agreement, from 0 to 1.

    Source: Wei et al., CVPR 2020 (arXiv:2003.02752), eq. 1 to 4.
    """

    def __init__(
        self,
        loss: str | Loss = "ce",
        forget_rate: float | str = "estimated",
        lam: float = 0.9,
        ramp: float = 10,
        warmup: float = 0.1,
    ) -> None:
        super().__init__(loss, forget_rate, ramp, warmup)
        self.lam = in_range("lam", lam, 0, 1)

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = self.both(batch)
        losses = sum(per_sample(self.loss, each, batch.given) for each in logits)
        joint = joint_losses(*logits, losses, self.lam)  # type: ignore[arg-type]
        return joint[smallest(joint, self.kept(batch.epoch, len(joint)))].mean(), logits[0]
