"""Decisions by a rule, from an issues file: drop, relabel or weight the suspects."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from noiseproof.doctor.cleaning.decisions import Decision
from noiseproof.doctor.cleaning.key_matching import read_rows
from noiseproof.errors import DataError, InputError, one_of

__all__ = ["Issue", "decide", "read_issues", "warnings"]

_ACTIONS = ("drop", "relabel", "weight")
_LEAST_WEIGHT = 0.01
_OWN = ("given", "likely", "suspicion", "is_issue")
_TRUE = ("true", "1", "1.0", "yes", "wahr", "vrai", "verdadero", "vero", "waar", "verdadeiro", "prawda", "истина")
_FALSE = ("false", "0", "0.0", "no", "falsch", "faux", "falso", "onwaar", "fałsz", "ложь")  # as spreadsheets save them
_MANY = 0.1  # share of a class from which dropping it is worth a warning


@dataclass(frozen=True)
class Issue:
    """One row of an issues file; `is_issue` is None where that column was taken out."""

    key: dict[str, str]
    given: str
    likely: str
    suspicion: float
    is_issue: bool | None


def read_issues(path: str | Path) -> list[Issue]:
    """Read an issues file, also one that a spreadsheet has changed: the most suspect first.

    Raises:
        DataError: a column is missing, or a suspicion is no number from 0 to 1; names the row.
    """
    path = Path(path)
    issues = []
    for number, row in enumerate(read_rows(path, ["given", "likely", "suspicion"]), 2):
        text = row["suspicion"].strip().replace(",", ".")
        try:
            suspicion = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
        except ValueError:
            suspicion = -1.0
        if not 0 <= suspicion <= 1:
            raise DataError(f"{path}, row {number}: suspicion must lie in [0, 1], got {text!r}")
        flag = row.get("is_issue", "").strip().lower()
        if "is_issue" in row and flag not in (*_TRUE, *_FALSE):
            raise DataError(f"{path}, row {number}: is_issue must be true or false, got {flag!r}")
        key = {name: value for name, value in row.items() if name not in _OWN}
        flagged = flag in _TRUE if "is_issue" in row else None
        issues.append(Issue(key, row["given"], row["likely"], suspicion, flagged))
    return sorted(issues, key=lambda issue: -issue.suspicion)


def decide(
    issues: Sequence[Issue], action: str, *, top: int | None = None, score: float | None = None
) -> tuple[list[Decision], list[str]]:
    """Decisions about the suspects: those flagged, or the first `top`, or all from a suspicion of `score` on.

    Args:
        issues: the most suspect first.
        action: "drop", "relabel" (to the likely label) or "weight" (1 - suspicion, at least 0.01).
        top: number of suspects to act on.
        score: smallest suspicion to act on.

    Returns:
        The decisions, and notes such as the expected number of new labels that are wrong.

    Raises:
        InputError: relabelling without `top` or `score`, a threshold outside [0, 1], or nothing to act on.
    """
    one_of("action", action, _ACTIONS)
    if top is not None and top < 1:
        raise InputError(f"--top takes a number from 1, got {top}")
    if score is not None and not 0 <= score <= 1:
        raise InputError(f"--score is a suspicion from 0 to 1, got {score:g}")
    if action == "relabel" and top is None and score is None:
        raise InputError(
            "relabelling without a review needs a threshold: --score 0.9, or --top N; "
            "or decide one by one on the review page and give --review"
        )
    if top is None and score is None and any(issue.is_issue is None for issue in issues):
        raise InputError("the issues have no column is_issue to say which are meant; add --score 0.5 or --top N")
    chosen = list(issues) if top is not None or score is not None else [issue for issue in issues if issue.is_issue]
    if score is not None:
        chosen = [issue for issue in chosen if issue.suspicion >= score]
    chosen = chosen[:top]
    without = [issue for issue in chosen if not issue.likely.strip()] if action == "relabel" else []
    if action == "relabel":
        chosen = [issue for issue in chosen if issue.likely.strip() and issue.likely != issue.given]
    if not chosen:
        raise InputError("no sample is that suspect; nothing to do")
    rule = f"{action}, " + (f"suspicion from {score:g}" if score is not None else "flagged" if top is None else "")
    rule = rule.rstrip(", ") + (f", first {top}" if top is not None else "")
    now = time.strftime("%Y-%m-%dT%H:%M:%S")
    decisions = [
        Decision(
            issue.key,
            issue.given,
            action,
            issue.likely if action == "relabel" else "",
            max(_LEAST_WEIGHT, round(1 - issue.suspicion, 6)) if action == "weight" else None,
            f"rule: {rule}",
            now,
        )
        for issue in chosen
    ]
    notes = []
    if without:
        notes.append(f"{len(without):,} suspects without a likely label keep the one that they have")
    mistaken = sum(1 - issue.suspicion for issue in chosen)
    if action == "relabel":
        notes.append(
            f"of {len(chosen):,} relabelled samples about {mistaken:.0f} are expected to have been right before "
            "(the sum of 1 - suspicion); more new labels may be wrong where a third class is the true one"
        )
    elif action == "drop":
        notes.append(f"of {len(chosen):,} dropped samples about {mistaken:.0f} are expected to have a right label")
    return decisions, notes


def warnings(decisions: Sequence[Decision], labels: Sequence[str]) -> list[str]:
    """Warnings about classes that are new, and those that lose all their samples or more than a tenth of them.

    Args:
        decisions: drops and relabels.
        labels: the given label of every sample.
    """
    before = Counter(labels)
    lost = Counter(one.given for one in decisions if one.decision in ("drop", "relabel"))
    gained = Counter(one.label for one in decisions if one.decision == "relabel")
    dropped = Counter(one.given for one in decisions if one.decision == "drop")
    new = Counter(one.label for one in decisions if one.decision == "relabel" and one.label not in before)
    found = [
        f"{name!r} is the new label of {count:,} samples and no class of the data so far; is it spelled right?"
        for name, count in new.items()
    ]
    found += [
        f"class {name!r} will be empty: all its {count:,} samples are dropped or relabelled"
        for name, count in before.items()
        if count - lost[name] + gained[name] <= 0
    ]
    found += [
        f"class {name!r} loses {dropped[name] / count:.0%} of its samples; a class that is hard to tell from others "
        "looks suspect as a whole: review some of them first"
        for name, count in before.items()
        if dropped[name] > _MANY * count and count - lost[name] + gained[name] > 0
    ]
    return found
