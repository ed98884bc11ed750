"""The learner for a data set, chosen by held-out given labels: the first in the list unless another is clearly better.

For a table the first is a blend: the mean of learners that together predict held-out given labels best.

No clean label is looked at. A robust learner that predicts true labels also agrees best with given ones, as long as
more labels are right than wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from noiseproof import rng
from noiseproof.errors import InputError
from noiseproof.learners.discriminant import fit_discriminant, out_of_fold
from noiseproof.learners.ensemble_weights import blend_weights
from noiseproof.learners.heads import Blend, Head, Kernel, Linear, logits, quantile_normal
from noiseproof.learners.noise_model import NoiseModel, fit_noise_model, softmax
from noiseproof.learners.robust_training import robust_head
from noiseproof.learners.trees import boosting, extra_trees, trees_of_boosting, trees_of_forest

__all__ = ["Candidate", "Choice", "choose", "folds_of"]

Vectors = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]
Array = npt.NDArray[np.float64]

_FOLDS = 5
_LARGE = 200  # samples a class from which on the discriminant is fitted again to its own posterior
_ROBUST = {"gce": "gce", "jal-ce": "nce + amse(a=30)", "nce+rce": "nce + rce"}
_HEADS = {**_ROBUST, "elr": "elr"}  # on frozen features
_RATES = (0.005, 0.02, 0.1)  # learning rates that every head on frozen features may choose from
_STEPS = 200  # at least, of a head on frozen features
_TRIED = 3000  # rows that a learning rate is chosen on
_FILTER = 100  # trees of the forest that says which rows boosting learns
_NETS = 3000  # rows from which on perceptrons are judged on one fold only


@dataclass(eq=False)
class Candidate:
    """A learner, judged on rows it has not seen.

    Attributes:
        name: as it is shown.
        logits: (N, K) of the rows that were judged, NaN elsewhere.
        head: trains on all rows.
        agreement: share of given labels that it predicts.
        seconds: that judging it took.
        parts: weights of the learners that a blend is made of.
        setting: parameters that held-out given labels chose for it.
    """

    name: str
    logits: Array
    head: Callable[[], Head]
    agreement: float = 0.0
    seconds: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    setting: str = ""


@dataclass(eq=False)
class Choice:
    """The chosen learner, trained on all rows.

    Attributes:
        head: logits whose softmax is the probability of each true class.
        name: of the learner.
        candidates: all, best first.
        noise: noise matrix and posterior by the chosen learner's held-out scores.
        reason: one sentence.
    """

    head: Head
    name: str
    candidates: list[Candidate]
    noise: NoiseModel
    reason: str
    notes: list[str] = field(default_factory=list)

    def table(self) -> str:
        """One line a candidate."""
        rows = [
            f"  {one.name:<22} {100 * one.agreement:6.2f} %   {one.seconds:6.1f} s   {one.setting}".rstrip()
            for one in self.candidates
        ]
        return "\n".join([f"  {'learner':<22} held-out given labels", *rows])


def choose(
    vectors: Vectors,
    given: Labels,
    classes: int,
    *,
    kind: str,
    refit: bool = False,
    seed: int = 1,
    only: str | None = None,
    deadline: float | None = None,
    on_candidate: Callable[[str], object] = lambda name: None,
) -> Choice:
    """Judge the learners that suit a kind of data and train the chosen one on all rows.

    Args:
        vectors: float32 (N, D), finite.
        given: labels, (N,), 0 to classes-1.
        classes: at least 2.
        kind: "columns" or "vectors" for tables, "pictures" or "text" for vectors of a frozen extractor.
        refit: fit the discriminant once more, to soft labels, where classes are large; for a frozen network.
        seed: of folds and learners.
        only: name of the one learner to take.
        deadline: `time.monotonic()` after which no further learner is judged.
        on_candidate: called with the name of each learner before it is judged.

    Raises:
        InputError: fewer than two classes with two samples each.
    """
    if classes < 2 or len(np.unique(given)) < 2:
        raise InputError("a model needs samples of at least two classes; give data with two different labels")
    judge = _Judge(vectors, given, classes, seed)
    table = kind in ("columns", "vectors")
    makers: dict[str, Callable[[], Candidate]] = {"discriminant": partial(judge.discriminant, refit)}
    if table:
        makers = {
            "extra trees": judge.extra_trees,
            "boosting": judge.boosting,
            "kernel": judge.kernel,
            **makers,
            "logistic regression": judge.logistic,
        }
    if table:
        makers |= {name: partial(judge.robust, name, loss) for name, loss in _ROBUST.items()}
    else:
        makers |= {name: partial(judge.head, name, loss) for name, loss in _HEADS.items()}
    if only is not None:
        if only not in makers:
            raise InputError(f"no learner named {only!r} for {kind}; there are: {', '.join(makers)}")
        makers = {only: makers[only]}
    found: list[Candidate] = []
    for name, maker in makers.items():
        if found and deadline is not None and time.monotonic() > deadline:
            break
        on_candidate(name)
        started = time.perf_counter()
        found.append(one := maker())
        one.seconds = time.perf_counter() - started
    if table and len(found) > 2:
        found.insert(0, _blend(found, given))
    return _chosen(found, given, classes)


def _chosen(found: Sequence[Candidate], given: Labels, classes: int) -> Choice:
    first = found[0]
    for one in found:
        rows = np.isfinite(one.logits[:, 0])
        own, same = (candidate.logits[rows].argmax(1) == given[rows] for candidate in (one, first))
        whole = (first.logits.argmax(1) == given)[np.isfinite(first.logits[:, 0])].mean()
        one.agreement = float(whole + own.mean() - same.mean())  # on the rows that both have judged
    best = max(found, key=lambda one: one.agreement)
    chosen = best if _clearly_better(best, first, given) else first
    named = chosen.name
    if chosen.parts:
        named += " of " + ", ".join(f"{name} {share:.0%}" for name, share in chosen.parts.items())
    reason = f"{named} predicts {chosen.agreement:.1%} of the held-out given labels"
    if chosen is not best:
        reason += f", {best.name} {best.agreement:.1%}; the difference is within two standard errors"
    rows = np.isfinite(chosen.logits[:, 0])
    noise = fit_noise_model(chosen.logits[rows], given[rows])
    head = Blend([chosen.head()], [1.0], noise.factor)
    ordered = sorted(found, key=lambda one: -one.agreement)
    return Choice(head, chosen.name, ordered, noise, reason)


def _clearly_better(one: Candidate, other: Candidate, given: Labels) -> bool:
    """Test for more than two standard errors of the difference on the rows that both have judged."""
    rows = np.isfinite(one.logits[:, 0]) & np.isfinite(other.logits[:, 0])
    own, same = ((each.logits[rows].argmax(1) == given[rows]).astype(np.float64) for each in (one, other))
    return bool((own - same).mean() > 2 * (own - same).std() / np.sqrt(max(1, rows.sum())))


def _blend(found: Sequence[Candidate], given: Labels) -> Candidate:
    """Weighted mean of probabilities, each learner's sharpened by itself, of the learners that judged every row."""
    parts = {one.name: one for one in found if np.isfinite(one.logits).all()}
    factors = {name: fit_noise_model(one.logits, given).factor for name, one in parts.items()}
    judged = {name: softmax(factors[name] * one.logits) for name, one in parts.items()}
    weights = blend_weights(judged, given)
    mean = sum((weight * judged[name] for name, weight in weights.items()), np.zeros_like(found[0].logits))

    def head() -> Head:
        heads = [Blend([parts[name].head()], [1.0], factors[name]) for name in weights]
        return Blend(heads, list(weights.values()))

    return Candidate("blend", np.log(mean.clip(1e-7)), head, parts=weights)


