"""Leaderboard of methods: last epoch beside best epoch, and the cost of training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import mean, stdev
from typing import Any

from noiseproof.methods import METHODS
from noiseproof.methods.additions import ADDITIONS
from noiseproof.text import parse_call, split_list

__all__ = ["Place", "cost_of", "leaderboard", "render"]


@dataclass(frozen=True)
class Place:
    """A method under one data set and noise.

    Args:
        last, best: test accuracy of the last epoch, and of the epoch that is best on test data, percent by seed.
        cost: training beside cross-entropy over the same epochs.
    """

    data: str
    noise: str
    method: str
    last: tuple[float, ...]
    best: tuple[float, ...]
    cost: float


def cost_of(method: str | None) -> float:
    """Forward and backward passes beside cross-entropy, from the claims of a method's text; None: a loss alone.

    Example:
        >>> cost_of("co-teaching(ramp=5) + sam"), cost_of(None)
        (4.2, 1.0)
    """
    cost = 1.0
    for piece in split_list(method or "", "+"):
        name = piece.partition("*")[2].strip() if "*" in piece else piece
        call = parse_call(name, nested=True)
        for registry in (METHODS, ADDITIONS):
            if call.name in registry:
                cost *= registry[call.name].claims.get("cost", 1.0)
    return cost


def leaderboard(records: Iterable[Mapping[str, Any]]) -> list[Place]:
    """The methods of finished runs, by data and noise, the best last epoch first."""
    groups: dict[tuple[str, str, str, float], list[tuple[float, float]]] = defaultdict(list)
    for record in records:
        curve = record["result"]["curves"].get("test_accuracy") or []
        if record["status"] == "done" and curve:
            run = record["run"]
            cost = cost_of(run["settings"]["method"].get("method"))
            groups[run["data"], run["noise"], run["method"], cost].append((curve[-1], max(curve)))
    places = [
        Place(*key[:3], tuple(last for last, _ in found), tuple(best for _, best in found), key[3])
        for key, found in groups.items()
    ]
    return sorted(places, key=lambda place: (place.data, place.noise, -mean(place.last), place.method))


def render(places: Iterable[Place]) -> str:
    """Markdown, one table for each data set and noise."""
    lines: list[str] = []
    where = None
    for place in places:
        if (place.data, place.noise) != where:
            where = (place.data, place.noise)
            lines += ["", f"### {place.data}, {place.noise}", ""]
            lines += [
                "| method | last epoch | best test epoch (oracle) | cost in CE | seeds |",
                "|---|---|---|---|---|",
            ]
        lines.append(
            f"| `{place.method}` | {_shown(place.last)} | {_shown(place.best)} | {place.cost:.3g} | {len(place.last)} |"
        )
    return "\n".join(lines).strip() + "\n" if lines else "no finished runs\n"


def _shown(values: tuple[float, ...]) -> str:
    return f"{mean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")
