"""Figures are pure functions of records: curves, the noise as it came out, and the shape of a loss."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from noiseproof.errors import InputError
from noiseproof.escaping import visible
from noiseproof.humanize import counted
from noiseproof.reporting import figure_style
from noiseproof.reporting.aggregate import Aggregate, Record, aggregate, method_order, short_noise
from noiseproof.reporting.tables import variants

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = [
    "curves",
    "draw_curves",
    "draw_loss",
    "draw_transition",
    "each_curves",
    "each_transition",
    "loss",
    "named",
    "place",
    "transition",
]

Floats = npt.NDArray[np.float64]


def named(table: Sequence[Aggregate]) -> list[str]:
    """Name of each aggregate in a figure: its method and, among several of one method, the settings that differ."""
    return [
        visible(f"{row.method} ({label})" if label else row.method)
        for row, label in zip(table, variants(table), strict=True)
    ]


def place(row: Aggregate, all_rows: Sequence[Aggregate]) -> str:
    """The head of the panel that a row belongs to: its data set and its noise."""
    noise = short_noise(row.noise)
    if len({(one.noise, one.shared["convention"]) for one in all_rows}) > len({one.noise for one in all_rows}):
        noise += f" [{row.shared['convention'] or 'no convention'}]"
    sources = {(one.data, one.shared["fingerprint"]) for one in all_rows}
    data = (
        row.data
        if len({name for name, _ in sources}) == len(sources)
        else f"{row.data} {row.shared['fingerprint'][:8]}"
    )
    return visible(f"{data}, {noise}")


# Curves


def curves(records: Iterable[Record], path: str | Path) -> list[Path]:
    """Test accuracy by epoch, a panel for each data set and noise, a line for each method: the mean over the seeds.

    The band is one sample standard deviation to either side.

    Args:
        records: of any runs, in any order.
        path: without ending for a PNG and a PDF, else .png or .pdf.

    Returns:
        The files written.

    Raises:
        InputError: no record has a curve.
    """
    with figure_style.looks():
        return figure_style.save(draw_curves(records), path)


def draw_curves(records: Iterable[Record]) -> Figure:
    """The figure that `curves` writes."""
    by_place, tints = _lines(records)
    figure, axes = figure_style.panels(len(by_place))
    for axis, (head, lines) in zip(axes, by_place.items(), strict=True):
        _draw_lines(axis, head, lines, tints)
    figure_style.legend(figure, axes)
    return figure


def each_curves(records: Iterable[Record]) -> Iterator[tuple[str, Figure]]:
    """The panels of `draw_curves` as figures of their own, with their heads; a method has one colour in all of them."""
    by_place, tints = _lines(records)
    for head, lines in by_place.items():
        figure, axes = figure_style.panels(1)
        _draw_lines(axes[0], head, lines, tints)
        figure_style.legend(figure, axes)
        yield head, figure


def _lines(records: Iterable[Record]) -> tuple[dict[str, list[tuple[str, Aggregate]]], dict[str, dict[str, Any]]]:
    """The named rows of each panel, and how each name is drawn."""
    table = [row for row in aggregate(records) if row.records and all(map(_curve, row.records))]
    if not table:
        raise InputError("none of the records has a curve of the test accuracy")
    names = named(table)
    in_order = sorted({(method_order(row.method), name) for row, name in zip(table, names, strict=True)})
    by_place: dict[str, list[tuple[str, Aggregate]]] = defaultdict(list)
    for row, name in zip(table, names, strict=True):
        by_place[place(row, table)].append((name, row))
    return by_place, {name: figure_style.tint(index) for index, (_, name) in enumerate(in_order)}


def _draw_lines(
    axis: Axes, head: str, lines: Sequence[tuple[str, Aggregate]], tints: Mapping[str, dict[str, Any]]
) -> None:
    from matplotlib.ticker import MaxNLocator

    for name, row in lines:
        _band(axis, row, name, tints[name])
    axis.set(xlabel="epoch", ylabel="test accuracy (%)")
    axis.set_title(f"{figure_style.wrap(head, 2.3)}\n{_averaged([row.n for _, row in lines])}", loc="left")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.margins(x=0.01)


def _averaged(seeds: Sequence[int]) -> str:
    """Description of a line and its band, for lines over these numbers of seeds.

    Example:
        >>> _averaged([3, 3]), _averaged([1])
        ('mean of 3 seeds, band ± 1 std', '1 seed')
    """
    if max(seeds) == 1:
        return "1 seed"
    count = f"{min(seeds)} to {max(seeds)}" if min(seeds) < max(seeds) else str(max(seeds))
    return f"mean of {count} seeds, band ± 1 std"


def _curve(record: Record) -> list[float]:
    values = record["result"]["curves"].get("test_accuracy") or []
    return [float("nan") if value is None else float(value) for value in values]


def _band(axis: Axes, row: Aggregate, name: str, tint: dict[str, Any]) -> None:
    lines = list(map(_curve, row.records))
    values = np.array([line[: min(map(len, lines))] for line in lines])
    epochs = np.arange(1, values.shape[1] + 1)
    mean = values.mean(0)
    axis.plot(epochs, mean, label=name, marker="o" if len(epochs) == 1 else None, **tint)
    if len(values) > 1:
        std = values.std(0, ddof=1)
        axis.fill_between(epochs, mean - std, mean + std, color=tint["color"], alpha=0.15, linewidth=0)


# The noise as it came out

_SHARE = "share of the clean class"


def transition(records: Iterable[Record], path: str | Path) -> list[Path]:
    """Heat maps of the realised transition matrices, the mean over the seeds: row clean label, column given label.

    Raises:
        InputError: no record has a matrix.
    """
    with figure_style.looks():
        return figure_style.save(draw_transition(records), path)


def draw_transition(records: Iterable[Record]) -> Figure:
    """The figure that `transition` writes."""
    by_place = _matrices(records)
    figure, axes = figure_style.panels(len(by_place), height=2.9, width=3.2)
    images = [_heat(axis, head, group) for axis, (head, group) in zip(axes, by_place.items(), strict=True)]
    figure_style.colour_bar(figure, images[0], axes, _SHARE)
    return figure


def each_transition(records: Iterable[Record]) -> Iterator[tuple[str, Figure]]:
    """The panels of `draw_transition` as figures of their own, with their heads."""
    for head, group in _matrices(records).items():
        figure, axes = figure_style.panels(1, height=2.9, width=3.2)
        figure_style.colour_bar(figure, _heat(axes[0], head, group), axes, _SHARE)
        yield head, figure


def _matrices(records: Iterable[Record]) -> dict[str, dict[str, Record]]:
    """For each panel, a record of each vector of given labels; methods share those of a seed."""
    table = [row for row in aggregate(records) if row.records and all(len(_matrix(record)) for record in row.records)]
    if not table:
        raise InputError("none of the records has a transition matrix")
    by_place: dict[str, dict[str, Record]] = defaultdict(dict)
    for row in table:
        by_place[place(row, table)] |= {record["noise"]["sha256"]: record for record in row.records}
    return {head: {key: group[key] for key in sorted(group)} for head, group in by_place.items()}


def _matrix(record: Record) -> list[list[float]]:
    found: list[list[float]] = (record.get("noise") or {}).get("transition", [])
    return found


def _heat(axis: Axes, head: str, group: Mapping[str, Record]) -> AxesImage:
    values = np.array([_matrix(record) for record in group.values()]).mean(0)
    rate = np.mean([record["noise"]["rate"] for record in group.values()])
    drawn = f"realised rate {rate:.3f}, {counted(len(group), 'draw')}"
    axis.set_title(f"{figure_style.wrap(head, 2.1)}\n{drawn}", loc="left")
    return figure_style.matrix(axis, values)


# The shape of a loss


def loss(texts: Sequence[str], path: str | Path, *, classes: int = 10) -> list[Path]:
    """Losses over the probability of the given label: their value above the minimum, and their pull on its logit.

    The other classes share the rest of the probability evenly.

    Args:
        texts: losses such as "nce + amse(a=30)".
        path: without ending for a PNG and a PDF, else .png or .pdf.
        classes: K; it changes most losses.

    Raises:
        InputError: no loss, or a text that is none.
    """
    with figure_style.looks():
        return figure_style.save(draw_loss(texts, classes=classes), path)


def draw_loss(texts: Sequence[str], *, classes: int = 10) -> Figure:
    """The figure that `loss` writes."""
    if not texts:
        raise InputError("name at least one loss, such as 'nce + amse(a=30)'")
    if classes < 2:
        raise InputError(f"a loss needs at least 2 classes, got {classes}")
    figure, (left, right) = figure_style.panels(2, most=2)
    p = np.concatenate([np.geomspace(1e-3, 0.05, 60), np.linspace(0.05, 0.9999, 240)[1:]])
    for index, text in enumerate(texts):
        value, pull = _shape(text, p, classes)
        left.plot(p, value - value.min(), label=visible(text), **figure_style.tint(index))
        right.plot(p, pull, label=visible(text), **figure_style.tint(index))
    left.set(xlabel="probability of the given label", ylabel="loss above its minimum")
    right.set(xlabel="probability of the given label", ylabel="pull on the label's logit")
    left.set_title(f"value, {classes} classes", loc="left")
    right.set_title("gradient", loc="left")
    figure_style.legend(figure, [left])
    return figure


def _shape(text: str, p: Floats, classes: int) -> tuple[Floats, Floats]:
    """The loss of label 0 and minus its derivative by that label's logit."""
    import torch

    from noiseproof import losses

    given = torch.from_numpy(p)[:, None]
    rest = ((1 - given) / (classes - 1)).expand(-1, classes - 1)
    logits = torch.cat([given, rest], 1).log().requires_grad_()
    value = losses.parse(text).per_class(logits)[:, 0]
    (gradient,) = torch.autograd.grad(value.sum(), logits)
    return value.detach().numpy(), -gradient[:, 0].numpy()