class _Judge:
    """Judges learners on the same folds."""

    def __init__(self, vectors: Vectors, given: Labels, classes: int, seed: int) -> None:
        self.vectors, self.given, self.classes, self.seed = vectors, given, classes, seed
        self.fold = folds_of(given, min(_FOLDS, len(given)), seed)
        self._forest: tuple[Any, Array] | None = None

    def discriminant(self, refit: bool) -> Candidate:
        scores, shrinkage, prior = out_of_fold(self.vectors, self.given, self.fold, self.classes)

        def head() -> Head:
            targets = np.eye(self.classes, dtype=np.float32)[self.given]
            shrink = shrinkage
            if refit and len(self.given) >= _LARGE * self.classes:
                targets, shrink = fit_noise_model(scores, self.given).posterior.astype(np.float32), shrinkage / 3
            return fit_discriminant(self.vectors, targets).head(shrink, prior)

        return Candidate("discriminant", scores, head, setting=f"shrinkage {shrinkage:g}, prior {prior:g}")

    def kernel(self) -> Candidate:
        knots = np.quantile(self.vectors, np.linspace(0.5 / 32, 1 - 0.5 / 32, 32), axis=0).T
        import torch

        normal = torch.cat(
            [quantile_normal(part, _tensor(knots)) for part in torch.split(torch.from_numpy(self.vectors), 1024)]
        )
        order = rng.permutation(len(normal), self.seed, "kernel", "centres")
        some = normal[order[:400]].double()
        median = float(torch.cdist(some, some).square().flatten().median().clamp_min(1e-6))
        best: tuple[float, tuple[Kernel, Vectors], tuple[Array, float, float]] | None = None
        for width in (0.3, 1.0, 3.0):
            empty = Linear(np.zeros((self.classes, 1)), np.zeros(self.classes))
            machine = Kernel(knots, normal[order[:500]].numpy(), width / median, empty)
            similar = torch.cat([machine.similarities(part) for part in torch.split(normal, 1024)]).numpy()
            judged = out_of_fold(similar, self.given, self.fold, self.classes)
            agreement = float((judged[0].argmax(1) == self.given).mean())
            if best is None or agreement > best[0]:
                best = agreement, (machine, similar), judged
        assert best is not None
        _, (machine, similar), (scores, shrinkage, prior) = best

        def head() -> Head:
            targets = np.eye(self.classes, dtype=np.float32)[self.given]
            machine.inner = fit_discriminant(similar, targets).head(shrinkage, prior)
            return machine

        return Candidate("kernel", scores, head)

    def extra_trees(self) -> Candidate:
        forest, judged = self._trees()
        return Candidate("extra trees", np.log(judged.clip(1e-7)), lambda: trees_of_forest(forest, self.classes))

    def boosting(self) -> Candidate:
        def fit(rows: npt.NDArray[np.bool_]) -> Head:
            vectors, given = self.vectors[rows], self.given[rows]
            judged = self._trees()[1] if rows.all() else extra_trees(vectors, given, self.classes, trees=_FILTER)[1]
            kept = judged.argmax(1) == given
            for label in range(self.classes):  # a class that the forest hardly ever names keeps its rows
                if kept[given == label].sum() < 5:
                    kept[given == label] = True
            return trees_of_boosting(boosting(vectors[kept], given[kept]), self.classes)

        return self._cross_fitted("boosting", fit)

    def logistic(self) -> Candidate:
        from sklearn.linear_model import LogisticRegression

        def fit(rows: npt.NDArray[np.bool_]) -> Head:
            model = LogisticRegression(C=0.1, max_iter=200).fit(self.vectors[rows], self.given[rows])
            weight, bias = np.zeros((self.classes, self.vectors.shape[1])), np.full(self.classes, -30.0)
            if len(model.classes_) == 2:
                low, high = model.classes_
                weight[low], weight[high] = -model.coef_[0] / 2, model.coef_[0] / 2
                bias[low], bias[high] = -model.intercept_[0] / 2, model.intercept_[0] / 2
            else:
                weight[model.classes_], bias[model.classes_] = model.coef_, model.intercept_
            return Linear(weight, bias)

        return self._cross_fitted("logistic regression", fit)

    def robust(self, name: str, loss: str) -> Candidate:
        """A small perceptron on the columns of a table."""

        def fit(rows: npt.NDArray[np.bool_]) -> Head:
            vectors, given = self.vectors[rows], self.given[rows]
            return robust_head(vectors, given, self.classes, loss, hidden=(128,), lr=0.05, epochs=40, seed=self.seed)

        return self._cross_fitted(name, fit, folds=1 if len(self.given) > _NETS else _FOLDS)

    def head(self, name: str, loss: str) -> Candidate:
        """A linear head on frozen features; every loss chooses from as many learning rates by the first fold."""

        def fit(rows: npt.NDArray[np.bool_], lr: float) -> Head:
            vectors, given = self.vectors[rows], self.given[rows]
            epochs = max(15, -(-_STEPS // max(1, len(given) // 128)))
            return robust_head(vectors, given, self.classes, loss, lr=lr, epochs=epochs, seed=self.seed)

        inside, outside = np.flatnonzero(self.fold != 0), self.fold == 0
        some = np.zeros(len(self.given), bool)
        some[inside[:: max(1, len(inside) // _TRIED)]] = True

        def agreement(lr: float) -> float:
            judged = logits(fit(some, lr), self.vectors[outside]).argmax(1)
            return float((judged == self.given[outside]).mean())

        lr = max(_RATES, key=agreement)
        folds = 1 if len(self.given) > _NETS else _FOLDS
        found = self._cross_fitted(name, partial(fit, lr=lr), folds=folds)
        found.setting = f"lr {lr:g}, the best of {len(_RATES)}"
        return found

    def _trees(self) -> tuple[Any, Array]:
        if self._forest is None:
            self._forest = extra_trees(self.vectors, self.given, self.classes, seed=self.seed)
        return self._forest

    def _constant(self, label: int) -> Head:
        """Head for rows of a single class: it always says that class."""
        return Linear(
            np.zeros((self.classes, self.vectors.shape[1])), np.where(np.arange(self.classes) == label, 0, -30)
        )

    def _cross_fitted(self, name: str, fit: Callable[[npt.NDArray[np.bool_]], Head], folds: int = _FOLDS) -> Candidate:
        found = np.full((len(self.given), self.classes), np.nan)
        for number in range(min(folds, int(self.fold.max()) + 1)):
            inside, outside = self.fold != number, self.fold == number
            labels = np.unique(self.given[inside])
            head = fit(inside) if len(labels) > 1 else self._constant(labels[0])
            found[outside] = logits(head, self.vectors[outside])
        return Candidate(name, found, lambda: fit(np.ones(len(self.given), bool)))


def folds_of(given: Labels, folds: int, seed: int) -> Labels:
    """Fold of each sample, every class spread evenly over the folds."""
    order = rng.permutation(len(given), seed, "split", "folds")
    by_class = order[np.argsort(given[order], kind="stable")]
    fold = np.empty(len(given), np.int64)
    fold[by_class] = np.arange(len(given)) % folds
    return fold


def _tensor(array: npt.NDArray[Any]) -> Any:
    import torch

    return torch.from_numpy(np.ascontiguousarray(array, np.float32))
