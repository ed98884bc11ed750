"""Who imports whom in the package, read from its source: a table and a picture."""

from __future__ import annotations

import ast
import io
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "noiseproof"


@cache
def uses() -> dict[str, frozenset[str]]:
    """For each part of the package, the other parts that it imports."""
    parts = {path.stem for path in SOURCE.iterdir() if not path.name.startswith("_") and path.suffix in ("", ".py")}
    found: dict[str, set[str]] = {part: set() for part in parts}
    for part in parts:
        whole = SOURCE / part
        for path in whole.rglob("*.py") if whole.is_dir() else [whole.with_suffix(".py")]:
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "noiseproof":
                    found[part] |= set((node.module or "").split(".")[1:2]) or {alias.name for alias in node.names}
    return {part: frozenset(found[part] & parts - {part}) for part in sorted(parts)}


@cache
def floor(part: str) -> int:
    """One above the highest part that it imports."""
    return 1 + max(map(floor, uses()[part]), default=0)


def diagram() -> str:
    rows = [
        f"| {floor(part)} | `{part}` | {', '.join(f'`{name}`' for name in sorted(uses()[part])) or 'nothing of ours'} |"
        for part in sorted(uses(), key=lambda part: (floor(part), part))
    ]
    return "| floor | part | imports |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def needed(part: str) -> list[str]:
    """Its imports, without those that another of its imports brings along."""

    @cache
    def below(name: str) -> frozenset[str]:
        return uses()[name].union(*map(below, uses()[name]))

    return sorted(name for name in uses()[part] if not any(name in below(other) for other in uses()[part]))


def draw() -> str:
    """The parts on their floors; a line for each import that no other import implies."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    floors = [[part for part in uses() if floor(part) == level] for level in range(1, max(map(floor, uses())) + 1)]
    place: dict[str, tuple[float, float]] = {}
    for level, parts in enumerate(floors):
        # each above what it imports, as far as there is room
        order = sorted(parts, key=lambda part: (_mean([place[name][0] for name in needed(part)]), part))
        for index, part in enumerate(order):
            place[part] = ((index + 0.5) / len(order), level)

    figure, axes = plt.subplots(figsize=(9, 0.75 * len(floors)), layout="constrained")
    box = {"boxstyle": "round,pad=0.35", "facecolor": "#eef3fb", "edgecolor": "#4a6fa5"}
    drawn = {part: axes.text(x, y, part, ha="center", va="center", bbox=box) for part, (x, y) in place.items()}
    for part in place:
        for name in needed(part):
            ends = {"patchA": drawn[part].get_bbox_patch(), "patchB": drawn[name].get_bbox_patch()}
            arrow = {"arrowstyle": "->", "color": "#8a94a6", "lw": 0.8, **ends}
            axes.annotate("", place[name], place[part], arrowprops=arrow)
    axes.set(xlim=(0, 1), ylim=(-0.5, len(floors) - 0.5))
    axes.set_axis_off()
    text = io.StringIO()
    with plt.rc_context({"svg.hashsalt": "noiseproof", "svg.fonttype": "path"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    plt.close(figure)
    return text.getvalue()


def _mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else 0.5
