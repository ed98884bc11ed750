"""Sure regions: for each class the samples that a judge is surest of, and the labels that they were given.

The true class of these samples is nearly certain, and the judge has not seen their labels, so the labels show the
noise: C[j, k] samples of class j's region were given k. The count holds where classes separate; a class that no sample
is surely of has no sure region, and its own label does not lead there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from noiseproof.doctor.probabilities import Labels, blocks, order_by

__all__ = ["Direction", "SureRegions", "anchored_transition", "direction_of", "sure_regions"]

Matrix = npt.NDArray[np.float64]

_SMALL, _LARGE = 0.2, 0.4  # shares of each class's given count
_FEWEST = 15  # samples of a region
_EXPECTED, _SAMPLED = 64, 1 << 22  # rows of a region that a first sample should hold; entries of that sample at most
_WIDE = 0.7  # share of a class's count in which strange labels must lie at random
_STRONG = 0.2  # difference of shares from which a direction decides the ranking


@dataclass(frozen=True, eq=False)
class SureRegions:
    """Given labels in each class's sure region.

    Attributes:
        counts: (K, K), C[j, k] samples of class j's region were given k.
    """

    counts: Matrix

    @cached_property
    def sizes(self) -> Matrix:
        """Samples of each region, (K,)."""
        return np.asarray(self.counts.sum(1))

    @cached_property
    def shares(self) -> Matrix:
        """a[j, k]: share of class j's region that was given k."""
        return np.asarray(self.counts / np.maximum(self.sizes, 1)[:, None])

    @cached_property
    def leads(self) -> npt.NDArray[np.bool_]:
        """Classes whose own label is the most frequent one of their region, (K,)."""
        return np.asarray((self.counts.argmax(1) == np.arange(len(self.counts))) & (self.sizes > 0))

    @cached_property
    def cleanest(self) -> float:
        """Share of strange labels that all but a tenth of the regions exceed.

        Where all classes are equally noisy, the regions of those that separate well show the noise alone.
        """
        strange = 1 - self.shares.diagonal()[self.sizes > 0]
        return float(np.quantile(strange, 0.1, method="lower")) if len(strange) else 0.0

    @cached_property
    def asymmetry(self) -> Matrix:
        """z[j, k] = |a_jk - a_kj| over its standard error, two binomials."""
        n = np.maximum(self.sizes, 1)[:, None]
        p = (self.counts + 0.5) / (n + 1)
        variance = p * (1 - p) / n
        return np.asarray(np.abs(self.shares - self.shares.T) / np.sqrt(variance + variance.T))


@dataclass(frozen=True)
class Direction:
    """Evidence that classes lose samples to each other unequally.

    Attributes:
        significant: more than chance explains.
        strong: large enough to rank by the noise alone, too.
    """

    significant: bool
    strong: bool


def sure_regions(p: npt.NDArray[Any], given: Labels, *shares: float) -> list[SureRegions]:
    """The given labels of the rows with the largest p_j, for each class j, once for each share.

    Args:
        p: out-of-sample probabilities (N, K).
        given: labels (N,).
        shares: of each class's count, that its region takes; 0.2 and 0.4 unless given.
    """
    shares = shares or (_SMALL, _LARGE)
    samples, classes = p.shape
    counts = np.bincount(given, minlength=classes)
    most = max(_FEWEST, samples / classes)
    sizes = [np.clip(share * counts, _FEWEST, most).astype(np.int64) for share in shares]
    sizes = [np.minimum(size, counts) for size in sizes]  # more would name a small class after its neighbours
    found = [np.zeros((classes, classes)) for _ in shares]
    labels, starts = _surest(p, given, np.maximum.reduce(sizes))
    for label in range(classes):
        mine = labels[starts[label] : starts[label + 1]]
        for region, size in zip(found, sizes, strict=True):
            region[label] = np.bincount(mine[: size[label]], minlength=classes)
    return [SureRegions(region) for region in found]


def _surest(p: npt.NDArray[Any], given: Labels, sizes: Labels) -> tuple[Labels, Labels]:
    """For each class the given labels of its `sizes` surest rows, the surest first, and where each class begins.

    One pass over the rows: a row is kept for a class while it is above the class's threshold so far. The first
    thresholds come from a sample of the rows; should they keep too few, a second pass does without them.
    """
    first = _first_thresholds(p, sizes)
    label, where = _kept(p, sizes, first)
    if (np.bincount(label, minlength=len(sizes)) < sizes).any():
        label, where = _kept(p, sizes, np.minimum(first, np.float32(-1)))
    return given[where], np.searchsorted(label, np.arange(len(sizes) + 1))


