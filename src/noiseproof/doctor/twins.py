"""Twins: samples of the same content, or nearly so, with different labels or on both sides of the train-test split."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from noiseproof.data.dataset import Origin, Split, Texts, is_frame
from noiseproof.escaping import visible

__all__ = ["Twins", "find_twins", "twin_vectors", "twins_told"]

_NEAR = 0.02  # of the median distance to the nearest neighbour: closer samples count as near twins
_BLOCK = 1024
_MOST = 20_000  # samples up to which near twins are looked for: each is compared with each


@dataclass(frozen=True)
class Twins:
    """A group of samples of the same, or nearly the same, content.

    Attributes:
        positions: in the samples that were compared, ascending.
        labels: their given labels, as class names.
        exact: the same bytes, not only near.
        across: some are of the training part and some of the test part.
    """

    positions: tuple[int, ...]
    labels: tuple[str, ...]
    exact: bool
    across: bool

    @property
    def contradict(self) -> bool:
        """True if they have different labels: at least one of them is wrong, or the item is ambiguous."""
        return len(set(self.labels)) > 1

    def to_json(self) -> dict[str, Any]:
        """The group as plain values."""
        return {
            "positions": list(self.positions),
            "labels": list(self.labels),
            "exact": self.exact,
            "across": self.across,
            "contradict": self.contradict,
        }


def twins_told(several: Sequence[Twins], origin: Origin) -> list[str]:
    """Twins in a few lines: how many contradict each other or stand on both sides of the split, and the first ones.

    Args:
        several: the groups.
        origin: of the training samples.
    """
    lines = []
    for exact, what in ((True, "the same"), (False, "nearly the same")):
        if contradicting := [one for one in several if one.contradict and one.exact is exact]:
            lines.append(f"{len(contradicting):,} groups of {what} item with different labels:")
            for one in contradicting[:5]:
                named = list(zip(one.positions, one.labels, strict=True))[:8]
                names = [f"{origin.name(i) if i < len(origin) else 'a test sample'} ({k})" for i, k in named]
                lines.append("  " + ", ".join(names) + (", ..." if len(one.positions) > 8 else ""))
            if len(contradicting) > 5:
                lines.append(f"  and {len(contradicting) - 5:,} more; --json lists all")
    if across := [one for one in several if one.across]:
        lines.append(f"{len(across):,} items stand in both the training and the test part: test accuracy is too good")
    return [visible(line, None) for line in lines]


def twin_vectors(train: Split, test: Split | None = None) -> npt.NDArray[np.float32] | None:
    """Vectors by which near twins are found, training samples first; None for more than 20,000 samples."""
    from noiseproof.doctor.cleaning.apply import joined
    from noiseproof.doctor.diagnosis_inputs import vectors_of

    whole = train if test is None else joined(train, test)
    if len(whole) > _MOST:
        return None
    vectors = vectors_of(whole.inputs, directions=500)  # fewer would bring texts together that merely resemble
    scale = vectors.std(0)
    return np.asarray((vectors - vectors.mean(0)) / np.where(scale > 0, scale, 1), np.float32)


def find_twins(
    train: Split, test: Split | None = None, *, vectors: npt.NDArray[np.floating[Any]] | None = None
) -> list[Twins]:
    """Groups of twins that matter: those with different labels, or on both sides of the split.

    Args:
        train: the training part.
        test: the test part, if there is one.
        vectors: features of all samples, training part first, (N, D); near twins are looked for where they are given.

    Returns:
        Exact twins first; positions count the training samples, then the test samples.
    """
    parts = [train, *([test] if test is not None else [])]
    hashes = [digest for part in parts for digest in _contents(part)]
    labels = [part.classes[label] for part in parts for label in part.given.tolist()]
    groups: dict[str, list[int]] = defaultdict(list)
    for position, digest in enumerate(hashes):
        groups[digest].append(position)
    exact = [group for group in groups.values() if len(group) > 1]
    near = [] if vectors is None else _near(np.asarray(vectors, np.float32), hashes)
    border = len(train)
    made = [
        Twins(
            tuple(group),
            tuple(labels[i] for i in group),
            group in exact,
            min(group) < border <= max(group),
        )
        for group in [*exact, *near]
    ]
    return [twins for twins in made if twins.contradict or twins.across]


def _contents(split: Split) -> list[str]:
    """A hash of each sample's content."""
    inputs = split.inputs
    if isinstance(inputs, Tensor):
        array = np.ascontiguousarray(inputs.numpy())
        return [hashlib.sha256(row.tobytes()).hexdigest() for row in array]
    if isinstance(inputs, Texts):
        return [hashlib.sha256(" ".join(text.split()).encode("utf-8", "replace")).hexdigest() for text in inputs]
    if is_frame(inputs):
        import pandas as pd

        return [f"{value:016x}" for value in pd.util.hash_pandas_object(inputs, index=False).tolist()]
    return [_file(path) for path in inputs]


def _file(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return f"unreadable {path}"


def _near(vectors: npt.NDArray[np.float32], hashes: Sequence[str]) -> list[list[int]]:
    """Groups of samples whose vectors nearly coincide though their contents differ."""
    count = len(vectors)
    if count < 3:
        return []
    blocks = [slice(start, min(start + _BLOCK, count)) for start in range(0, count, _BLOCK)]
    nearest = np.concatenate([_distances(vectors, block).min(1) for block in blocks])
    limit = _NEAR**2 * float(np.median(nearest))
    parent = list(range(count))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for block in blocks:
        if nearest[block].min() <= limit:
            for i, j in np.argwhere(_distances(vectors, block) <= limit).tolist():
                if hashes[block.start + i] != hashes[j]:
                    parent[root(j)] = root(block.start + i)
    groups: dict[int, list[int]] = defaultdict(list)
    for i in range(count):
        groups[root(i)].append(i)
    return [group for group in groups.values() if len(group) > 1]


def _distances(vectors: npt.NDArray[np.float32], block: slice) -> npt.NDArray[np.float32]:
    """Squared distances of a block's samples to all samples; infinite to themselves."""
    squares = (vectors**2).sum(1)
    found = squares[block, None] + squares[None] - 2 * vectors[block] @ vectors.T
    found[np.arange(len(found)), np.arange(block.start, block.stop)] = np.inf
    return np.asarray(np.maximum(found, 0), np.float32)
