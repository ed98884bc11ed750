"""A Sphinx extension: pages that are made from the code, so that they cannot fall behind it.

losses/NAME.md from the registry and the recipes, with a plot of how strongly the loss pulls on the given label;
import-diagram.md from the imports themselves.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TARGET = HERE / "losses"


def setup(app: Any) -> dict[str, bool]:
    app.connect("builder-inited", lambda _: generate())
    return {"parallel_read_safe": True}


def generate() -> None:
    TARGET.mkdir(exist_ok=True)
    from noiseproof import recipes
    from noiseproof.losses import LOSSES

    presets = _presets(recipes)
    for entry in LOSSES:
        _plot(entry)
        _write(TARGET / f"{entry.name}.md", _page(entry, presets.get(entry.name, [])))
    names = "\n".join(entry.name for entry in LOSSES)
    _write(TARGET / "index.md", INDEX.format(rows="\n".join(map(_row, LOSSES)), names=names))
    _write(HERE / "import-diagram.md", _diagram())


INDEX = """# The losses

Each is a drop-in for `torch.nn.functional.cross_entropy`. Sums are written with `+` and numbers:
`nce + 4*agce(a=6, q=1.5)`.

| text, with its defaults | symmetric | active | what it is |
|---|---|---|---|
{rows}

```{{toctree}}
:hidden:

{names}
```
"""

PULL = """![How strongly a sample pulls on its given label]({name}.png)

The pull of a sample on the logit of its given label, over the probability that the model gives to that label, the rest
spread evenly; at 10 and 100 classes. A loss whose pull vanishes at the left ignores samples that the model finds
implausible: robust, and slow to fit when there are many classes."""


def _row(entry: Any) -> str:
    symmetric, active = _yes(entry.claims.get("symmetric")), _yes(entry.claims.get("active"))
    return f"| [`{entry.usage}`]({entry.name}.md) | {symmetric} | {active} | {_first_sentence(entry)} |"


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def _yes(claim: object) -> str:
    return "yes" if claim else "no"


def _function(entry: Any) -> Any:
    """The formula that the class's docstring points to ("..., see `generalized_cross_entropy`")."""
    pointer = re.search(r"see `(\w+)`", inspect.getdoc(entry.cls) or "")
    return getattr(inspect.getmodule(entry.cls), pointer.group(1)) if pointer else None


def _first_sentence(entry: Any) -> str:
    described = _function(entry) or entry.cls
    return (inspect.getdoc(described) or "").partition("\n")[0].replace("|", "\\|")


def _presets(recipes: Any) -> dict[str, list[tuple[str, str, str]]]:
    """For each loss, the (recipe, method, text) of the recipes that use it."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for name in recipes.names():
        recipe = recipes.load(name)
        for method in map(recipe.method, recipe.methods):
            for _, term in method.loss.terms():
                found.setdefault(term.name, []).append((name, method.name, str(method.loss)))
    return found


def _page(entry: Any, presets: list[tuple[str, str, str]]) -> str:
    described = _function(entry) or entry.cls
    module, name = described.__module__, described.__name__
    directive = "autofunction" if inspect.isfunction(described) else "autoclass"
    claims = [f"- {claim.replace('_', ' ')}: {_claim(value)}" for claim, value in entry.claims.items()]
    settings = [f"| {recipe} | {method} | `{text}` |" for recipe, method, text in dict.fromkeys(presets)]
    parts = [
        f"# {entry.name}\n\nText: `{entry.usage}` · Python: `losses.{entry.cls.__name__}`",
        f"```{{eval-rst}}\n.. {directive}:: {module}.{name}\n   :no-index:\n```",
        PULL.format(name=entry.name),
        "## Properties\n\n" + "\n".join(claims) if claims else "",
        "## Parameters in the recipes\n\n| recipe | method | loss |\n|---|---|---|\n" + "\n".join(settings)
        if settings
        else "",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _claim(value: object) -> str:
    return _yes(value) if isinstance(value, bool) else str(value)


def _plot(entry: Any) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import torch

    from noiseproof.text import Call

    loss = entry.build(Call(entry.name))
    figure, axes = plt.subplots(figsize=(5.2, 2.8), layout="constrained")
    for classes, style in ((10, "-"), (100, "--")):
        p = torch.linspace(0.001, 0.999, 400, dtype=torch.float64)
        rest = ((1 - p) / (classes - 1)).log()
        logits = rest[:, None].repeat(1, classes)
        logits[:, 0] = p.log()
        logits.requires_grad_()
        loss.per_class(logits)[:, 0].sum().backward()
        axes.plot(p, -logits.grad[:, 0], style, label=f"{classes} classes")
    axes.set_xlabel("probability of the given label")
    axes.set_ylabel("pull on its logit")
    axes.legend(frameon=False)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(TARGET / f"{entry.name}.png", dpi=150, metadata={"Software": None})
    plt.close(figure)


def _diagram() -> str:
    """The imports between the parts of the package, as a table: which part uses which."""
    import ast

    source = HERE.parent / "src" / "noiseproof"
    uses: dict[str, set[str]] = {}
    for path in sorted(source.rglob("*.py")):
        part = path.relative_to(source).parts[0].removesuffix(".py")
        if part.startswith("__"):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("noiseproof"):
                tail = (node.module or "").split(".")[1:2] or [alias.name for alias in node.names]
                uses.setdefault(part, set()).update(tail)
    parts = uses.keys() | {name for used in uses.values() for name in used}
    uses = {part: {name for name in uses.get(part, ()) if name in parts and name != part} for part in parts}
    depth: dict[str, int] = {}

    def floor(part: str) -> int:
        if part not in depth:
            depth[part] = 1 + max((floor(name) for name in uses[part]), default=0)
        return depth[part]

    rows = [
        f"| {floor(part)} | `{part}` | {', '.join(f'`{name}`' for name in sorted(uses[part])) or 'nothing of ours'} |"
        for part in sorted(parts, key=lambda part: (floor(part), part))
        if (source / part).is_dir() or (source / f"{part}.py").is_file()
    ]
    return "| floor | part | imports |\n|---|---|---|\n" + "\n".join(rows) + "\n"
