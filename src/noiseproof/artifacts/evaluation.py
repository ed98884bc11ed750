"""Evaluation of a model on labelled data: against which labels, per class, and corrected for the labels' noise.

With T the noise matrix (rows: true class) and C the joint counts of prediction and given label, C = A T for the joint A
of prediction and true class, so that A = C T^-1 and the corrected accuracy is its trace.

Source: Lam & Stork, IJCAI 2003 (accuracy against noisy labels).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from noiseproof import escaping
from noiseproof.artifacts.model import Model
from noiseproof.data.dataset import Data, Split
from noiseproof.errors import InputError
from noiseproof.features.base import Bad, Progress
from noiseproof.learners.noise_model import fit_noise_model

__all__ = ["ClassResult", "Evaluation", "evaluate", "judged_split"]

_DRAWS = 1000


@dataclass(frozen=True)
class ClassResult:
    """One class: its samples, and how often it is found (recall) and named rightly (precision), from 0 to 1."""

    name: str
    samples: int
    recall: float | None
    precision: float | None


@dataclass(eq=False)
class Evaluation:
    """How well a model does on a data set.

    Attributes:
        against: "clean" or "given", the labels that it was compared with.
        samples: how many.
        accuracy: share of labels that it predicts, with a 95 % interval.
        confusion: counts, rows are the label, columns the prediction.
        classes: results of each.
        perfect: accuracy that a model without mistakes would show against these labels; None for clean ones.
        corrected: accuracy against true labels as the noise matrix implies, with a 95 % interval; None for clean ones.
        rate: share of wrong labels that the noise matrix implies; None for clean ones.
        notes: what the user should know.
    """

    data: str
    against: str
    samples: int
    accuracy: float
    accuracy_interval: tuple[float, float]
    confusion: npt.NDArray[np.int64]
    classes: list[ClassResult]
    perfect: float | None = None
    corrected: float | None = None
    corrected_interval: tuple[float, float] | None = None
    rate: float | None = None
    bad: Bad = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        low, high = self.accuracy_interval
        which = {"clean": "clean labels", "given": "the given labels, which may be partly wrong"}[self.against]
        lines = [
            f"{self.data}: {100 * self.accuracy:.2f} % of {self.samples} samples "
            f"(95 % interval {100 * low:.1f} to {100 * high:.1f}), measured against {which}"
        ]
        if self.corrected is not None and self.corrected_interval is not None and self.perfect is not None:
            low, high = self.corrected_interval
            lines += [
                f"a model without mistakes would show {100 * self.perfect:.1f} % against these labels, "
                f"for about {100 * (self.rate or 0):.1f} % of them are wrong",
                f"corrected accuracy {100 * self.corrected:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f}), "
                "if the noise matrix of these labels is as estimated",
            ]
        width = max(5, *(len(one.name) for one in self.classes)) if self.classes else 5
        lines.append(f"{'class':<{min(width, 30)}}  samples  recall  precision")
        for one in self.classes[:50]:
            recall, precision = (_percent(value) for value in (one.recall, one.precision))
            lines.append(f"{one.name[:30]:<{min(width, 30)}}  {one.samples:7}  {recall:>6}  {precision:>9}")
        if len(self.classes) > 50:
            lines.append(f"... and {len(self.classes) - 50} more classes; --out writes all")
        return "\n".join([*lines, *self.notes])

    def confusion_csv(self) -> str:
        """The confusion matrix as CSV: rows are labels, columns predictions."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        names = [escaping.csv(one.name) for one in self.classes]
        writer.writerow(["label", *names])
        writer.writerows([name, *row] for name, row in zip(names, self.confusion.tolist(), strict=True))
        return text.getvalue()

    def to_json(self) -> dict[str, Any]:
        """Everything as plain values."""
        return {**asdict(self), "confusion": self.confusion.tolist(), "bad": {str(k): v for k, v in self.bad.items()}}


def judged_split(model: Model, data: Data) -> tuple[Split, str]:
    """The samples that a model may be judged on: all of a new data set, the test split of the one it learned from."""
    if data.held_out is None or model.about.get("fingerprint") == data.fingerprint:
        return data.test, "judged on the test split, which the model did not learn from"
    return data.everything(), ""


