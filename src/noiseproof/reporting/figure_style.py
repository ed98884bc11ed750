"""Style of all figures: one palette that colour-blind readers can tell apart, fonts readable in a column."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from noiseproof.errors import InputError
from noiseproof.storage import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

__all__ = [
    "COLUMN", "PALETTE", "colour_bar", "grid", "legend", "looks", "matrix", "panels", "picture", "save", "tint", "wrap",
]  # fmt: skip

COLUMN = 3.4  # inches, a column of a two-column page

# Okabe & Ito, "Color Universal Design" (2008), their yellow darkened to be seen on white; then a grey and a wine red.
PALETTE = [
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#B5A800"),
    *("#8A8A8A", "#882255"),
]
_DASHES = ["-", "--", ":", "-."]


def tint(index: int) -> dict[str, Any]:
    """Colour and dashes of the index-th line: neighbours differ in both, forty lines in one of them."""
    dashes = _DASHES[(index + index // len(PALETTE)) % len(_DASHES)]
    return {"color": PALETTE[index % len(PALETTE)], "linestyle": dashes}


@contextmanager
def looks() -> Iterator[None]:
    """matplotlib without a screen, with our fonts and lines, whatever the user's own settings are."""
    import matplotlib
    from matplotlib.backends import backend_agg, backend_pdf  # noqa: F401  both are needed to save without a screen

    settings: dict[Any, Any] = {
        "font.family": "DejaVu Sans",
        "font.size": 8,
        "axes.titlesize": 8,
        "axes.labelsize": 8,
        "xtick.labelsize": 7,
        "ytick.labelsize": 7,
        "legend.fontsize": 7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.6,
        "xtick.major.width": 0.6,
        "ytick.major.width": 0.6,
        "lines.linewidth": 1.3,
        "legend.frameon": False,
        "pdf.fonttype": 42,  # fonts that other programs can edit and conferences accept
        "text.parse_math": False,  # a $ in a name is a dollar sign
    }
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)  # a box is drawn instead
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)
        yield


def panels(count: int, *, height: float = 2.2, most: int = 3, width: float = COLUMN) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels, at most `most` beside each other; every panel is a column wide at least."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    down = -(-count // most)
    across = -(-count // down)
    size = (max(width, across * width * (0.82 if across > 1 else 1)), down * height)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06))
    axes = [figure.add_subplot(down, across, index + 1) for index in range(count)]
    return figure, axes


_NUMBERED = 14  # classes of a matrix whose cells hold their numbers
_NAMED = 30  # classes of a matrix that are named along its sides


def matrix(axis: Axes, values: npt.NDArray[np.float64], names: Sequence[str] | None = None) -> AxesImage:
    """Draw a matrix of shares: a row for each clean label, a column for each given label.

    Args:
        axis: where to draw.
        values: (K, K), each row sums to 1.
        names: of the classes; their numbers if there are none.

    Returns:
        The image, for `colour_bar`.
    """
    count = len(values)
    image = axis.imshow(values, cmap="Blues", vmin=0, vmax=1, interpolation="nearest")
    axis.set(xlabel="given label", ylabel="clean label")
    axis.spines[:].set_visible(False)
    if count <= _NAMED and (names is not None or count <= _NUMBERED):
        shown = list(map(str, range(count))) if names is None else [wrap(name, 1.2, size=7, most=1) for name in names]
        turned: dict[str, Any] = {"rotation": 60, "ha": "right"} if max(map(len, shown)) > 2 else {}
        axis.set_xticks(range(count), shown, **turned)
        axis.set_yticks(range(count), shown)
    size = 6 if count <= 10 else 5
    for (i, j), value in np.ndenumerate(values) if count <= _NUMBERED else ():
        if value >= 0.005:
            text = f"{value:.2f}".removeprefix("0") if value < 0.995 else "1"
            axis.text(j, i, text, ha="center", va="center", fontsize=size, color="white" if value > 0.5 else "black")
    return image


def colour_bar(figure: Figure, drawn: ScalarMappable, axes: Sequence[Axes], label: str) -> None:
    """One colour bar for all these panels, at their right."""
    from matplotlib.ticker import MaxNLocator

    bar = figure.colorbar(drawn, ax=list(axes), shrink=0.8, aspect=25, pad=0.02, ticks=MaxNLocator(6))
    bar.set_label(label)
    bar.outline.set_visible(False)


def save(figure: Figure, path: str | Path) -> list[Path]:
    """Write a PNG and a PDF beside each other, or the one that the name's ending asks for; the same figure, same bytes.

    Raises:
        InputError: the name ends in something else.
    """
    path = Path(path)
    forms: Sequence[str] = [path.suffix[1:]] if path.suffix in (".png", ".pdf") else ["png", "pdf"]
    if path.suffix not in ("", ".png", ".pdf"):
        raise InputError(
            f"a figure is written as .png or .pdf, or as both under a name without ending; got {path.name}"
        )
    made = []
    for form in forms:
        target = path.with_suffix(f".{form}")
        files.write_atomic(target, picture(figure, form))
        made.append(target)
    return made


def picture(figure: Figure, form: str = "png") -> bytes:
    """The figure's bytes; they hold no date."""
    out = io.BytesIO()
    dates: dict[str, dict[str, Any]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {"Software": None}}
    figure.savefig(out, format=form, dpi=200, metadata=dates[form])
    return out.getvalue()


def legend(figure: Figure, axes: Sequence[Axes]) -> None:
    """One legend for all panels, in room of its own below them; each name once, in as many columns as fit."""
    handles: dict[str, Any] = {}
    for axis in axes:
        for handle, name in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(name, handle)
    if not handles:
        return
    width, height = figure.get_size_inches()
    names = [wrap(name, width - 0.6, size=7) for name in handles]
    across = max(1, min(len(names), int(width / (0.55 + max(map(_widest, names))))))
    lines = [max(name.count("\n") + 1 for name in names[row::across]) for row in range(min(across, len(names)))]
    figure.set_size_inches(width, height + 0.17 * max(lines) * -(-len(names) // across))
    figure.legend(handles.values(), names, loc="outside lower left", ncols=across)


def wrap(text: str, inches: float, *, size: float = 8, most: int = 3) -> str:
    """Text in lines that are no wider than that when drawn, broken at spaces where it can be, at most so many."""
    lines = []
    rest = text
    while rest:
        end = len(rest)
        while end > 1 and _width(rest[:end], size) > inches:
            end = rest.rfind(" ", 1, end) if " " in rest[1:end] else end - 1
        lines.append(rest[:end].strip())
        rest = rest[end:].strip()
    if len(lines) <= most:
        return "\n".join(lines)
    last = lines[most - 1]
    while last and _width(last + "…", size) > inches:
        last = last[:-1]
    return "\n".join([*lines[: most - 1], last + "…"])


def _widest(text: str) -> float:
    return max(_width(line, 7) for line in text.split("\n"))


def _width(text: str, size: float) -> float:
    """Inches."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    return text_to_path.get_text_width_height_descent(text, FontProperties(size=size), False)[0] / 72


def grid(down: int, across: int) -> tuple[Figure, Any]:
    """A figure of `down` by `across` panels with a common vertical axis, as an array of axes."""
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    size = (max(COLUMN, 0.6 + 1.75 * across), 0.4 + 1.5 * down)
    figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06))
    return figure, figure.subplots(down, across, squeeze=False, sharey=True)
