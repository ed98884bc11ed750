"""Evaluation of a model on labelled data: against which labels, per class, and corrected for the labels' noise."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from noiseproof import escaping
from noiseproof.artifacts.model import Model
from noiseproof.data.dataset import Data, Split
from noiseproof.errors import InputError
from noiseproof.features.base import Bad, Progress
from noiseproof.learners import corrected_accuracy, fit_noise_model

__all__ = ["ClassResult", "Evaluation", "evaluate", "judged_split"]


@dataclass(frozen=True)
class ClassResult:
    """One class: its samples, and how often it is found (recall) and named rightly (precision), from 0 to 1."""

    name: str
    samples: int
    recall: float | None
    precision: float | None


@dataclass(eq=False)
class Evaluation:
    """Evaluation of a model on a data set.

    Attributes:
        data: the file or folder, or the name of the data set.
        against: "clean" or "given", the labels that it was compared with.
        samples: how many.
        accuracy: share of labels that it predicts, with a 95 % interval.
        confusion: counts, rows are the label, columns the prediction.
        classes: results of each.
        perfect: accuracy that a model without mistakes would show against these labels; None for clean ones.
        corrected: accuracy against true labels as the noise matrix implies, with a 95 % interval; None for clean ones,
            and where the matrix cannot be inverted.
        rate: share of wrong labels that the noise matrix implies; None for clean ones.
        estimated_on: "these labels" or "the training labels", where the noise matrix is from; None for clean ones.
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
    estimated_on: str | None = None
    bad: Bad = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        low, high = self.accuracy_interval
        which = {"clean": "clean labels", "given": "the given labels, which may be partly wrong"}[self.against]
        lines = [
            f"{self.data}: {100 * self.accuracy:.2f} % of {self.samples} samples "
            f"(95 % interval {100 * low:.1f} to {100 * high:.1f}), measured against {which}"
        ]
        if self.perfect is not None:
            lines.append(
                f"a model without mistakes would show {100 * self.perfect:.1f} % against these labels, for about "
                f"{100 * (self.rate or 0):.1f} % of them are wrong (estimated on {self.estimated_on})"
            )
        if self.corrected is not None and self.corrected_interval is not None:
            low, high = self.corrected_interval
            lines.append(
                f"corrected accuracy {100 * self.corrected:.1f} % (95 % interval {100 * low:.1f} to {100 * high:.1f}), "
                "if the noise matrix of these labels is as estimated"
            )
        elif self.perfect is not None:
            lines.append("no corrected accuracy: these labels are too noisy for it")
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
    source = data.name if data.reading is None else data.reading.source
    known = {name: number for number, name in enumerate(model.classes)}
    unknown = [name for name in split.classes if name not in known]
    if len(unknown) == len(split.classes):
        raise InputError(
            f"no class of {source} is one of the model's: found {', '.join(split.classes[:6])}; the model knows "
            f"{', '.join(model.classes[:6])}"
        )
    number = np.array([known.get(name, -1) for name in split.classes])
    truth = number[(split.given if split.clean is None else split.clean).numpy()]
    bad: Bad = {}
    p = model.probabilities(_as_trained(model, data, split), bad=bad, progress=progress)
    kept = (truth >= 0) & np.isfinite(p).all(1)
    if not kept.any():
        raise InputError(f"{source}: none of its {len(split)} samples can be judged")
    predicted, truth, p = p[kept].argmax(1), truth[kept], p[kept]
    classes = len(model.classes)
    confusion = np.bincount(truth * classes + predicted, minlength=classes**2).reshape(classes, classes)
    correct = float((predicted == truth).mean())
    found = Evaluation(
        source,
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
        _correct(found, _matrix_of_training(model, data), p, truth)
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


def _matrix_of_training(model: Model, data: Data) -> npt.NDArray[np.float64] | None:
    """Noise matrix that training estimated, where it speaks of these labels: the same data set, with no noise added."""
    kept = model.about.get("estimated_transition")
    if (
        model.about.get("fingerprint") != data.fingerprint
        or model.about.get("noise", "clean") != "clean"
        or not isinstance(kept, list)
    ):
        return None
    matrix = np.asarray(kept, np.float64)
    if matrix.shape != (len(model.classes),) * 2 or not np.isfinite(matrix).all() or (matrix < 0).any():
        return None
    found: npt.NDArray[np.float64] = matrix / matrix.sum(1, keepdims=True).clip(1e-9)
    return found


def _correct(
    found: Evaluation,
    known: npt.NDArray[np.float64] | None,
    p: npt.NDArray[np.float64],
    given: npt.NDArray[np.int64],
) -> None:
    """Fill in what the noise matrix implies, the known one or one estimated from these labels."""
    if known is None:
        fitted = fit_noise_model(np.log(p.clip(1e-12)), given)
        transition, found.rate, found.estimated_on = fitted.transition, fitted.rate, "these labels"
    else:
        transition, found.estimated_on = known, "the training labels"
        shares = (np.bincount(given, minlength=len(known)) / len(given)) @ np.linalg.pinv(known)
        shares = shares.clip(0) / shares.clip(0).sum().clip(1e-9)
        found.rate = 1 - float((shares * np.diag(known)).sum())
    found.perfect = 1 - found.rate
    value, draws = corrected_accuracy(p.argmax(1), given, transition)
    if np.isfinite(value):
        low, high = np.quantile(draws, [0.025, 0.975])
        found.corrected, found.corrected_interval = value, (float(low), float(high))


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
