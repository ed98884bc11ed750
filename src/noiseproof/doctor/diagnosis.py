"""From data to a diagnosis: cross-fit a network, find label issues, write them down."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from noiseproof import escaping, recipes
from noiseproof.data import Data, Split, load
from noiseproof.doctor.crossfit import Progress, cross_fit
from noiseproof.doctor.diagnosis_page import page
from noiseproof.doctor.issues import LabelIssues, issues_from_log
from noiseproof.errors import InputError
from noiseproof.features.patches import features
from noiseproof.selection.suggest import suggest
from noiseproof.storage import files

__all__ = ["Diagnosis", "diagnose"]


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What was found out about a data set's labels.

    Attributes:
        data: its name.
        split: the samples that were judged, with the labels they came with.
        issues: suspects, noise rate, matrix and a suggested method.
        method, folds, seed: how the probabilities came about.
        agreement: the share of given labels that the cross-fitted networks predict.
    """

    data: str
    split: Split
    issues: LabelIssues
    method: str
    folds: int
    seed: int
    agreement: float
    seconds: float

    def __str__(self) -> str:
        lines = [f"{self.data}: {self._how()}", str(self.issues)]
        if worst := self.issues.ranking[: min(5, len(self.issues))].tolist():
            lines += ["most suspect:", *(f"  {self._sample(index)}" for index in worst)]
        return "\n".join(lines)

    def _how(self) -> str:
        return (
            f"{len(self.split)} samples of {len(self.split.classes)} classes, each judged by one of {self.folds} "
            f"networks that had not seen it, trained with {self.method}; no clean label was used"
        )

    def _sample(self, index: int) -> str:
        given, likely = (self.split.classes[int(labels[index])] for labels in (self.issues.given, self.issues.likely))
        inputs = self.split.inputs
        path = f" {inputs[index]}" if isinstance(inputs, tuple) else ""
        return escaping.visible(f"sample {index}{path}: called {given}, likely {likely}", None)

    def to_json(self) -> dict[str, Any]:
        """Everything but the samples, as plain values."""
        return {
            "data": self.data,
            "classes": list(self.split.classes),
            "method": self.method,
            "folds": self.folds,
            "seed": self.seed,
            "agreement": self.agreement,
            "seconds": self.seconds,
            **{("findings" if key == "classes" else key): value for key, value in self.issues.to_json().items()},
            "most_suspect": [
                {
                    "index": index,
                    "given": int(self.issues.given[index]),
                    "likely": int(self.issues.likely[index]),
                    "score": float(self.issues.score[index]),
                }
                for index in self.issues.ranking[: min(100, len(self.issues))].tolist()
            ],
        }

    def write(self, folder: str | Path) -> list[Path]:
        """Write `issues.csv` (every sample, worst first), `diagnosis.json` and `diagnosis.html` into a folder.

        Returns:
            The files.
        """
        folder = Path(folder)
        files.make_folder(folder)
        inputs = self.split.inputs
        paths = tuple(map(str, inputs)) if isinstance(inputs, tuple) else None
        contents = {
            "issues.csv": self.issues.csv(paths),
            "diagnosis.json": json.dumps(self.to_json(), indent=1) + "\n",
            "diagnosis.html": page(self.data, self._how(), self.split, self.issues),
        }
        for name, content in contents.items():
            files.write_atomic(folder / name, content)
        return [folder / name for name in contents]


def diagnose(
    data: Data | str | Path,
    *,
    method: str | None = None,
    recipe: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
    folds: int = 5,
    seed: int = 1,
    device: str = "auto",
    root: Path | None = None,
    on_fold: Progress | None = None,
) -> Diagnosis:
    """Train on parts of the data, judge the rest, and say how noisy the labels are and which are suspect.

    No clean label is used, also where the data has them.

    Args:
        data: a data set, its name, or the path of your own data.
        method: a method or loss text; a robust loss by default, which predicts the true label where cross-entropy
            comes to predict the given one.
        recipe: network and schedule, for the samples as they are. Unless given a small network judges them, in
            minutes on a CPU: numbers as they are, pictures by patch features that are made without labels.
        overrides: values of the recipe, by dotted key: {"train.epochs": 10}.
        folds: the network of each part is trained on the others.
        seed: of the folds and the training.
        device: as in `train.fit`.
        root: the folder that holds the data sets.
        on_fold: called with (folds done, folds).

    Raises:
        InputError: a class without samples, too few samples, or data that cannot be read.

    Example:
        >>> found = diagnose("digits", folds=2, overrides={"train.epochs": 10})
        >>> 0 <= float(found.issues.rate) <= 1
        True
    """
    started = time.perf_counter()
    found = data if isinstance(data, Data) else load(data, root=root)
    split = found.everything()
    _checked(split, folds)
    protocol = recipes.load(recipe or "digits", overrides)
    chosen = protocol.method(method or suggest(len(split.classes), recipe=protocol).method)
    judged = split if recipe else features(split)
    log_p = cross_fit(judged, chosen, protocol, folds=folds, seed=seed, device=device, on_fold=on_fold)
    given = split.given.numpy()
    return Diagnosis(
        data=found.name,
        split=split,
        issues=issues_from_log(given, log_p, recipe=protocol, names=split.classes),
        method=chosen.name,
        folds=folds,
        seed=seed,
        agreement=float((log_p.argmax(1) == given).mean()),
        seconds=time.perf_counter() - started,
    )


def _checked(split: Split, folds: int) -> None:
    counts = split.given.bincount(minlength=len(split.classes))
    if len(split.classes) < 2:
        raise InputError(f"a diagnosis needs at least two classes, found {', '.join(split.classes)}")
    rare = [split.classes[k] for k in (counts < 2).nonzero()[:, 0].tolist()]
    if rare:
        raise InputError(
            f"each class needs 2 samples or more to be judged by networks that have not seen them; too few: "
            f"{', '.join(escaping.visible(name) for name in rare[:10])}"
        )
    if folds > int(counts.max()):
        raise InputError(f"folds must be at most {int(counts.max())}, the samples of the largest class; got {folds}")
