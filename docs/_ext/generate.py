"""A Sphinx extension: pages that are made from the code, so that they cannot fall behind it.

losses/NAME.md from the registry, the recipes and what the loss itself answers; import-diagram.md and .svg from the
imports.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import torch
from formulas import FORMULAS, shown
from imports import diagram, draw

from noiseproof import losses, noise, recipes, theory
from noiseproof.losses import LOSSES, Loss
from noiseproof.registry import Entry
from noiseproof.text import Call

HERE = Path(__file__).parents[1]
TARGET = HERE / "losses"


def setup(app: Any) -> dict[str, bool]:
    app.connect("builder-inited", lambda _: generate())
    return {"parallel_read_safe": True}


def generate() -> None:
    TARGET.mkdir(exist_ok=True)
    presets = _presets()
    for entry in LOSSES:
        _plot(entry)
        _write(TARGET / f"{entry.name}.md", _page(entry, presets.get(entry.name, [])))
    names = "\n".join(entry.name for entry in LOSSES)
    _write(TARGET / "index.md", INDEX.format(rows="\n".join(map(_row, LOSSES)), names=names))
    _write(HERE / "import-diagram.md", diagram())
    _write(HERE / "import-diagram.svg", draw())


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


# The table of all losses

INDEX = """# The losses

Each is a drop-in for `torch.nn.functional.cross_entropy`. Sums are written with `+` and numbers:
`nce + 4*agce(a=6, q=1.5)`. [Which loss?](../which-loss.md) says where to begin.

| text, with its defaults | symmetric | active | what it is |
|---|---|---|---|
{rows}

```{{toctree}}
:hidden:

{names}
```
"""


def _row(entry: Entry[Loss]) -> str:
    symmetric, active = _yes(entry.claims["symmetric"]), _yes(entry.claims["active"])
    return f"| [`{entry.usage}`]({entry.name}.md) | {symmetric} | {active} | {_title(entry)} |"


def _yes(claim: object) -> str:
    return "yes" if claim else "no"


def _title(entry: Entry[Loss]) -> str:
    """The name that the class's summary begins with."""
    return re.split(r"[:,.]", entry.summary)[0]


# The page of one loss

PAGE = """# {name}: {title}

{formula}

Text: `{usage}` · Python: `losses.{cls}` · {source}

```{{eval-rst}}
.. {directive}:: {module}.{function}
   :no-index:
```

## How strongly a sample pulls

![How strongly a sample pulls on its given label]({name}.png)

The pull of a sample on the score of its given label, over the probability that the model gives to that label, the rest
spread evenly. Where the curve vanishes at the left, the loss leaves alone what the model finds implausible: robust, and
slow to fit when there are many classes.

## Properties

{properties}

## When it fails

{failures}

{tolerance}

Computed by `theory.tolerance` for the default parameters and ten classes; what the words mean is on
[the page of the theory](../theory.md).

## Parameters in the recipes

{settings}
"""

DEPENDS = "For a loss inside: `theory.tolerance(losses.parse(text), transition)`."

WITH = """```{{math}}
{formula}
```

for the label $k$ of $K$ classes, with $p$ the softmax of the scores $z${more}."""

MEANING = {
    "symmetric": ("its values for all labels add up to a constant", "its values for all labels add up to no constant"),
    "active": ("only the given label's probability enters", "other labels' probabilities enter too"),
    "bounded": ("no sample costs more than a fixed amount", "one sample can cost any amount"),
}


def _page(entry: Entry[Loss], presets: list[list[str]]) -> str:
    loss = entry.build(Call(entry.name))
    described = _function(entry) or entry.cls
    operator = hasattr(entry.cls, "positional")  # its tolerance is that of the loss inside
    held = {} if operator else {text: bool(theory.tolerance(loss, noise.parse(text).matrix(10))) for text in NOISES}
    return PAGE.format(
        name=entry.name,
        title=_title(entry),
        formula=_formula(entry),
        usage=entry.usage,
        cls=entry.cls.__name__,
        source=_source(entry),
        directive="autofunction" if inspect.isfunction(described) else "autoclass",
        module=described.__module__,
        function=described.__name__,
        properties="\n".join(_properties(entry)),
        failures="\n".join(f"- {each}" for each in _failures(entry, loss, held)),
        tolerance=_table(["noise", *held], [["tolerated", *map(_yes, held.values())]]) if held else DEPENDS,
        settings=_table(["recipe", "method", "loss"], presets) if presets else "No recipe uses it.",
    )


def _function(entry: Entry[Loss]) -> Any:
    """The formula that the class's docstring points to ("..., see `generalized_cross_entropy`")."""
    pointer = re.search(r"see `(\w+)`", inspect.getdoc(entry.cls) or "")
    return getattr(inspect.getmodule(entry.cls), pointer.group(1)) if pointer else None


