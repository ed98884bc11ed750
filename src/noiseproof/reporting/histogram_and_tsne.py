"""Figures of what a run keeps beside its record on request, `outputs.safetensors`: the paper's figures 1 and 3.

The arrays are of the last epoch: `train_probability_given` and `train_max_probability`, the model's probability of each
training sample's given label and of its likeliest one; `flipped`, whether the given label is wrong; `test_features`
and `test_clean`, the input of the last layer and the true label of each test sample.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from noiseproof.errors import DataError, DataMissingError, InputError
from noiseproof.experiments import records as record_files
from noiseproof.reporting import figure_style
from noiseproof.reporting.aggregate import Record, aggregate
from noiseproof.reporting.figures import named, place

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "Arrays",
    "FindArrays",
    "beside",
    "draw_histogram",
    "draw_tsne",
    "each_histogram",
    "histogram",
    "separation",
    "tsne",
]

Arrays = Mapping[str, npt.NDArray[Any]]
FindArrays = Callable[[Record], Arrays | None]
_MOST = 16  # panels side by side and below each other
_CLEAN, _WRONG = figure_style.PALETTE[0], figure_style.PALETTE[1]


def beside(folder: str | Path) -> FindArrays:
    """Finder of a record's arrays in a results folder; it answers None where the run kept none."""

    def find(record: Record) -> Arrays | None:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        path = record_files.location(Path(folder), str(record["run_id"])).with_name(record_files.OUTPUTS)
        if not path.is_file():
            return None
        try:
            return load_file(path)
        except (SafetensorError, OSError, KeyError) as error:
            raise DataError(f"cannot read {path}: {error}") from None

    return find


def _first_of_each(records: Iterable[Record], arrays: FindArrays, needed: Sequence[str]) -> list[tuple[str, Arrays]]:
    """A head and the arrays of the lowest seed that kept them, for each row of the table."""
    table = aggregate(records)
    found = []
    for row, name in zip(table, named(table), strict=True):
        seed, kept = next(
            ((record["run"]["seed"], kept) for record in row.records if (kept := arrays(record))), (None, None)
        )
        if kept is not None:
            if missing := [key for key in needed if key not in kept]:
                raise DataError(f"the arrays kept by {name} lack {', '.join(missing)}")
            head = [figure_style.wrap(text, 1.5) for text in (name, place(row, table), f"seed {seed}")]
            found.append(("\n".join(head), kept))
    if not found:
        raise DataMissingError("no run kept its outputs; run again with --keep-outputs")
    if len(found) > _MOST:
        raise InputError(
            f"{len(found)} panels are too many to see, at most {_MOST}: choose with --data, --noise, --methods"
        )
    return found


# Figure 3


def histogram(records: Iterable[Record], path: str | Path, *, arrays: FindArrays) -> list[Path]:
    """Histogram of the model's confidence in its training samples, clean and mislabelled ones apart.

    Above, the probability of the given label: a model that has memorised wrong labels puts the mislabelled ones
    near 1. Below, the probability of the likeliest label.

    Args:
        records: of any runs; of each row the lowest seed is drawn.
        path: without ending for a PNG and a PDF, else .png or .pdf.
        arrays: finds a record's arrays; `beside(folder)`.

    Raises:
        DataMissingError: no run kept its arrays.
    """
    with figure_style.looks():
        return figure_style.save(draw_histogram(records, arrays), path)


