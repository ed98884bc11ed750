"""`noiseproof theory`: does this loss tolerate this noise, with what margin, and from which parameter on?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from matplotlib.cm import ScalarMappable

    from noiseproof.losses import Loss
    from noiseproof.theory import Tolerance

_SHOWN = 20  # classes that fail, named one by one


def theory(
    loss: Annotated[str, typer.Argument(metavar="LOSS", help="A loss text, such as 'nce + amse(a=30)'.")],
    noise: Annotated[str, typer.Option(help="The noise, such as 'symmetric(0.8)'; see `noiseproof list noise`.")],
    classes: Annotated[int, typer.Option(help="How many classes there are.")] = 10,
    data: Annotated[str | None, typer.Option(help="The data set, where the noise depends on it.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="The folder that holds the data sets.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the risk on three classes and the gradient of a sample (.png or .pdf).")
    ] = None,
) -> None:
    """Test a loss for noise tolerance: class by class, with the margin and the smallest a of AMSE.

    \b
    Examples:
    noiseproof theory "nce + amse(a=30)" --noise "symmetric(0.8)"
    noiseproof theory ce --noise "asymmetric(0.4)" --data cifar10 --json
    """
    from noiseproof import losses
    from noiseproof.noise import parse
    from noiseproof.theory import is_active, is_symmetric, tolerance
    from noiseproof.theory.kinds import checked_classes

    checked_classes(classes)
    parsed, rule = losses.parse(loss), parse(noise)
    matrix = rule.matrix(classes, data=data, root=data_root)
    answer = tolerance(parsed, matrix)
    symmetry, activity = is_symmetric(parsed, classes), is_active(parsed, classes)
    made = draw(parsed, matrix, answer, plot, rule) if plot is not None else []
    if as_json:
        facts = {
            "noise": str(rule),
            "num_classes": classes,
            **answer.to_json(),
            "symmetric": bool(symmetry),
            "active": bool(activity),
        }
        typer.echo(json.dumps(facts))
        return
    failing = [one for one in answer.classes if not one]
    lines = [f"{rule}, {classes} classes", str(answer), str(symmetry), str(activity)]
    if len(failing) > 1:
        named = ", ".join(f"{one.label} (margin {one.margin:.3g})" for one in failing[:_SHOWN])
        lines.append(f"classes that fail: {named}{', ...' if len(failing) > _SHOWN else ''}")
    typer.echo("\n".join([*lines, *(f"wrote {path}" for path in made)]))


def draw(
    loss: Loss, matrix: npt.NDArray[np.float64], answer: Tolerance, path: Path, rule: object = "the noise"
) -> list[Path]:
    """Left: the risk of the hardest class with its two likeliest wrong labels. Right: the gradient of a sample."""
    from noiseproof.reporting.figure_style import colour_bar, legend, looks, panels, save

    with looks():
        figure, (left, right) = panels(2, height=2.6)
        drawn = _simplex(left, loss, matrix, answer, rule)
        if drawn is not None:
            colour_bar(figure, drawn, [left], "risk above its minimum")
        _pull(right, loss, len(matrix))
        legend(figure, [left, right])
        return save(figure, path)


def _simplex(
    axes: object, loss: Loss, matrix: npt.NDArray[np.float64], answer: Tolerance, rule: object
) -> ScalarMappable | None:
    """The risk over the probabilities of three classes; what is drawn in colours, None of a line."""
    import numpy as np
    import torch
    from matplotlib.axes import Axes

    from noiseproof.theory import is_asymmetric
    from noiseproof.theory.risk import Risk

    assert isinstance(axes, Axes)
    label = min(answer.classes, key=lambda one: one.margin).label
    wrong = np.argsort(-np.where(np.arange(len(matrix)) == label, -1, matrix[label]), kind="stable")[: len(matrix) - 1]
    three = [label, *wrong[:2].tolist()]
    weights = matrix[label, three] / matrix[label, three].sum()
    if len(three) < 3:  # two classes: the simplex is a line
        share = torch.linspace(1e-4, 1 - 1e-4, 400, dtype=torch.float64, device="cpu")
        along = Risk(loss, weights)(torch.stack([share, 1 - share], 1).log())
        axes.plot(share, along, color="#0072B2")
        axes.set(xlabel=f"probability of class {label}", ylabel="risk")
        return None
    steps = np.linspace(0, 1, 121)
    first, second = (side.ravel() for side in np.meshgrid(steps, steps))
    inside = first + second <= 1 + 1e-9
    u = np.stack([1 - first - second, first, second], 1)[inside].clip(1e-6)
    risk = Risk(loss, weights)(torch.from_numpy(u / u.sum(1, keepdims=True)).log()).numpy()
    corners = np.array([[0.5, 3**0.5 / 2], [0.0, 0.0], [1.0, 0.0]])
    x, y = (u / u.sum(1, keepdims=True) @ corners).T
    drawn = axes.tricontourf(x, y, risk - risk.min(), levels=24, cmap="Blues_r")
    lowest_x, lowest_y = np.array(is_asymmetric(loss, weights).minimiser) @ corners
    axes.plot(lowest_x, lowest_y, "o", color="#D55E00", markersize=7, clip_on=False, label="lowest risk")
    for name, share, (at_x, at_y), above in zip(three, weights, corners, (1, -1, -1), strict=True):
        role = "clean class" if name == label else "class"
        axes.annotate(
            f"{role} {name}: {share:.0%} of labels",
            (at_x, at_y),
            (0, 9 * above),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=7,
        )
    axes.set_title(f"{rule}: risk on three classes", pad=16)
    axes.set_aspect("equal")
    axes.axis("off")
    return drawn


def _pull(axes: object, loss: Loss, classes: int) -> None:
    import torch
    from matplotlib.axes import Axes

    from noiseproof import losses

    assert isinstance(axes, Axes)
    p = torch.linspace(1e-3, 1 - 1e-3, 300, dtype=torch.float64, device="cpu")
    shown = [(loss, "#0072B2"), (losses.parse("ce"), "#000000"), (losses.parse("mae"), "#009E73")]
    for one, colour in [(one, colour) for one, colour in shown if one is loss or str(one) != str(loss)]:
        z = torch.cat([p[:, None], ((1 - p) / (classes - 1))[:, None].expand(-1, classes - 1)], 1).log()
        z.requires_grad_()
        (slope,) = torch.autograd.grad(one.per_class(z)[:, 0].sum(), z)
        axes.plot(p, -slope[:, 0], color=colour, label=str(one), linestyle="-" if one is loss else "--")
    axes.set(
        xlabel="probability of the given label", ylabel="pull on its score", title=f"{classes} classes, others even"
    )
