"""CORES2: confidence regularised sample sieve."""

from __future__ import annotations

import torch
from torch import Tensor

from noiseproof.errors import in_range
from noiseproof.losses import Loss
from noiseproof.methods.base import METHODS, Batch, Method, Task, epochs_of, per_sample

__all__ = ["CORES2"]

_FLOOR = 1e-8  # inside the logarithm of the regulariser, as published


@METHODS.register(
    "cores2",
    paper="arXiv:2010.02347",
    cost=1.0,
    neutral="cores2(beta=0, sieve=1000000)",
    settings={
        "cifar10, cifar100": "beta=2, warmup=10, ramp=30, sieve=30 of 100 epochs; ResNet-34, SGD without momentum"
    },
)
class CORES2(Method):
    """Confidence-regularised sieve: L_i - beta(e) sum_k pi_k (-ln p_ik), over samples that the sieve keeps.

    beta is 0 for `warmup` epochs, rises linearly for `ramp`, then stays. After `sieve` epochs a sample is kept in a
    batch where L_i - mean_k(-ln p_ik) <= 0. pi are the shares of given labels, without those dropped in the epoch
    before.

    Args:
        loss: L, of each sample.
        beta: final factor.
        warmup, ramp, sieve: epochs, or below 1 shares of the training.

    Source: Cheng et al., ICLR 2021 (arXiv:2010.02347), eq. 3 and 5; UCSC-REAL/cores.
    """

    def __init__(
        self,
        loss: str | Loss = "ce",
        beta: float = 2.0,
        warmup: float = 10,
        ramp: float = 30,
        sieve: float = 30,
    ) -> None:
        super().__init__(loss)
        self.beta = in_range("beta", beta, 0)
        self.warmup, self.ramp = in_range("warmup", warmup, 0), in_range("ramp", ramp, 0)
        self.sieve = in_range("sieve", sieve, 0)

    def setup(self, task: Task) -> None:
        self.spans = [epochs_of(name, getattr(self, name), task.epochs) for name in ("warmup", "ramp", "sieve")]
        counts = task.given.bincount(minlength=task.classes).float()
        self.register_buffer("counts", counts)
        self.register_buffer("prior", counts / counts.sum())
        self.register_buffer("dropped", torch.zeros_like(counts))

    def factor(self, epoch: int) -> float:
        """beta of an epoch, from 0.

        Example:
            >>> method = CORES2(warmup=10, ramp=30, sieve=30)
            >>> method.spans = [10, 30, 30]
            >>> [round(method.factor(epoch), 4) for epoch in (9, 20, 25, 39)]
            [0.0, 0.6897, 1.0345, 2.0]
        """
        warmup, ramp, _ = self.spans
        return self.beta * min(1.0, max(0.0, (epoch - warmup) / max(ramp - 1, 1)))

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits, epoch = batch.logits(), int(batch.epoch)
        beta, sieving = self.factor(epoch), epoch > self.spans[2]
        if not beta and not sieving:
            return self.loss(logits, batch.given), logits
        losses = per_sample(self.loss, logits, batch.given)
        others = -(logits.float().softmax(1) + _FLOOR).log()
        value = losses - beta * (others * self.prior).sum(1)  # type: ignore[operator]
        if not sieving:
            return value.mean(), logits
        kept = (losses - others.mean(1)).detach() <= 0
        if not batch.again:
            lost = torch.zeros_like(self.dropped).index_add_(0, batch.given, (~kept).float())  # type: ignore[arg-type]
            self.dropped.add_(lost)  # type: ignore[operator]
        return (value * kept).sum() / kept.sum().clamp_min(1), logits

    def epoch_end(self, epoch: int, outputs: object, networks: object) -> None:
        left = (self.counts - self.dropped).clamp_min(0)  # type: ignore[operator]
        self.prior.copy_(left / left.sum().clamp_min(1))  # type: ignore[operator]
        self.dropped.zero_()  # type: ignore[operator]