def draw_histogram(records: Iterable[Record], arrays: FindArrays) -> Figure:
    """The figure that `histogram` writes."""
    from matplotlib.ticker import PercentFormatter

    rows_of = [("train_probability_given", "p(given label)"), ("train_max_probability", "largest p")]
    found = _first_of_each(records, arrays, [*(key for key, _ in rows_of), "flipped"])
    across = min(len(found), 4)
    figure, axes = figure_style.grid(2 * -(-len(found) // across), across)
    for index, (head, kept) in enumerate(found):
        pair = axes[2 * (index // across) :, index % across][:2]
        pair[0].set_title(head, loc="left")
        for axis, (key, label) in zip(pair, rows_of, strict=True):
            _bars(axis, kept[key], kept["flipped"].astype(bool))
            axis.set(xlabel=label, xlim=(0, 1))
            axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    for axis in axes[:, 0]:
        axis.set_ylabel("share of samples")
    for unused in axes[-2:, len(found) - len(axes[0]) * (len(axes) // 2 - 1) :].flat:
        unused.remove()
    figure_style.legend(figure, figure.axes)
    return figure


def each_histogram(records: Iterable[Record], arrays: FindArrays) -> Iterator[tuple[str, Figure]]:
    """`draw_histogram` for every data set and noise of which a run kept its arrays, with what it shows."""
    table = aggregate(records)
    by_place: dict[str, list[Record]] = defaultdict(list)
    for row in table:
        kept = next((record for record in row.records if arrays(record)), None)
        by_place[place(row, table)] += [] if kept is None else [kept]
    for head, chosen in by_place.items():
        for start in range(0, len(chosen), _MOST):
            yield head, draw_histogram(chosen[start : start + _MOST], arrays)


def _bars(axis: Axes, values: npt.NDArray[Any], wrong: npt.NDArray[np.bool_]) -> None:
    bins = np.linspace(0, 1, 26).tolist()
    for name, chosen, color in (("clean", ~wrong, _CLEAN), ("mislabelled", wrong, _WRONG)):
        own = values[chosen]
        if own.size:
            weights = np.full(own.size, 1 / own.size)
            axis.hist(own, bins, weights=weights, color=color, alpha=0.3)
            axis.hist(own, bins, weights=weights, color=color, histtype="step", linewidth=1.1, label=name)


# Figure 1


def tsne(records: Iterable[Record], path: str | Path, *, arrays: FindArrays) -> list[Path]:
    """The test samples' features in two dimensions, coloured by the true class.

    t-SNE shows neighbours, not distances; what the features themselves say stands below each panel, see `separation`.

    Args:
        records: of any runs; of each row the lowest seed is drawn.
        path: without ending for a PNG and a PDF, else .png or .pdf.
        arrays: finds a record's arrays; `beside(folder)`.

    Raises:
        DataMissingError: no run kept its arrays.
    """
    with figure_style.looks():
        return figure_style.save(draw_tsne(records, arrays), path)


def draw_tsne(records: Iterable[Record], arrays: FindArrays) -> Figure:
    """The figure that `tsne` writes."""
    found = _first_of_each(records, arrays, ["test_features", "test_clean"])
    figure, axes = figure_style.panels(len(found), most=2, height=2.5, width=2.1)
    for axis, (head, kept) in zip(axes, found, strict=True):
        features, clean = kept["test_features"].astype(np.float32), kept["test_clean"]
        silhouette, neighbours = separation(features, clean)
        _scatter(axis, _embedded(features), clean)
        axis.set_title(head, loc="left")
        axis.set_xlabel(f"silhouette {silhouette:.2f}\n10-NN accuracy {100 * neighbours:.1f} %", loc="left")
    return figure


def separation(features: npt.NDArray[Any], clean: npt.NDArray[Any]) -> tuple[float, float]:
    """Separation of the true classes by features: silhouette, and accuracy of a 10-nearest-neighbours vote.

    Both are of the features themselves, no sample being its own neighbour. The silhouette is the mean of (b-a)/max(a,b)
    with a, b the mean distances to the own and the nearest other class, over at most 5,000 samples.

    Example:
        >>> apart = np.array([[0.0], [0.1]] * 20 + [[9.0], [9.1]] * 20)
        >>> silhouette, neighbours = separation(apart, np.repeat([0, 1], 40))
        >>> silhouette > 0.99, neighbours
        (True, 1.0)
    """
    from sklearn.metrics import silhouette_score
    from sklearn.neighbors import NearestNeighbors

    sample = min(len(features), 5000)
    silhouette = float(silhouette_score(features, clean, sample_size=sample, random_state=0))
    k = min(10, len(features) - 1)
    nearest = NearestNeighbors(n_neighbors=k).fit(features).kneighbors(return_distance=False)
    classes, numbers = np.unique(clean, return_inverse=True)
    votes = np.zeros((len(features), len(classes)), int)
    np.add.at(votes, (np.arange(len(features))[:, None], numbers[nearest]), 1)
    return silhouette, float((votes.argmax(1) == numbers).mean())


def _embedded(features: npt.NDArray[Any]) -> npt.NDArray[Any]:
    from sklearn.manifold import TSNE

    perplexity = min(30.0, (len(features) - 1) / 3)
    points = TSNE(n_components=2, init="pca", perplexity=perplexity, random_state=123).fit_transform(features)
    low, high = points.min(0), points.max(0)
    return np.asarray((points - low) / np.where(high > low, high - low, 1))


def _scatter(axis: Axes, points: npt.NDArray[Any], clean: npt.NDArray[Any]) -> None:
    """Points, and each class's number at its middle so that colour is not all there is."""
    from matplotlib import patheffects

    halo = [patheffects.withStroke(linewidth=2, foreground="white")]
    classes = np.unique(clean)
    size = max(0.5, min(6.0, 4000 / len(points)))
    for index, one in enumerate(classes):
        x, y = points[clean == one].T
        axis.scatter(x, y, s=size, linewidths=0, alpha=0.6, color=figure_style.tint(index)["color"])
    if len(classes) <= 20:
        middles = _apart(np.array([np.median(points[clean == one], axis=0) for one in classes], float))
        for one, (x, y) in zip(classes, middles, strict=True):
            axis.text(x, y, str(one), ha="center", va="center", fontsize=8, weight="bold", path_effects=halo)
    axis.set(xticks=[], yticks=[], aspect="equal")
    axis.spines[:].set_visible(False)


def _apart(middles: npt.NDArray[np.float64], gap: float = 0.09) -> npt.NDArray[np.float64]:
    """Places of the classes' numbers, moved until no two lie nearer to each other than the gap."""
    middles = middles + 1e-6 * np.arange(len(middles))[:, None] * [1, -1]  # two at one place have a direction, too
    for _ in range(100):
        offset = middles[:, None] - middles
        distance = np.hypot(*np.moveaxis(offset, -1, 0))
        lack = np.where((distance > 0) & (distance < gap), gap - distance, 0)
        push = (lack / np.where(distance > 0, distance, 1))[..., None] * offset
        middles = middles + push.sum(1) / 2
    return middles
