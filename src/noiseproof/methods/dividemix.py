"""DivideMix: two networks, each dividing the samples for the other, and MixMatch on the two parts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from noiseproof.errors import InputError, in_range
from noiseproof.losses import Loss
from noiseproof.methods.base import METHODS, Batch, Method, Outputs, Pass, Task, epochs_of, per_sample
from noiseproof.methods.mixup import draw_mix, mix
from noiseproof.models import Network

__all__ = ["DivideMix", "clean_probability", "negative_entropy", "sharpen"]


def sharpen(q: Tensor, temperature: float = 0.5) -> Tensor:
    """q^(1/T), normalised.

    Example:
        >>> sharpen(torch.tensor([[0.75, 0.25]])).tolist()                # 9 : 1
        [[0.89..., 0.1...]]
    """
    powers = q.pow(1 / temperature)
    return powers / powers.sum(1, keepdim=True)


def negative_entropy(logits: Tensor) -> Tensor:
    """mean sum_k p_k ln p_k: keeps a warm-up from becoming too sure of wrong labels."""
    log_p = (logits if logits.dtype == torch.float64 else logits.float()).log_softmax(1)
    return (log_p.exp() * log_p).sum(1).mean()


def clean_probability(losses: Tensor, *, seed: int = 0) -> Tensor:
    """Posterior of the component of smaller mean in a mixture of two Gaussians of min-max scaled losses, (N,)."""
    from sklearn.mixture import GaussianMixture

    values = losses.double().cpu().numpy()
    span = values.max() - values.min()
    scaled = ((values - values.min()) / (span if span > 0 else 1.0))[:, None]
    if not np.isfinite(scaled).all() or span == 0:
        return torch.ones(len(values))
    mixture = GaussianMixture(2, max_iter=10, tol=1e-2, reg_covar=5e-4, random_state=seed)
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ten iterations need not converge
        mixture.fit(scaled)
    return torch.from_numpy(mixture.predict_proba(scaled)[:, mixture.means_.argmin()]).float()


@METHODS.register(
    "dividemix",
    paper="arXiv:2002.07394",
    cost=10.0,
    settings={
        "cifar10": "lambda_u=0 (symmetric .5: 25, .9: 50), warmup=10 of 300 epochs; batch 64, lr .02, decay 5e-4",
        "cifar100": "lambda_u=25 (symmetric .2), 150 (from .5), warmup=30",
        "webvision, clothing1m": "lambda_u=0, alpha=0.5, warmup=1",
    },
)
class DivideMix(Method):
    """DivideMix: after a warm-up, MixMatch with the likely clean samples as labelled and the others as unlabelled.

    Each epoch a mixture of two Gaussians of each network's losses gives w_i = P(clean); network 1 trains on network
    2's division and the other way round, one after the other. Labelled targets are refined by w_i, unlabelled ones
    guessed by both networks on two views, in evaluation mode. The sum of both logits predicts.

    Args:
        loss: of the warm-up.
        lambda_u: factor of the unlabelled squares.
        threshold: a sample is labelled where w_i exceeds it.
        warmup: epochs on given labels first, or below 1 their share.
        alpha: of the Beta distribution of the mixing.
        rampup: epochs over which lambda_u grows.
        penalty: factor of mean sum_k p_k ln p_k in the warm-up; published as 1 where noise is known to be asymmetric.

    Source: Li et al., ICLR 2020 (arXiv:2002.07394), algorithm 1 and eq. 5 to 12; LiJunnan1992/DivideMix.
    """

    networks = 2
    combination = "sum of logits"
    views = 2

    def __init__(
        self,
        loss: str | Loss = "ce",
        lambda_u: float = 0.0,
        threshold: float = 0.5,
        warmup: float = 10,
        alpha: float = 4.0,
        rampup: float = 16,
        penalty: float = 0.0,
    ) -> None:
        super().__init__(loss)
        self.lambda_u, self.threshold = in_range("lambda_u", lambda_u, 0), in_range("threshold", threshold, 0, 1)
        self.warmup, self.alpha = in_range("warmup", warmup, 0, above=True), in_range("alpha", alpha, 0, above=True)
        self.rampup, self.penalty = in_range("rampup", rampup, 0), in_range("penalty", penalty, 0)

    def setup(self, task: Task) -> None:
        self.first = max(1, epochs_of("warmup", self.warmup, task.epochs))
        self.ramp = epochs_of("rampup", self.rampup, task.epochs)
        self.given, self.classes, self.seed = task.given, task.classes, task.seed
        if task.samples < 4:
            raise InputError("dividemix needs at least 4 samples to divide")
        self.register_buffer("clean", torch.ones(2, task.samples, device=task.device))

    def plan(self, order: Tensor, batch_size: int, epoch: int) -> list[Pass]:
        if epoch < self.first:
            return [Pass(torch.split(order, batch_size), network) for network in range(2)]
        passes = []
        for network in range(2):
            w = self.clean[1 - network][order]  # type: ignore[index]
            labelled, rest = order[w > self.threshold], order[w <= self.threshold]
            if not len(labelled):  # nobody is called clean: those that come nearest
                labelled = order[w.argsort(descending=True, stable=True)[:batch_size]]
            parts = list(torch.split(labelled, batch_size))
            if len(parts) > 1 and len(parts[-1]) < 2:
                parts.pop()
            if len(rest):  # as many unlabelled ones beside each labelled batch, from the start again where they end
                rest = rest.repeat(-(-len(labelled) // len(rest)) + 1)
                starts = np.cumsum([0, *map(len, parts)])
                parts = [
                    torch.cat([part, rest[start : start + len(part)]])
                    for part, start in zip(parts, starts, strict=False)
                ]
            passes.append(Pass(parts, network))
        return passes

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        number = batch.network or 0
        if batch.epoch < self.first:
            logits = batch.logits(number)
            value = self.loss(logits, batch.given)
            return value + self.penalty * negative_entropy(logits) if self.penalty else value, logits
        w = self.clean[1 - number][batch.index]  # type: ignore[index]
        labelled = w > self.threshold
        if not labelled.any():
            labelled = torch.ones_like(labelled)
        targets = self._targets(batch, number, labelled, w)
        first = torch.cat([view[labelled] for view in batch.views] + [view[~labelled] for view in batch.views])
        known = int(labelled.sum()) * 2
        wanted = torch.cat([targets[labelled]] * 2 + [targets[~labelled]] * 2)
        share, partner = draw_mix(batch.draw(), len(first), self.alpha, mostly_own=True)
        logits = batch.networks[number](mix(first, share, partner)).float()
        wanted = mix(wanted, share, partner)
        value = -(wanted[:known] * logits[:known].log_softmax(1)).sum(1).mean()
        p = logits.softmax(1)
        if known < len(first) and self.lambda_u:
            grown = min(1.0, max(0.0, (batch.epoch - self.first) / self.ramp)) if self.ramp else 1.0
            value = value + self.lambda_u * grown * (p[known:] - wanted[known:]).square().mean()
        value = value - (p.mean(0).clamp_min(1e-12) * self.classes).log().mean()
        return value, self._seen(logits, partner, labelled, len(batch.given))

    def _targets(self, batch: Batch, number: int, labelled: Tensor, w: Tensor) -> Tensor:
        """Refined labels of the labelled part, guesses of both networks for the rest."""
        with torch.no_grad():
            training = [module.training for module in batch.modules]
            for module in batch.modules:
                module.eval()
            p = [[batch.logits(network, view).float().softmax(1) for view in range(2)] for network in range(2)]
            for module, was in zip(batch.modules, training, strict=True):
                module.train(was)
            own = (p[number][0] + p[number][1]) / 2
            both = (p[0][0] + p[0][1] + p[1][0] + p[1][1]) / 4
            label = F.one_hot(batch.given, self.classes).float()
            refined = w[:, None] * label + (1 - w[:, None]) * own
            return sharpen(torch.where(labelled[:, None], refined, both))

    def _seen(self, logits: Tensor, partner: Tensor, labelled: Tensor, count: int) -> Tensor:
        """Logits of the mixed inputs in the batch's order, for the count of given labels predicted."""
        seen = torch.empty(count, self.classes, device=logits.device)
        known = int(labelled.sum())
        seen[labelled] = logits.detach()[:known]
        seen[~labelled] = logits.detach()[2 * known : 2 * known + count - known]
        return seen

    def wants_outputs(self, epoch: int) -> bool:
        return epoch + 1 >= self.first

    def epoch_end(self, epoch: int, outputs: Sequence[Outputs], networks: Sequence[Network]) -> None:
        if self.wants_outputs(epoch):
            for number, each in enumerate(outputs):
                losses = per_sample(self.loss, each.logits, self.given)
                self.clean[number].copy_(clean_probability(losses, seed=self.seed))  # type: ignore[index]
