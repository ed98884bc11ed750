"""Answers of several annotators: the label by majority, soft targets, and the quality of each annotator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from noiseproof.data.readers import classes
from noiseproof.data.readers.table import Column, Table
from noiseproof.data.reading_account import Reading
from noiseproof.errors import DataError

__all__ = ["Annotations", "from_shares", "from_votes", "soft_targets", "wide"]


@dataclass(frozen=True, eq=False)
class Annotations:
    """Answers of several annotators about the same items.

    Args:
        annotators: their names.
        votes: class index of each answer, -1 for none, (N, annotators); None where probabilities came instead.
        soft: share of the answers that name each class, (N, K); rows without an answer are zero.
        consensus: class by majority, (N,), -1 without an answer; ties go by the annotators' quality.
        quality: share of each annotator's answers that agree with the majority; NaN without an answer.
        answered: number of answers of each annotator.
        ties: number of items whose majority was a tie.
        classes: names of the classes.
    """

    annotators: tuple[str, ...]
    votes: npt.NDArray[np.int64] | None
    soft: npt.NDArray[np.float64]
    consensus: npt.NDArray[np.int64]
    quality: npt.NDArray[np.float64]
    answered: npt.NDArray[np.int64]
    ties: int
    classes: tuple[str, ...]


def from_votes(votes: npt.NDArray[np.int64], names: Sequence[str], annotators: Sequence[str]) -> Annotations:
    """Majority, soft targets and annotators' quality of a matrix of votes.

    Args:
        votes: class indices (N, annotators), -1 for no answer.
        names: names of the classes.
        annotators: names of the annotators.

    Source: crowd-kit's MajorityVote; ties and quality by its Wawa (worker agreement with the aggregate).

    Example:
        >>> found = from_votes(np.array([[0, 0, 1], [1, -1, 1]]), ["cat", "dog"], ["a", "b", "c"])
        >>> found.consensus.tolist(), found.quality.tolist()
        ([0, 1], [1.0, 1.0, 0.5])
    """
    counts = _counts(votes, np.ones(votes.shape[1]), len(names))
    top = counts.max(axis=1)
    answered = top > 0
    leaders = (counts == top[:, None]) & answered[:, None]
    consensus = np.where(answered, counts.argmax(axis=1), classes.NO_LABEL)
    given = votes >= 0
    agrees = given & (votes == consensus[:, None])
    with np.errstate(invalid="ignore"):
        quality = agrees.sum(axis=0) / given.sum(axis=0)
        soft = np.where(answered[:, None], counts / counts.sum(axis=1, keepdims=True), 0.0)
    tied = leaders.sum(axis=1) > 1
    if tied.any():
        weighted = _counts(votes[tied], np.nan_to_num(quality), len(names))
        consensus[tied] = np.where(leaders[tied], weighted, -1.0).argmax(axis=1)
    return Annotations(
        tuple(annotators), votes, soft, consensus, quality, given.sum(axis=0), int(tied.sum()), tuple(names)
    )


def from_shares(shares: npt.NDArray[np.float64], names: Sequence[str]) -> Annotations:
    """Soft targets from probabilities, percent or counts, (N, K); classes that no row gives anything are dropped.

    Example:
        >>> found = from_shares(np.array([[3.0, 0, 1], [0, 0, 2]]), ["cat", "dog", "owl"])
        >>> found.soft.tolist(), found.classes
        ([[0.75, 0.25], [0.0, 1.0]], ('cat', 'owl'))
    """
    used = np.flatnonzero((shares > 0).any(axis=0))
    soft = shares[:, used] / shares.sum(axis=1, keepdims=True)
    none = np.zeros(0)
    kept = tuple(names[place] for place in used.tolist())
    return Annotations((), None, soft, soft.argmax(axis=1), none, none.astype(np.int64), 0, kept)


def wide(columns: Sequence[Column]) -> Annotations:
    """Annotations of columns with one annotator's answers each."""
    coded, names = classes.indices(columns)
    return from_votes(np.stack(coded, axis=1), names, [column.name for column in columns])


def from_long(table: Table, item: npt.NDArray[np.int64], label: Column, annotator: Column) -> Annotations:
    """Annotations of a table with one answer a row; the last answer of an annotator about an item counts.

    Args:
        table: for messages.
        item: the item of each row, 0 to M-1.
        label: the answers.
        annotator: who gave each.
    """
    (given,), names = classes.indices([label])
    people, who = annotator.coded
    if not len(item):
        raise DataError(f"{table.source}: holds no answer")
    votes = np.full((int(item.max()) + 1, len(people)), classes.NO_LABEL, np.int64)
    answered = given >= 0
    votes[item[answered], who[answered]] = given[answered]
    return from_votes(votes, names, people)


def soft_targets(
    found: Annotations | None, wanted: bool, source: str, reading: Reading, keep: npt.NDArray[np.int64]
) -> torch.Tensor | None:
    """Soft targets of the samples that are kept, where they are asked for; where they are not, a note that there are.

    Raises:
        DataError: they are asked for and there is one label a sample.
    """
    if found is None and wanted:
        raise DataError(
            f"{source}: one label a sample is no soft target; --soft needs several annotators (--annotators a,b,c) or "
            "a column of probabilities a class (--label 'p_*')"
        )
    if found is None:
        return None
    if not wanted and ((found.soft > 0).sum(axis=1) > 1).any():
        what = "the majority" if found.votes is not None else "the most probable class"
        reading.notes.append(f"each sample has the label of {what}; --soft trains on the shares of all classes")
    return torch.from_numpy(found.soft[keep]).float() if wanted else None


def _counts(votes: npt.NDArray[np.int64], weights: npt.NDArray[np.float64], count: int) -> npt.NDArray[np.float64]:
    """Weighted number of votes for each class, (N, K)."""
    found = np.zeros((len(votes), count))
    for column, weight in enumerate(weights):
        rows = np.flatnonzero(votes[:, column] >= 0)
        found[rows, votes[rows, column]] += weight
    return found