def _first_thresholds(p: npt.NDArray[Any], sizes: Labels) -> npt.NDArray[np.float32]:
    """For each class a probability that almost surely at least `sizes` rows exceed, and not many more."""
    samples, classes = p.shape
    enough = _EXPECTED * samples // max(int(sizes.max()), 1)
    rows = np.arange(0, samples, max(1, samples // max(1, min(enough, _SAMPLED // classes))))
    expected = sizes * len(rows) / samples
    rank = np.ceil(expected + 4 * np.sqrt(expected) + 4).astype(np.int64)
    threshold = np.full(classes, -1.0, np.float32)
    columns = np.ascontiguousarray(np.asarray(p[rows], dtype=np.float32).T)
    for label in np.flatnonzero(rank < len(rows)):
        place = len(rows) - rank[label]
        threshold[label] = np.partition(columns[label], place)[place]
    return np.nextafter(threshold, np.float32(-2))


def _kept(
    p: npt.NDArray[Any], sizes: Labels, first: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Classes and rows of the surest entries above the first thresholds, by class and then the surest first."""
    threshold = np.where(sizes > 0, first, np.float32(np.inf))
    parts: list[tuple[npt.NDArray[Any], ...]] = []
    held, limit = 0, 4 * int(sizes.sum()) + (1 << 16)
    for rows, part in blocks(p):
        places = np.flatnonzero(part > threshold)
        where, label = np.divmod(places, len(sizes))
        parts.append((label, part.ravel()[places] + np.float32(0), where + rows.start))
        held += len(where)
        if held > limit:
            parts = [_pruned(parts, sizes, threshold)]
            held = len(parts[0][0])
    label, _, where = _pruned(parts, sizes, threshold)
    return label, where


def _pruned(
    parts: list[tuple[npt.NDArray[Any], ...]], sizes: Labels, threshold: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[Any], ...]:
    """The surest rows of each class, by class and then the surest first; raises the thresholds to the last of each."""
    label, p, where = (np.concatenate(values) for values in zip(*parts, strict=True))
    surest_first = np.uint64(1 << 32) - p.view(np.uint32)  # bits of numbers from 0 grow with them
    shuffled = where.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)  # equal probabilities in an arbitrary order
    order = order_by((label.astype(np.uint64) << np.uint64(33)) + surest_first, shuffled)
    label, p, where = label[order], p[order], where[order]
    starts = np.searchsorted(label, np.arange(len(sizes) + 1))
    keep = np.arange(len(label)) - starts[label] < sizes[label]
    full = (np.diff(starts) >= sizes) & (sizes > 0)
    threshold[full] = p[np.minimum(starts[:-1] + sizes, len(p)) - 1][full]
    return label[keep], p[keep], where[keep]


def direction_of(p: npt.NDArray[Any], given: Labels, small: SureRegions, large: SureRegions) -> Direction:
    """The test for a direction, from regions of a fifth and of two fifths of each class.

    Significant: the largest z is over 3 in the small regions and over 4 in the large ones, among classes whose own
    label leads; the second limit grows with the number of pairs unless several pairs come near it. The strange labels
    must be spread at random in the region, too: at a border the judge knows which they are. Strong: a difference of
    shares is over 0.2 there.
    """
    classes = len(small.counts)
    z = np.where(large.leads[:, None] & large.leads, large.asymmetry, 0.0)
    several = (z > 3.5).sum() / 2 >= max(2, classes / 4)
    limit = 4.0 if several else 4.0 + 0.25 * np.log(classes * (classes - 1) / 2)
    if small.asymmetry.max() <= 3 or z.max() <= limit:
        return Direction(False, False)
    losing, gaining = np.unravel_index(np.argmax(np.where(large.shares > large.shares.T, z, 0)), z.shape)
    if _at_border(p, given, int(losing), int(gaining)):
        return Direction(False, False)
    return Direction(True, bool(np.abs(large.shares - large.shares.T)[z > 4].max(initial=0.0) > _STRONG))


def _at_border(p: npt.NDArray[Any], given: Labels, losing: int, gaining: int) -> bool:
    """True where p tells, among the surest 70 % of one class, the rows given another label from those given its own."""
    own = np.asarray(p[:, losing], dtype=np.float32)
    rows = np.argsort(-own, kind="stable")[: int(_WIDE * (given == losing).sum())]
    rows = rows[(given[rows] == losing) | (given[rows] == gaining)]
    strange = given[rows] == gaining
    inside, outside = int(strange.sum()), int((~strange).sum())
    if not inside or not outside:
        return False
    lead = np.asarray(p[rows, gaining], dtype=np.float32) - own[rows]
    ranks = float(rankdata(lead)[strange].sum()) - inside * (inside + 1) / 2
    return bool((ranks - inside * outside / 2) / np.sqrt(inside * outside * (inside + outside + 1) / 12) > 3)


def anchored_transition(regions: SureRegions) -> Matrix:
    """T[j, k] = P(given k | true j) from the sure regions, shrunk where the counts do not tell classes apart.

    The diagonal is l a_jj + (1 - l) d with d the pooled share of own labels and l = max(0, 1 - (K-1) / X), X the
    chi-square of the own labels against d; the other shares are shrunk likewise towards even ones.

    Example:
        >>> anchored_transition(SureRegions(np.array([[80.0, 20.0], [20.0, 80.0]]))).round(3).tolist()
        [[0.8, 0.2], [0.2, 0.8]]
    """
    counts, n = regions.counts, np.maximum(regions.sizes, 1)
    classes = len(counts)
    own = counts.diagonal()
    pooled = float(np.clip(own.sum() / n.sum(), 1e-3, 1 - 1e-3))
    chi2 = float(((own - n * pooled) ** 2 / (n * pooled * (1 - pooled))).sum())
    trust = max(0.0, 1 - (classes - 1) / max(chi2, 1e-12))
    share = np.where(regions.sizes > 0, own / n, pooled)
    diagonal = np.clip(trust * share + (1 - trust) * pooled, 1e-3, 1 - 1e-3)
    others = np.where(np.eye(classes, dtype=bool), 0.0, counts)
    even = np.where(np.eye(classes, dtype=bool), 0.0, 1 / max(classes - 1, 1))
    expected = others.sum(1, keepdims=True) * even
    chi2 = float(((others - expected) ** 2 / np.where(expected > 0, expected, 1.0)).sum())
    trust = max(0.0, 1 - classes * (classes - 2) / max(chi2, 1e-12))
    wrong = trust * (others + even) / (others.sum(1, keepdims=True) + 1) + (1 - trust) * even
    return np.asarray(wrong * (1 - diagonal)[:, None] + np.diag(diagonal))
