"""Ways to suspect a label before training: neighbours' votes, out-of-sample probabilities, margins while training."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from noiseproof import rng
from noiseproof.errors import InputError, in_range
from noiseproof.features import vectors
from noiseproof.losses import Loss
from noiseproof.methods.base import Batch, Method, Task, epochs_of
from noiseproof.methods.plain import Plain
from noiseproof.methods.transition_estimates import confident_counts, nearest, out_of_sample
from noiseproof.registry import Registry
from noiseproof.text import parse_call

__all__ = ["SUSPECTS", "Suspect", "SuspectMethod", "Verdict", "neighbour_votes", "suspect_of"]

Verdict = Generator[None, None, tuple[Tensor, Tensor]]


class Suspect:
    """A way to suspect labels."""

    name: ClassVar[str]

    def look(self, task: Task) -> Verdict:
        """True where a label is suspect, bool (N,), and the likeliest label of each sample, int64 (N,)."""
        raise NotImplementedError

    def __str__(self) -> str:
        return SUSPECTS.write(self)


SUSPECTS: Registry[Suspect] = Registry("way to suspect labels", "methods")


def suspect_of(text: str | Suspect, **more: Any) -> Suspect:
    """The way that a text names: `knn`, `knn(k=20)`, `aum`, `confident(folds=5)`.

    Args:
        text: the way.
        more: parameters that were written beside it; those that are None were not.
    """
    if isinstance(text, Suspect):
        return text
    if not isinstance(text, str):
        raise InputError(f"by must be one of {', '.join(SUSPECTS.names())}, got {text!r}")
    call = parse_call(text, nested=True)
    more = {key: value for key, value in more.items() if value is not None}
    return SUSPECTS[call.name].build(replace(call, named=(*call.named, *more.items())))


class SuspectMethod(Method):
    """Base of the methods that look for suspect labels before training.

    Args:
        loss: of each sample.
        by: knn, confident or aum, with parameters: by=knn(k=20).
        k, folds: of `by`, written beside it: by=knn, k=20.
    """

    positional: ClassVar[str] = "by"

    def __init__(
        self, loss: str | Loss = "ce", by: str | Suspect = "knn", k: int | None = None, folds: int | None = None
    ) -> None:
        super().__init__(loss)
        self.by, self.k, self.folds = suspect_of(by, k=k, folds=folds), None, None


def neighbour_votes(features: Tensor, given: Tensor, classes: int, k: int) -> Tensor:
    """Votes of the k nearest neighbours by cosine, the sample itself among them, weighted by similarity; (N, K).

    The sample's own distance to itself is taken as 2 d_1 - d_2 of its two nearest neighbours, at least 0.

    Source: Zhu et al., ICML 2022 (arXiv:2110.06283), section 3.
    """
    units, labels = F.normalize(features.float().cpu()), given.cpu()
    others = nearest(units, max(2, k - 1))
    similar = torch.cat(
        [
            (units[start : start + 512, None] * units[others[start : start + 512]]).sum(2)
            for start in range(0, len(units), 512)
        ]
    )
    own = 1 - (2 * (1 - similar[:, 0]) - (1 - similar[:, 1])).clamp_min(0)
    votes = torch.zeros(len(units), classes).scatter_add_(1, labels[others[:, : k - 1]], similar[:, : k - 1])
    return votes.scatter_add_(1, labels[:, None], own[:, None])


@SUSPECTS.register("knn")
class KNN(Suspect):
    """Votes of the k nearest neighbours in frozen features, the sample itself among them (SimiFeat-V).

    Args:
        k: neighbours, from 3 on.
    """

    def __init__(self, k: int = 10) -> None:
        self.k = int(in_range("k", k, 3))

    def look(self, task: Task) -> Verdict:
        features = torch.from_numpy(vectors(task.inputs))
        votes = neighbour_votes(features, task.given, task.classes, min(self.k, task.samples - 1))
        likely = votes.argmax(1).to(task.device)
        return likely != task.given, likely
        yield


@SUSPECTS.register("confident")
class Confident(Suspect):
    """Confident learning: as many samples of each off-diagonal cell of the confident joint, least plausible first.

    Args:
        folds: networks, each trained without one part of the samples.
        epochs: of each network, or below 1 the share of the training.

    Source: Northcutt et al., JAIR 2021 (arXiv:1911.00068), prune by noise rate.
    """

    def __init__(self, folds: int = 5, epochs: float = 0.25) -> None:
        self.folds, self.epochs = int(in_range("folds", folds, 2, 100)), in_range("epochs", epochs, 0, above=True)

    def look(self, task: Task) -> Verdict:
        p = yield from out_of_sample(task, self.epochs, self.folds)
        counts = confident_counts(p, task.given).round().long()
        suspect = torch.zeros(task.samples, dtype=torch.bool, device=task.device)
        own = p.gather(1, task.given[:, None]).squeeze(1)
        for given in range(task.classes):
            members = (task.given == given).nonzero().squeeze(1)
            for true in range(task.classes):
                number = int(counts[given, true])
                if true != given and number:
                    margin = p[members, true] - own[members]
                    suspect[members[margin.argsort(descending=True, stable=True)[:number]]] = True
        return suspect, p.argmax(1)


class _Margins(Plain):
    """The plain method, which adds up each sample's margin z_y - max of the others as it trains."""

    captures = False

    def setup(self, task: Task) -> None:
        self.register_buffer("margins", torch.zeros(task.samples, device=task.device))
        self.register_buffer("visits", torch.zeros(task.samples, device=task.device))

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        value, logits = super().objective(batch)
        z = logits.detach().float()
        own = z.gather(1, batch.given[:, None])
        rest = z.scatter(1, batch.given[:, None], -torch.inf).amax(1)
        self.margins[batch.index] += own.squeeze(1) - rest  # type: ignore[index,operator]
        self.visits[batch.index] += 1  # type: ignore[index,operator]
        return value, logits


@SUSPECTS.register("aum")
class AUM(Suspect):
    """Area under the margin: the mean of z_y - max of the others over a first training, low where a label is wrong.

    The threshold is the 99th percentile of samples that were given an extra class on purpose, N / (K + 1) of them; two
    trainings, each with other such samples, judge all.

    Args:
        epochs: of each training, or below 1 the share of the training.

    Source: Pleiss et al., NeurIPS 2020 (arXiv:2001.10528), section 3.
    """

    def __init__(self, epochs: float = 0.5) -> None:
        self.epochs = in_range("epochs", epochs, 0, above=True)

    def look(self, task: Task) -> Verdict:
        epochs = max(1, epochs_of("epochs", self.epochs, task.epochs))
        order = torch.from_numpy(rng.permutation(task.samples, task.seed, "method", "aum")).to(task.device)
        size = max(1, task.samples // (task.classes + 1))
        suspect = torch.zeros(task.samples, dtype=torch.bool, device=task.device)
        logits = torch.zeros(task.samples, task.classes, device=task.device)
        for turn in range(2):
            planted = order[turn * size : (turn + 1) * size]
            given = task.given.clone()
            given[planted] = task.classes
            trained = yield from task.train(_Margins(), epochs, given=given)
            method = trained.method
            assert isinstance(method, _Margins)
            aum = method.margins / method.visits.clamp_min(1)  # type: ignore[operator,arg-type]
            threshold = aum[planted].quantile(0.99)
            judged = order[turn * size :] if turn == 0 else order[:size]
            judged = judged[~torch.isin(judged, planted)]
            suspect[judged] = aum[judged] < threshold
            logits += trained.outputs.logits[:, : task.classes]
        return suspect, logits.argmax(1)