def evaluate(model: Model, data: Data, *, progress: Progress | None = None) -> Evaluation:
    """Compare predictions with labels; clean ones where the data has them, else the given ones.

    Args:
        model: from `load_model`.
        data: labelled; class names are matched as text.
        progress: called with (done, total).

    Raises:
        InputError: no class name is the model's, or the inputs are of another kind.
    """
    split, note = judged_split(model, data)
    known = {name: number for number, name in enumerate(model.classes)}
    unknown = [name for name in split.classes if name not in known]
    if len(unknown) == len(split.classes):
        raise InputError(
            f"no class of {data.name} is one of the model's: found {', '.join(split.classes[:6])}; the model knows "
            f"{', '.join(model.classes[:6])}"
        )
    number = np.array([known.get(name, -1) for name in split.classes])
    truth = number[(split.given if split.clean is None else split.clean).numpy()]
    bad: Bad = {}
    p = model.probabilities(_as_trained(model, data, split), bad=bad, progress=progress)
    kept = (truth >= 0) & np.isfinite(p).all(1)
    if not kept.any():
        raise InputError(f"{data.name}: none of its {len(split)} samples can be judged")
    predicted, truth, p = p[kept].argmax(1), truth[kept], p[kept]
    classes = len(model.classes)
    confusion = np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)
    correct = float((predicted == truth).mean())
    found = Evaluation(
        data.name,
        "given" if split.clean is None else "clean",
        len(truth),
        correct,
        _wilson(correct, len(truth)),
        confusion,
        [_of_class(name, place, confusion) for place, name in enumerate(model.classes)],
        bad=bad,
        notes=[note] if note else [],
    )
    if unknown:
        found.notes.append(f"classes that the model does not know are left out: {', '.join(unknown[:8])}")
    if bad:
        found.notes.append(f"{len(bad)} samples could not be read and are left out")
    if found.against == "given":
        _correct(found, _noise_matrix(model.about, p, truth), truth, predicted)
    return found


def _as_trained(model: Model, data: Data, split: Split) -> Any:
    """The inputs, with the names of a table's columns where the reading kept them and the model matches by name."""
    if model.kind not in ("columns", "vectors") or hasattr(split.inputs, "columns"):
        return split.inputs
    names = list(data.reading.columns) if data.reading is not None else []
    if len(names) == split.inputs.shape[1] and set(model.architecture.columns) <= set(names):
        import pandas as pd

        return pd.DataFrame(split.inputs.numpy(), columns=names)
    return split.inputs


def _noise_matrix(
    about: Mapping[str, Any], p: npt.NDArray[np.float64], given: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """Noise matrix of training, or one estimated from these labels where training added noise of its own."""
    kept = about.get("estimated_transition") if about.get("noise", "clean") == "clean" else None
    classes = p.shape[1]
    if isinstance(kept, list):
        matrix = np.asarray(kept, np.float64)
        if matrix.shape == (classes, classes) and np.isfinite(matrix).all() and (matrix >= 0).all():
            found: npt.NDArray[np.float64] = matrix / matrix.sum(1, keepdims=True).clip(1e-9)
            return found
    return fit_noise_model(np.log(p.clip(1e-12)), given).transition


def _correct(
    found: Evaluation,
    transition: npt.NDArray[np.float64],
    given: npt.NDArray[np.int64],
    predicted: npt.NDArray[np.int64],
) -> None:
    """Fill in what the noise matrix implies; the interval by drawing the samples again."""
    classes = len(transition)
    inverse = np.linalg.pinv(transition)
    shares = (np.bincount(given, minlength=classes) / len(given)) @ inverse
    shares = shares.clip(0) / shares.clip(0).sum().clip(1e-9)
    found.perfect = float((shares * np.diag(transition)).sum())
    found.rate = 1 - found.perfect
    # trace(C T^-1) is the mean of one number a sample: row `given`, column `predicted` of the inverse
    each = inverse[given, predicted]
    generator = np.random.default_rng(0)
    draws = [each[generator.integers(0, len(each), len(each))].mean() for _ in range(_DRAWS)]
    low, high = np.quantile(draws, [0.025, 0.975])
    found.corrected = float(np.clip(each.mean(), 0, 1))
    found.corrected_interval = (float(np.clip(low, 0, 1)), float(np.clip(high, 0, 1)))


def _of_class(name: str, place: int, confusion: npt.NDArray[np.int64]) -> ClassResult:
    here, named, right = int(confusion[place].sum()), int(confusion[:, place].sum()), int(confusion[place, place])
    return ClassResult(name, here, right / here if here else None, right / named if named else None)


def _wilson(share: float, count: int) -> tuple[float, float]:
    """95 % interval of a share; Wilson, JASA 22(158), 1927."""
    z = 1.959964
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * np.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return float(middle - half), float(middle + half)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
