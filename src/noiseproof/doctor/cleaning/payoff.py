"""Does cleaning pay? One learner on labels as given, with a robust loss, and on data dropped, relabelled or weighted.

Every way is judged on a held-out part that none of them has seen, by its given labels and by the accuracy corrected for
the noise in them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from noiseproof import losses, rng
from noiseproof.data import Data, Split, load
from noiseproof.data.dataset import stratified
from noiseproof.doctor.diagnosis import diagnose
from noiseproof.doctor.diagnosis_inputs import vectors_of
from noiseproof.errors import InputError
from noiseproof.learners.accuracy_under_noise import corrected_accuracy

__all__ = ["WAYS", "Way", "Ways", "compare_ways"]

Vectors = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]

#: Each way with the plain words for it.
WAYS = {
    "given": "labels as given, cross-entropy",
    "robust": "labels as given, robust loss (gce)",
    "drop": "suspects dropped",
    "relabel": "suspects relabelled",
    "weight": "suspects weighted by 1 - suspicion",
}
_CLEANING = ("drop", "relabel", "weight")
_STEPS = 300
_KNOTS = 400  # rows that an RBF map of a table is made of
_FEW = 64  # columns up to which a table gets such a map


@dataclass(frozen=True)
class Way:
    """One way, over the splits.

    Attributes:
        given: accuracy on held-out given labels, one a split.
        corrected: the same, corrected for their noise; NaN where the matrix cannot be inverted.
        interval: 95 % interval of the mean corrected accuracy.
        clean: accuracy on held-out clean labels where the data have them, else empty.
    """

    given: tuple[float, ...]
    corrected: tuple[float, ...]
    interval: tuple[float, float]
    clean: tuple[float, ...] = ()


@dataclass(frozen=True)
class Ways:
    """Result of the comparison; `verdict` says it in one sentence."""

    data: str
    ways: Mapping[str, Way]
    rate: float

    @property
    def best(self) -> str:
        """The way with the highest mean accuracy on held-out given labels."""
        return max(self.ways, key=lambda name: float(np.mean(self.ways[name].given)))

    @property
    def gain(self) -> tuple[float, float]:
        """Gain of the best cleaning over the best way without it on held-out given labels, and its standard error."""
        means = {name: float(np.mean(way.given)) for name, way in self.ways.items()}
        cleaned = max(_CLEANING, key=means.__getitem__)
        plain = max(set(self.ways) - set(_CLEANING), key=means.__getitem__)
        differences = np.array(self.ways[cleaned].given) - np.array(self.ways[plain].given)
        error = float(differences.std(ddof=1) / np.sqrt(len(differences))) if len(differences) > 1 else float("inf")
        return float(differences.mean()), error

    @property
    def verdict(self) -> str:
        gain, error = self.gain
        if gain > max(error, 0.002):
            return f"cleaning pays: {WAYS[self.best]} is best, {100 * gain:+.1f} points over the labels as given"
        if gain < -max(error, 0.002):
            return f"cleaning does not help here: {WAYS[self.best]} is better by {-100 * gain:.1f} points"
        return "cleaning makes no clear difference here; train on the labels as given, best with a robust loss"

    def __str__(self) -> str:
        splits = len(next(iter(self.ways.values())).given)
        mean = f"mean over {splits} splits" if splits > 1 else "one split"
        lines = [
            f"{self.data}: estimated noise rate {self.rate:.0%}; accuracy on a held-out fifth, {mean}",
            f"{'':<38} {'given labels':>13} {'corrected':>11} {'95 % interval':>18}",
        ]
        for name, way in self.ways.items():
            low, high = way.interval
            corrected = float(np.mean(way.corrected))
            shown = f"{corrected:>11.1%} {f'{low:.1%} to {high:.1%}':>18}" if np.isfinite(corrected) else f"{'-':>11}"
            lines.append(f"{WAYS[name]:<38} {np.mean(way.given):>13.1%} {shown}")
        return "\n".join([*lines, self.verdict])

    def to_json(self) -> dict[str, Any]:
        """The result as plain values."""
        ways = {
            name: {
                "given": list(way.given),
                "corrected": [None if np.isnan(value) else value for value in way.corrected],
                "interval": [None if np.isnan(value) else value for value in way.interval],
                "clean": list(way.clean),
            }
            for name, way in self.ways.items()
        }
        return {"data": self.data, "rate": self.rate, "ways": ways, "best": self.best, "verdict": self.verdict}


def compare_ways(
    data: str | Data, *, seeds: int = 3, on_progress: Callable[[str], object] = lambda text: None, **reading: Any
) -> Ways:
    """Train each way on four fifths of the samples and judge it on the rest, once a seed.

    Suspects are found in the training part alone. The learner is the same for all: a linear softmax on the vectors of
    the samples, with radial basis functions beside them for tables.

    Args:
        data: a data set, or what `data.load` takes.
        seeds: number of splits.
        on_progress: called with a line of text now and then.
        reading: options of `data.load`.

    Raises:
        InputError: a class has too few samples to hold a part of it out.
    """
    found = data if isinstance(data, Data) else load(data, **reading)
    split = found.everything()
    vectors = vectors_of(split.inputs)
    parts = []
    for seed in range(1, seeds + 1):
        on_progress(f"split {seed} of {seeds}: judging the training part, then training {len(WAYS)} ways")
        parts.append(_one_split(split, vectors, seed))
    ways = {name: _way([part[0][name] for part in parts]) for name in WAYS}
    return Ways(found.name, ways, float(np.mean([part[1] for part in parts])))


Judged = tuple[float, float, npt.NDArray[np.float64], float | None]


def _one_split(split: Split, vectors: Vectors, seed: int) -> tuple[dict[str, Judged], float]:
    """For each way: accuracy on given labels, corrected, bootstrapped and on clean labels; and the estimated rate."""
    labels = split.given.numpy()
    order = rng.permutation(len(labels), seed, "split", "ways")
    stay, held = (order[part] for part in stratified(labels[order]))
    if not len(held):
        raise InputError(f"{len(labels)} samples are too few to hold out a fifth of each class")
    mapped = _mapped(vectors, stay)
    classes = len(split.classes)
    diagnosis = diagnose(vectors[stay], labels[stay], seed=seed)
    back = np.array([int(name) for name in diagnosis.classes])
    given, likely = labels[stay], back[diagnosis.likely]
    transition = np.eye(classes)
    transition[np.ix_(back, back)] = diagnosis.transition
    kept = ~diagnosis.is_issue
    kept |= ~np.isin(given, given[kept])  # no class is emptied
    ones = np.ones(len(stay))
    trained = {
        "given": ("ce", given, ones),
        "robust": ("gce", given, ones),
        "drop": ("ce", given, kept.astype(float)),
        "relabel": ("ce", np.where(diagnosis.is_issue, likely, given), ones),
        "weight": ("ce", given, np.clip(1 - diagnosis.scores, 0.01, 1)),
    }
    answers: dict[str, Judged] = {}
    for name, (loss, targets, weights) in trained.items():
        predicted = _predictions(mapped[stay], targets, weights, mapped[held], classes, loss, seed)
        truth = None if split.clean is None else float((predicted == split.clean.numpy()[held]).mean())
        value, draws = corrected_accuracy(predicted, labels[held], transition, seed=seed)
        answers[name] = (float((predicted == labels[held]).mean()), value, draws, truth)
    return answers, diagnosis.rate


def _way(several: list[Judged]) -> Way:
    draws = np.mean([one[2] for one in several], 0)
    low, high = np.quantile(draws, [0.025, 0.975]) if np.isfinite(draws).all() else (np.nan, np.nan)
    clean = tuple(one[3] for one in several if one[3] is not None)
    return Way(tuple(one[0] for one in several), tuple(one[1] for one in several), (float(low), float(high)), clean)


def _mapped(vectors: Vectors, train: Labels) -> Vectors:
    """Standardised vectors, with radial basis functions beside them where they are the columns of a table."""
    from sklearn.kernel_approximation import Nystroem
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(vectors[train])
    scaled = np.clip(scaler.transform(vectors), -10, 10)
    if vectors.shape[1] <= _FEW:
        kernel = Nystroem(gamma=0.5 / vectors.shape[1], n_components=min(_KNOTS, len(train)), random_state=0)
        scaled = np.hstack([scaled, 3 * kernel.fit(scaled[train]).transform(scaled)])
    return np.asarray(scaled, np.float32)


def _predictions(
    vectors: Vectors,
    targets: Labels,
    weights: npt.NDArray[np.float64],
    new: Vectors,
    classes: int,
    loss: str,
    seed: int,
) -> Labels:
    """Predictions of a linear softmax, trained on the whole batch by Adam with weight decay."""
    x, y, w = torch.from_numpy(vectors), torch.from_numpy(targets), torch.from_numpy(weights).float()
    layer = torch.nn.Linear(vectors.shape[1], classes, device="cpu", dtype=torch.float32)
    torch.nn.init.zeros_(layer.weight)
    torch.nn.init.zeros_(layer.bias)
    each = losses.parse(loss)
    each.reduction = "none"
    optimiser = torch.optim.Adam(layer.parameters(), lr=0.02)
    decay = 1e-3
    with torch.enable_grad():
        for _ in range(_STEPS):
            optimiser.zero_grad()
            value = (w * each(layer(x), y)).sum() / w.sum() + decay * layer.weight.square().sum()
            value.backward()
            optimiser.step()
    with torch.inference_mode():
        return np.asarray(layer(torch.from_numpy(new)).argmax(1).numpy(), np.int64)
