"""Suspect labels and the noise rate, from given labels and out-of-sample probabilities."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from noiseproof import escaping
from noiseproof.doctor.posterior import refined_transition
from noiseproof.doctor.probabilities import Labels
from noiseproof.doctor.probability_checks import checked
from noiseproof.doctor.ranking_and_rate import Evidence, Opinion, opinion_of, verdict

if TYPE_CHECKING:
    from noiseproof.recipes import Recipe
    from noiseproof.selection.suggest import Suggestion

__all__ = ["ClassFinding", "LabelIssues", "find_label_issues", "issues_from"]

Matrix = npt.NDArray[np.float64]
_ENOUGH = 15  # samples of a class before it is said to be mostly called something else
_WIDE = 0.3  # width of the interval from which on there is too little to say


@dataclass(frozen=True)
class ClassFinding:
    """Findings about one class."""

    label: int
    given: int
    """Number of samples with this given label."""
    wrong: float
    """The estimated share of them whose true class is another."""
    kept: float
    """The estimated share of this class's samples with this given label, T[label, label]."""
    margin: float
    """`kept` minus the share of its likeliest wrong label; not positive: no loss can be expected to learn the class."""
    rival: int
    """The likeliest wrong label of this class."""


@dataclass(frozen=True, eq=False, repr=False)
class LabelIssues:
    """Suspect labels, and the noise as estimated without any clean label.

    Attributes:
        ranking: all samples, the most suspect first, int64 (N,).
        score: estimated probability that the given label is wrong, (N,); falls along the ranking, its mean is `rate`.
        likely: most likely true label of each sample, int64 (N,); of a flagged one another than the given label.
        is_issue: flags of the samples to look at, bool (N,): the first of the ranking, as many as seem wrong.
        rate: estimated share of wrong labels.
        rate_interval: lowest and highest share that the data speak for.
        transition: T[i, j] = P(given j | true i), (K, K); rows add up to 1.
        confident_rate, confident_transition: the same by the confident joint, a second opinion.
        exponent: how the probabilities were sharpened (above 1) or softened to stand for the true label.
        given: the labels that were judged.
        agreement: share of given labels that are also the predicted ones.
        informed: False where the predictions say no more about the labels than the classes' frequencies.
        recipe: the training that the suggested method is for; None: any.
        names: of the classes; numbers unless given.
        suggested: a method that training has checked; a closed form's unless given.
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
    rate_interval: tuple[float, float] = (0.0, 1.0)
    agreement: float = 1.0
    informed: bool = True
    recipe: Recipe | None = None
    names: tuple[str, ...] = ()
    suggested: Suggestion | None = None

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
        suspicion = np.bincount(self.given, weights=self.score, minlength=self.num_classes)
        wrong = suspicion / np.maximum(counts, 1)
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
        if not self.informed:
            return ()
        return tuple(one.label for one in self.classes if one.margin <= 0 and one.given >= _ENOUGH)

    @cached_property
    def suggestion(self) -> Suggestion:
        """A method for this noise, with its reason."""
        if self.suggested is not None:
            return self.suggested
        from noiseproof.selection.suggest import suggest

        known = self.transition if self.is_precise else None  # a weak judge must not condemn a class
        names = [self._name(label) for label in range(self.num_classes)]
        return suggest(self.num_classes, transition=known, recipe=self.recipe, names=names)

    def _name(self, label: int) -> str:
        return escaping.visible(self.names[label]) if self.names else str(label)

    @property
    def is_precise(self) -> bool:
        """True where the interval of the rate is narrow enough to name one number."""
        return self.informed and self.rate_interval[1] - self.rate_interval[0] <= _WIDE

    @property
    def warnings(self) -> tuple[str, ...]:
        """Reasons to doubt the numbers, as sentences."""
        found = []
        if not self.informed:
            found.append(
                "the predictions agree with the labels no better than chance would: the labels cannot be judged by "
                "these inputs, and none is flagged"
            )
        elif not self.is_precise:
            low, high = self.rate_interval
            found.append(
                f"too few samples, or too weak predictions, to say how many labels are wrong: {low:.0%} to {high:.0%}"
            )
        if self.agreement == 1:
            found.append(
                "every given label is also the predicted one: the labels are clean, or the probabilities come from a "
                "model that was trained on the labels it judges; then use cross-validation"
            )
        if lonely := [one.label for one in self.classes if one.given == 1]:
            found.append(f"classes of one sample, which no other vouches for: {self._named(lonely)}")
        if absent := [one.label for one in self.classes if one.given == 0]:
            found.append(f"classes that no given label names, left out of the estimates: {self._named(absent)}")
        if self.not_dominant:
            found.append(
                f"classes whose own label does not seem to be their most frequent one: {self._named(self.not_dominant)}"
            )
        return tuple(found)

    def _named(self, labels: Sequence[int]) -> str:
        more = f" and {len(labels) - 20} more" if len(labels) > 20 else ""
        return ", ".join(map(self._name, labels[:20])) + more

    def rate_text(self) -> str:
        """The rate as a reader should take it: "30 % (25 to 36 %)", or a range where one number would mislead."""
        if not self.informed:
            return "unknown"
        low, high = (f"{100 * one:.0f}" for one in self.rate_interval)
        return f"{100 * self.rate:.0f} % ({low} to {high} %)" if self.is_precise else f"between {low} and {high} %"

    def __str__(self) -> str:
        worst = sorted((one for one in self.classes if one.given), key=lambda one: one.margin)[:5]
        lines = [
            f"{len(self)} of {len(self.given)} labels are suspect; estimated noise rate {self.rate_text()}",
            "classes with the most wrong labels: "
            + ", ".join(
                f"{self._name(c.label)} ({100 * c.kept:.0f} % keep their label, {100 * (c.kept - c.margin):.0f} % are "
                f"called {self._name(c.rival)})"
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
            "rate_interval": list(self.rate_interval),
            "agreement": self.agreement,
            "transition": self.transition.tolist(),
            "confident_rate": self.confident_rate,
            "confident_transition": self.confident_transition.tolist(),
            "exponent": self.exponent,
            "classes": [vars(one) for one in self.classes],
            "warnings": list(self.warnings),
            "suggestion": self.suggestion.to_json(),
        }

    def table(self, origin: Mapping[str, Sequence[Any]] | None = None) -> dict[str, list[Any]]:
        """Columns of the issues, the most suspect first: the origin's, given, likely, suspicion (1 is worst), is_issue.

        Args:
            origin: columns that identify the samples, in their order; `index` unless given.
        """
        order = self.ranking
        columns = origin or {"index": list(range(len(order)))}
        ordered = {name: [values[i] for i in order.tolist()] for name, values in columns.items()}
        labels = {"given": self.given[order], "likely": self.likely[order]}
        named = {
            key: [self.names[label] for label in values.tolist()] if self.names else values.tolist()
            for key, values in labels.items()
        }
        suspicion = self.score[order].tolist()
        return {**ordered, **named, "suspicion": suspicion, "is_issue": self.is_issue[order].astype(int).tolist()}

    def csv(self, paths: tuple[str, ...] | None = None, *, origin: Mapping[str, Sequence[Any]] | None = None) -> str:
        """The table as CSV, with texts that no spreadsheet takes for a formula.

        Args:
            paths: of the samples' files; in place of `origin`.
            origin: columns that identify the samples; `index` unless given.
        """
        if origin is None and paths:
            origin = {"path": paths, "index": list(range(len(paths)))}
        columns = self.table(origin)
        columns["suspicion"] = [f"{value:.6f}" for value in columns["suspicion"]]
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow([escaping.csv(str(name)) for name in columns])
        safe = ([escaping.csv(v) if isinstance(v, str) else v for v in values] for values in columns.values())
        writer.writerows(zip(*safe, strict=True))
        return out.getvalue()


def find_label_issues(given: Any, pred_probs: Any) -> LabelIssues:
    """Rank suspect labels and estimate the noise from probabilities that did not see the labels they judge.

    The probabilities may come from any classifier, by cross-validation. They are read in blocks of rows and never
    copied whole: a memory-mapped array may be larger than the memory.

    Args:
        given: (N,) labels, whole numbers from 0 to K-1.
        pred_probs: (N, K) out-of-sample probabilities of any floating type, rows add up to 1.

    Returns:
        The ranking, the estimated rate with an interval and the matrix, findings class by class and a suggested method.

    Raises:
        InputError: lengths that differ, labels outside 0 to K-1, numbers that are no probabilities.

    Example:
        >>> given = [0] * 40 + [1] * 10 + [1] * 50
        >>> p = np.where(np.arange(100)[:, None] < 50, [0.98, 0.02], [0.02, 0.98])
        >>> found = find_label_issues(given, p)
        >>> len(found), round(found.rate, 2), sorted(found.ranking[:10].tolist()) == list(range(40, 50))
        (10, 0.1, True)
    """
    with threadpool_limits(1):  # blocks are too small to be shared out
        labels, p = checked(given, pred_probs)
        evidence = Evidence.of(p, labels)
        opinion = opinion_of(p, labels, evidence.transition)
        refined = refined_transition(p, labels, evidence.transition, opinion.exponent)
    return issues_from(labels, evidence, replace(opinion, transition=refined))


def issues_from(
    given: Labels,
    evidence: Evidence,
    opinion: Opinion,
    *,
    first: Opinion | None = None,
    suspicion: Matrix | None = None,
    recipe: Recipe | None = None,
    names: tuple[str, ...] = (),
) -> LabelIssues:
    """The verdict on given labels, with all that it rests on."""
    found = verdict(evidence, opinion, given, first, suspicion)
    return LabelIssues(
        ranking=found.ranking,
        score=found.score,
        likely=np.where(found.is_issue & (opinion.likely == given), opinion.other, opinion.likely),
        is_issue=found.is_issue,
        rate=found.rate,
        rate_interval=found.rate_interval,
        transition=opinion.transition,
        confident_rate=evidence.joint_rate,
        confident_transition=evidence.joint,
        exponent=opinion.exponent,
        given=given,
        agreement=1 - evidence.disagreement(given),
        informed=found.informed,
        recipe=recipe,
        names=names,
    )