def _formula(entry: Entry[Loss]) -> str:
    if entry.name not in FORMULAS:
        return ""
    formula = shown(FORMULAS[entry.name])
    more = r", $\delta_{jk}$ 1 where $j = k$, else 0" if r"\delta_{j k}" in formula else ""
    more += r", $\hat\jmath$ the class that the model predicts" if r"\hat\jmath" in formula else ""
    return WITH.format(formula=formula, more=more)


def _source(entry: Entry[Loss]) -> str:
    paper = entry.claims.get("paper")
    return f"Source: [{paper}](https://arxiv.org/abs/{paper.removeprefix('arXiv:')})" if paper else "torch's own"


def _properties(entry: Entry[Loss]) -> list[str]:
    claims = entry.claims
    lines = [
        f"- {claim if claims[claim] else f'not {claim}'}: {MEANING[claim][not claims[claim]]}" for claim in MEANING
    ]
    if "asymmetric" in claims:
        lines.append(f"- asymmetric: {claims['asymmetric']}")
    if not claims.get("shift_invariant", True):
        lines.append("- depends on the scores themselves: one number added to all of them changes it")
    if "kinks" in claims:
        lines.append(f"- not smooth {claims['kinks']}")
    if "gives_up" in claims:
        lines.append(f"- gives up a label {claims['gives_up']}: loss and gradient are 0")
    return lines


def _presets() -> dict[str, list[list[str]]]:
    """For each loss, the rows (recipes, method, text) of the recipes that use it."""
    users: dict[tuple[str, str], list[str]] = {}
    for recipe in map(recipes.load, recipes.names()):
        for method in map(recipe.method, recipe.methods):
            users.setdefault((method.name, str(method.loss)), []).append(recipe.name)
    found: dict[str, list[list[str]]] = {}
    for (method, text), names in users.items():
        for _, term in losses.parse(text).terms():
            found.setdefault(term.name, []).append([", ".join(names), method, f"`{text}`"])
    return found


# What a loss answers

NOISES = ("symmetric(0.2)", "symmetric(0.4)", "symmetric(0.8)", "pairflip(0.2)", "pairflip(0.4)")


def _failures(entry: Entry[Loss], loss: Loss, held: dict[str, bool]) -> list[str]:
    """Sentences about what goes wrong and when, each from numbers of the loss itself."""
    fails = [text for text, fine in held.items() if not fine]
    said = []
    if not held:
        said.append("Which noise it tolerates depends on the loss inside.")
    elif fails:
        which = "any of these noises" if len(fails) == len(held) else ", ".join(f"`{text}`" for text in fails)
        said.append(
            f"Under {which} its risk is not least at the clean label: trained long enough, it learns wrong labels."
        )
    else:
        said.append("Where some class's labels are mostly another's: that no loss tolerates.")
    start = {classes: _pull_at_start(loss, classes) for classes in (10, 100, 1000)}
    numbers = ", ".join(f"{pull:.2g}" for pull in start.values())
    if start[100] < 0.5 * start[10]:
        said.append(
            f"With many classes: an untrained model is pulled to the given label with {numbers} at 10, 100 and 1,000 "
            "classes (cross-entropy: 0.9 to 1). Alone it underfits; add an active loss or raise its factor."
        )
    p, pull = _pulls(loss, 10)
    ignored = float(pull[0] / pull.max())
    if ignored < 0.1:
        said.append(
            f"A label to which the model gives {p[0]:.1%} pulls with {ignored:.1%} of the most it can: what training "
            "gave up on early does not come back."
        )
    elif fails:
        said.append(
            f"A label to which the model gives {p[0]:.1%} pulls with {ignored:.0%} of the most it can: nothing keeps "
            "wrong labels from being memorised."
        )
    if "jump" in str(entry.claims.get("kinks")):
        said.append(f"Its value jumps {entry.claims['kinks'].removesuffix(' (a jump)')}.")
    return said


def _pull_at_start(loss: Loss, classes: int) -> float:
    """Pull on the given label where all scores are equal: the same for every label."""
    scores = torch.zeros(1, classes, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(loss.per_class(scores)[0, 0], scores)
    return float(-slope[0, 0])


def _pulls(loss: Loss, classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The pull over the probability of the given label, the rest spread evenly."""
    p = torch.linspace(0.001, 0.999, 400, dtype=torch.float64)
    scores = ((1 - p) / (classes - 1)).log()[:, None].repeat(1, classes)
    scores[:, 0] = p.log()
    scores.requires_grad_()
    (slope,) = torch.autograd.grad(loss.per_class(scores)[:, 0].sum(), scores)
    return p, -slope[:, 0]


def _plot(entry: Entry[Loss]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    loss = entry.build(Call(entry.name))
    figure, axes = plt.subplots(figsize=(5.2, 2.8), layout="constrained")
    for classes, style in ((10, "-"), (100, "--")):
        axes.plot(*_pulls(loss, classes), style, label=f"{classes} classes")
    axes.set_xlabel("probability of the given label")
    axes.set_ylabel("pull on its score")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(TARGET / f"{entry.name}.png", dpi=150, metadata={"Software": None})
    plt.close(figure)


def _table(head: list[str], rows: list[list[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows])
