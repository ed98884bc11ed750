"""Which labels are suspect, and how noisy are they: from given labels and out-of-sample probabilities."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from noiseproof import escaping
from noiseproof.doctor.transition_estimate import Labels, Matrix, confident_joint, explain
from noiseproof.errors import InputError

if TYPE_CHECKING:
    from noiseproof.recipes import Recipe
    from noiseproof.selection.suggest import Suggestion

__all__ = ["ClassFinding", "LabelIssues", "find_label_issues", "issues_from_log"]

_FAR_APART = 0.1  # two estimates of the rate that differ by more deserve a warning


@dataclass(frozen=True)
class ClassFinding:
    """What was found about one class."""

    label: int
    given: int
    """How many samples are called so."""
    wrong: float
    """The estimated share of them whose true class is another."""
    kept: float
    """The estimated share of this class's samples that are called so, T[label, label]."""
    margin: float
    """`kept` minus the share of its likeliest wrong label; not positive: no loss can be expected to learn the class."""
    rival: int
    """The likeliest wrong label of this class."""


@dataclass(frozen=True, eq=False, repr=False)
class LabelIssues:
    """Suspect labels, and the noise as estimated without any clean label.

    Attributes:
        ranking: all samples, the most suspect first, int64 (N,).
        score: how likely the given label is wrong, from 0 to 1, (N,).
        likely: the likeliest true label of each sample, int64 (N,).
        is_issue: where another label is likelier than the given one, bool (N,).
        rate: the estimated share of wrong labels.
        transition: T[i, j] = P(given j | true i), (K, K); rows add up to 1.
        confident_rate, confident_transition: the same by the confident joint, a second opinion.
        exponent: how the probabilities were sharpened (above 1) or softened to stand for the true label.
        given: the labels that were judged.
        recipe: the training that the suggested method is for; None: any.
        names: of the classes; numbers unless given.
    """

    ranking: Labels
    score: Matrix
    likely: Labels
    is_issue: npt.NDArray[np.bool_]
    rate: float
    transition: Matrix
    confident_rate: float
    confident_transition: Matrix
    exponent: float
    given: Labels
    recipe: Recipe | None = None
    names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return int(self.is_issue.sum())

    def __bool__(self) -> bool:
        return True  # an answer, also when it finds nothing

    @property
    def num_classes(self) -> int:
        """K."""
        return len(self.transition)

    @cached_property
    def classes(self) -> tuple[ClassFinding, ...]:
        """Class by class."""
        counts = np.bincount(self.given, minlength=self.num_classes)
        wrong = np.bincount(self.given, weights=self.score, minlength=self.num_classes) / counts
        findings = []
        for label, row in enumerate(self.transition):
            others = np.where(np.arange(len(row)) == label, -1.0, row)
            rival = int(others.argmax())
            kept = float(row[label])
            margin = kept - float(others[rival])
            findings.append(ClassFinding(label, int(counts[label]), float(wrong[label]), kept, margin, rival))
        return tuple(findings)

    @property
    def not_dominant(self) -> tuple[int, ...]:
        """The classes whose samples are estimated to be called something else at least as often."""
        return tuple(one.label for one in self.classes if one.margin <= 0)

    @cached_property
    def suggestion(self) -> Suggestion:
        """A method for this noise, with its reason."""
        from noiseproof.selection.suggest import suggest

        names = [self._name(label) for label in range(self.num_classes)]
        return suggest(self.num_classes, transition=self.transition, recipe=self.recipe, names=names)

    def _name(self, label: int) -> str:
        return escaping.visible(self.names[label]) if self.names else str(label)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What speaks against trusting the numbers."""
        found = []
        if abs(self.rate - self.confident_rate) > _FAR_APART:
            found.append(
                f"the two estimates of the rate differ ({self.rate:.3f} and {self.confident_rate:.3f}): the "
                "probabilities may come from a classifier that is often wrong, or that learned the noise"
            )
        if self.not_dominant:
            named = ", ".join(map(self._name, self.not_dominant[:20]))
            found.append(f"classes whose own label does not seem to be their most frequent one: {named}")
        return tuple(found)

    def __str__(self) -> str:
        worst = sorted(self.classes, key=lambda one: one.margin)[:5]
        lines = [
            f"{len(self)} of {len(self.given)} labels are suspect; estimated noise rate {self.rate:.3f} "
            f"(confident joint: {self.confident_rate:.3f})",
            "hardest classes: "
            + ", ".join(
                f"{self._name(c.label)} (keeps {c.kept:.2f}, mostly becomes {self._name(c.rival)}, lead {c.margin:.2f})"
                for c in worst
            ),
            *(f"warning: {one}" for one in self.warnings),
            f"suggested: {self.suggestion.method}",
            *(f"  {reason}" for reason in self.suggestion.reasons),
        ]
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<LabelIssues: {len(self)} of {len(self.given)} labels suspect, rate {self.rate:.3f}>"

    def to_json(self) -> dict[str, Any]:
        """Plain numbers and lists: everything but the samples, which `csv` writes."""
        return {
            "samples": len(self.given),
            "num_classes": self.num_classes,
            "suspects": len(self),
            "rate": self.rate,
            "transition": self.transition.tolist(),
            "confident_rate": self.confident_rate,
            "confident_transition": self.confident_transition.tolist(),
            "exponent": self.exponent,
            "classes": [vars(one) for one in self.classes],
            "warnings": list(self.warnings),
            "suggestion": self.suggestion.to_json(),
        }

    def csv(self, paths: tuple[str, ...] | None = None) -> str:
        """A line for each sample, the most suspect first: position, (path,) given, likely, score, suspect or not.

        Args:
            paths: of the samples' files.
        """
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["index", *(["path"] if paths else []), "given", "likely", "score", "suspect"])
        for index in self.ranking.tolist():
            labels = (int(self.given[index]), int(self.likely[index]))
            shown = [escaping.csv(self.names[label]) if self.names else label for label in labels]
            path = [escaping.csv(paths[index])] if paths else []
            writer.writerow([index, *path, *shown, f"{self.score[index]:.6f}", int(self.is_issue[index])])
        return out.getvalue()


def find_label_issues(given: Any, pred_probs: Any) -> LabelIssues:
    """Rank suspect labels and estimate the noise from probabilities that did not see the labels they judge.

    The probabilities may come from any classifier, by cross-validation. Best are those of a robust loss, which
    estimates the true label; a loss that fits the noise estimates the given one, and the estimates get less sure.

    Args:
        given: (N,) labels, whole numbers from 0 to K-1; every class at least once.
        pred_probs: (N, K) out-of-sample probabilities, rows add up to 1.

    Returns:
        The ranking, the estimated rate and transition matrix, findings class by class and a suggested method.

    Raises:
        InputError: lengths that differ, labels outside 0 to K-1, a class that no label names, numbers that are no
            probabilities.

    Example:
        >>> given = [0] * 40 + [1] * 10 + [1] * 50
        >>> p = np.where(np.arange(100)[:, None] < 50, [0.98, 0.02], [0.02, 0.98])
        >>> found = find_label_issues(given, p)
        >>> len(found), round(found.rate, 2), sorted(found.ranking[:10].tolist()) == list(range(40, 50))
        (10, 0.1, True)
    """
    labels, p = _checked(given, pred_probs)
    with np.errstate(divide="ignore"):
        return issues_from_log(labels, np.log(p))


def issues_from_log(
    labels: Labels, log_p: Matrix, *, recipe: Recipe | None = None, names: tuple[str, ...] = ()
) -> LabelIssues:
    """`find_label_issues` from log-probabilities, which rank also among those that round to 0 and 1."""
    found = explain(log_p, labels)
    rows = np.arange(len(labels))
    log_wrong = found.log_posterior.copy()
    log_wrong[rows, labels] = -np.inf
    log_odds = _log_sum(log_wrong) - found.log_posterior[rows, labels]
    likely = found.log_posterior.argmax(1).astype(np.int64)
    score = 1 / (1 + np.exp(-np.clip(log_odds, -700, 700)))
    confident, confident_rate = confident_joint(np.exp(log_p), labels)
    return LabelIssues(
        ranking=np.argsort(-log_odds, kind="stable").astype(np.int64),
        score=score,
        likely=likely,
        is_issue=likely != labels,
        rate=float(score.mean()),
        transition=found.transition,
        confident_rate=confident_rate,
        confident_transition=confident,
        exponent=found.exponent,
        given=labels,
        recipe=recipe,
        names=names,
    )


def _log_sum(values: Matrix) -> Matrix:
    top = values.max(1)
    return np.asarray(top + np.log(np.exp(values - top[:, None]).sum(1)), dtype=np.float64)


def _checked(given: Any, pred_probs: Any) -> tuple[Labels, Matrix]:
    labels, p = _array("given", given), _array("pred_probs", pred_probs)
    if p.ndim != 2 or p.shape[1] < 2:
        raise InputError(f"pred_probs must be (N, K) with K >= 2 classes, got shape {p.shape}")
    if labels.ndim != 1:
        hint = " (one-hot? use given.argmax(1))" if labels.shape == p.shape else ""
        raise InputError(f"given must be (N,) labels, got shape {labels.shape}{hint}")
    if len(labels) != len(p):
        raise InputError(f"given has {len(labels)} labels, pred_probs has {len(p)} rows; they must be as many")
    if not len(labels):
        raise InputError("there is nothing to judge: given and pred_probs are empty")
    if not _whole(labels):
        raise InputError(f"given must be whole numbers from 0 to {p.shape[1] - 1}, got {labels[:3].tolist()}, ...")
    classes = p.shape[1]
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        raise InputError(
            f"given must lie in 0..{classes - 1}, the columns of pred_probs; got {labels[outside][0]} in row "
            f"{int(outside.argmax())} ({int(outside.sum())} such)"
        )
    labels = labels.astype(np.int64)
    missing = np.flatnonzero(np.bincount(labels, minlength=classes) == 0)
    if len(missing):
        raise InputError(
            f"no given label names class {', '.join(map(str, missing[:10]))}; leave such classes out of pred_probs "
            "(its columns) and number the others from 0"
        )
    if p.dtype.kind not in "fiu":
        raise InputError(f"pred_probs must be numbers, got {p.dtype}")
    p = p.astype(np.float64)
    bad = ~np.isfinite(p).all(1)
    if bad.any():
        raise InputError(f"pred_probs must be finite; row {int(bad.argmax())} is not ({int(bad.sum())} such)")
    if (p < -1e-6).any() or (p > 1 + 1e-6).any():
        raise InputError(
            f"pred_probs must lie in [0, 1], got {p.min():.4g} to {p.max():.4g} (scores? use softmax first)"
        )
    sums = p.sum(1)
    worst = int(np.abs(sums - 1).argmax())
    if abs(sums[worst] - 1) > 1e-2:
        raise InputError(f"each row of pred_probs must add up to 1; row {worst} adds up to {sums[worst]:.6g}")
    p = p.clip(0.0, 1.0)
    return labels, np.asarray(p / p.sum(1, keepdims=True), dtype=np.float64)


def _array(name: str, values: Any) -> npt.NDArray[Any]:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu().numpy()
    try:
        return np.asarray(values)
    except ValueError:
        raise InputError(f"{name} must be a rectangular array of numbers") from None


def _whole(labels: npt.NDArray[Any]) -> bool:
    if labels.dtype.kind in "iu":
        return True
    return labels.dtype.kind == "f" and bool((np.isfinite(labels) & (labels == np.floor(labels))).all())
