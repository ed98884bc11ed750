"""Diagnosis of a data set's labels: judge every sample, find label issues, write them down."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from noiseproof import escaping, recipes
from noiseproof.data import Data, Split
from noiseproof.data.dataset import Origin
from noiseproof.doctor.diagnosis_inputs import samples_of, vectors_of
from noiseproof.doctor.diagnosis_page import page
from noiseproof.doctor.issues import LabelIssues, find_label_issues, issues_from
from noiseproof.doctor.judges.base import folds_of
from noiseproof.doctor.judges.estimator import judged_by_estimator
from noiseproof.doctor.judges.network import Progress, cross_fit
from noiseproof.doctor.judging_rounds import JudgeProgress, judge_vectors
from noiseproof.doctor.probability_checks import checked
from noiseproof.doctor.review.page import review_page
from noiseproof.errors import InputError
from noiseproof.runtime.isolation import isolated
from noiseproof.selection.suggest import checked_by_training, suggest
from noiseproof.storage import files

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Diagnosis", "diagnose"]

_KEYS = 200  # of samples that are not flagged, in diagnosis.json


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """Label issues of a data set, with its samples.

    Attributes:
        data: its name.
        split: the samples that were judged, with the labels they came with.
        issues: suspects, noise rate, matrix and a suggested method.
        method: what judged: names of the judges with their weights, or the loss of the networks.
        folds, seed: of the cross-validation.
        agreement: share of given labels that are also the predicted ones.
        seconds: that it took.
        judges: weight of each judge in the blend.
        columns: names of the columns of a table of numbers, as far as they are known.
    """

    data: str
    split: Split
    issues: LabelIssues
    method: str
    folds: int
    seed: int
    agreement: float
    seconds: float
    judges: Mapping[str, float] = field(default_factory=dict)
    columns: tuple[str, ...] = ()

    @property
    def ranking(self) -> npt.NDArray[np.int64]:
        """All samples, the most suspect first, (N,)."""
        return self.issues.ranking

    @property
    def scores(self) -> npt.NDArray[np.float64]:
        """Probability that the given label is wrong, (N,)."""
        return self.issues.score

    @property
    def is_issue(self) -> npt.NDArray[np.bool_]:
        """Flags of the samples to look at, (N,)."""
        return self.issues.is_issue

    @property
    def likely(self) -> npt.NDArray[np.int64]:
        """Most likely true label of each sample, a number into `classes`, (N,)."""
        return self.issues.likely

    @property
    def rate(self) -> float:
        """Estimated share of wrong labels."""
        return self.issues.rate

    @property
    def rate_interval(self) -> tuple[float, float]:
        """Lowest and highest share of wrong labels that the data speak for."""
        return self.issues.rate_interval

    @property
    def transition(self) -> npt.NDArray[np.float64]:
        """T[i, j] = P(given j | true i), (K, K)."""
        return self.issues.transition

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the K classes."""
        return self.split.classes

    @property
    def origin(self) -> Origin:
        """Origin of each sample."""
        if self.split.origin is not None:
            return self.split.origin
        inputs = self.split.inputs
        paths = tuple(map(str, inputs)) if isinstance(inputs, tuple) and isinstance(inputs[0], Path) else None
        return Origin(self.data, np.arange(len(self.split)), paths=paths)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons to doubt the numbers, as sentences."""
        return self.issues.warnings

    def __len__(self) -> int:
        return len(self.issues)

    def __bool__(self) -> bool:
        return True

    def __repr__(self) -> str:
        return f"<Diagnosis of {self.data}: {len(self)} of {len(self.split)} labels suspect, rate {self.rate:.3f}>"

    def __str__(self) -> str:
        lines = [f"{self.data}: {self._how()}", str(self.issues)]
        if worst := self.issues.ranking[: min(5, len(self.issues))].tolist():
            lines += ["most suspect:", *(f"  {self._sample(index)}" for index in worst)]
        return "\n".join(lines)

    def _how(self) -> str:
        count = f"{len(self.split)} samples of {len(self.classes)} classes"
        return f"{count}, judged by {self.method}; no clean label was used"

    def _sample(self, index: int) -> str:
        given, likely = (self.classes[int(labels[index])] for labels in (self.issues.given, self.issues.likely))
        return escaping.visible(f"{self._name(index)}: given {given}, likely {likely}", None)

    def _name(self, index: int) -> str:
        named = self.split.origin is not None or self.origin.paths is not None
        return self.origin.name(index) if named else f"sample {index}"

    def with_checked_suggestion(self) -> Diagnosis:
        """The same diagnosis, its suggested method checked by a short training on some of the samples.

        Where there are too few samples to hold some out, the suggestion stays and says so.
        """
        suggestion = self.issues.suggestion
        try:
            samples = Data(self.data, self.split, self.split, fingerprint="")
            suggestion = checked_by_training(suggestion, samples, self.issues.recipe, self.seed)
        except InputError as error:
            suggestion = replace(suggestion, reasons=(f"not checked by training: {error}", *suggestion.reasons))
        return replace(self, issues=replace(self.issues, suggested=suggestion))

    def to_frame(self) -> pd.DataFrame:
        """The issues table as a pandas frame, the most suspect first."""
        import pandas as pd

        return pd.DataFrame(self.issues.table(self.origin.columns()))

    def write_issues(self, path: str | Path) -> Path:
        """Write every sample, the most suspect first, as CSV.

        Returns:
            The file.
        """
        files.write_atomic(Path(path), self.issues.csv(origin=self.origin.columns()))
        return Path(path)

    def to_json(self) -> dict[str, Any]:
        """Everything but the samples, as plain values."""
        columns = self.origin.columns()
        return {
            "data": self.data,
            "classes": list(self.classes),
            "method": self.method,
            "judges": dict(self.judges),
            "folds": self.folds,
            "seed": self.seed,
            "agreement": self.agreement,
            "seconds": self.seconds,
            **{("findings" if key == "classes" else key): value for key, value in self.issues.to_json().items()},
            "flagged": [
                {
                    **{name: values[index] for name, values in columns.items()},
                    "given": self.classes[int(self.issues.given[index])],
                    "likely": self.classes[int(self.issues.likely[index])],
                    "suspicion": round(float(self.scores[index]), 6),
                }
                for index in self.ranking.tolist()
                if self.is_issue[index]
            ],
            "unsuspected": self._unsuspected(columns),
            "most_suspect": [
                {
                    **{name: values[index] for name, values in columns.items()},
                    "index": index,
                    "given": int(self.issues.given[index]),
                    "likely": int(self.issues.likely[index]),
                    "score": float(self.issues.score[index]),
                }
                for index in self.issues.ranking[: min(100, len(self.issues))].tolist()
            ],
        }

    def _unsuspected(self, columns: Mapping[str, list[str] | list[int]]) -> list[dict[str, Any]]:
        """Keys of samples that are not flagged, evenly spaced; a later diagnosis knows its data by them."""
        places = [index for index in range(len(self.issues)) if not self.is_issue[index]]
        step = max(1, len(places) // _KEYS)
        return [{name: values[index] for name, values in columns.items()} for index in places[::step][:_KEYS]]

    def write(self, folder: str | Path) -> list[Path]:
        """Write a folder: `issues.csv` (every sample, worst first), `diagnosis.json`, `diagnosis.html`, `review.html`.

        Returns:
            The files.
        """
        folder = Path(folder)
        files.make_folder(folder)
        contents = {
            "issues.csv": self.issues.csv(origin=self.origin.columns()),
            "diagnosis.json": json.dumps(self.to_json(), indent=1) + "\n",
            "diagnosis.html": page(self.data, self._how(), self.split, self.issues, self._name),
            "review.html": review_page(self.data, self.split, self.issues, self.origin, self.columns),
        }
        for name, content in contents.items():
            files.write_atomic(folder / name, content)
        return [folder / name for name in contents]


@isolated()
def diagnose(
    data: Any,
    y: Any = None,
    *,
    label: str | None = None,
    judge: Any = None,
    pred_probs: Any = None,
    method: str | None = None,
    recipe: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    folds: int = 5,
    seed: int = 1,
    device: str = "auto",
    root: str | Path | None = None,
    on_fold: Progress | None = None,
    on_progress: JudgeProgress | None = None,
    **reading: Any,
) -> Diagnosis:
    """Judge every sample by learners that have not seen its label: how noisy are the labels, which are suspect?

    Several different learners are blended: logistic regression, a random forest, extra trees, kernel ridge and, for up
    to three classes, boosted trees. Pictures, texts and tables become vectors first. No clean label is used, also
    where the data has them.

    Args:
        data: a data set, its name, the path of your own data, or samples: numbers (N, D), dense or sparse; pictures
            (N, H, W), (N, C, H, W) or (N, H, W, C); texts; paths of pictures; a pandas frame.
        y: labels of samples, of any kind; of a frame also the name of the label column.
        label: the label column of a frame or a file.
        judge: a scikit-learn classifier to judge by instead, fitted or not; it is fitted anew on each fold.
        pred_probs: out-of-sample probabilities (N, K) to judge by instead; columns in the order of the classes.
        method: a method or loss text: networks trained with it judge instead.
        recipe: network and schedule of them, for the samples as they are; unless given a small network on vectors.
        overrides: values of the recipe, by dotted key: {"train.epochs": 10}.
        folds: parts of the cross-validation.
        seed: of folds, trees and training.
        device: of networks, as in `train.fit`.
        root: the folder that holds the data sets.
        on_fold: called with (folds done, folds) where networks judge.
        on_progress: called with (share done, what comes next, estimated seconds left) where learners judge.
        reading: further options of `data.load`.

    Raises:
        InputError: fewer than two classes, labels that are missing, or data that cannot be read.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X, labels = load_iris(return_X_y=True)
        >>> labels[:5] = 2                                              # five wrong labels
        >>> sorted(diagnose(X, labels).ranking[:5].tolist())
        [0, 1, 2, 3, 4]
    """
    started = time.perf_counter()
    name, split, columns = samples_of(data, y, label=label, root=root, **reading)
    given, classes = split.given.numpy(), len(split.classes)
    if classes < 2 or len(split) < 2:
        raise InputError(f"a diagnosis needs at least two classes, found {', '.join(split.classes)}")
    judges: Mapping[str, float] = {}
    protocol = None
    if pred_probs is not None:
        issues = _from_probabilities(given, pred_probs, split.classes)
        described = "your own probabilities"
    elif judge is not None:
        fold = folds_of(given, min(folds, len(given)), seed)
        p = judged_by_estimator(judge, _for_estimator(split), given, classes, fold)
        issues = _from_probabilities(given, p, split.classes)
        described = f"{type(judge).__name__}, fitted on the other {folds - 1} of {folds} parts"
    elif method is not None or recipe is not None or overrides:
        protocol = recipes.load(recipe or "digits", overrides)
        chosen = protocol.method(method or suggest(classes, recipe=protocol).method)
        judged = split if recipe else replace(split, inputs=torch.from_numpy(vectors_of(split.inputs)))
        log_p = cross_fit(judged, chosen, protocol, folds=folds, seed=seed, device=device, on_fold=on_fold)
        issues = _from_probabilities(given, np.exp(log_p), split.classes)
        described = f"{folds} networks that had not seen them, trained with {chosen.name}"
    else:
        found = judge_vectors(vectors_of(split.inputs), given, classes, folds=folds, seed=seed, on_progress=on_progress)
        issues = issues_from(
            given,
            found.evidence,
            found.opinion,
            first=found.first,
            suspicion=found.suspicion,
            names=split.classes,
        )
        judges = found.weights
        used = [f"{name} ({100 * weight:.0f} %)" for name, weight in judges.items() if weight > 0.005]
        described = f"{', '.join(used)}, each without their own labels"
    return Diagnosis(
        data=name,
        split=split,
        issues=replace(issues, recipe=protocol),
        method=described,
        folds=folds,
        seed=seed,
        agreement=issues.agreement,
        seconds=time.perf_counter() - started,
        judges=judges,
        columns=columns,
    )


def _from_probabilities(given: npt.NDArray[np.int64], p: Any, names: tuple[str, ...]) -> LabelIssues:
    labels, checked_p = checked(given, p)
    if checked_p.shape[1] != len(names):
        raise InputError(
            f"pred_probs has {checked_p.shape[1]} columns, the labels {len(names)} classes: {', '.join(names[:10])}"
        )
    return replace(find_label_issues(labels, checked_p), names=names)


def _for_estimator(split: Split) -> Any:
    inputs = split.inputs
    is_pictures = isinstance(inputs, torch.Tensor) and inputs.dim() == 4
    return torch.from_numpy(vectors_of(inputs)) if is_pictures else inputs
