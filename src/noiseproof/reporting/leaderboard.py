"""Leaderboard of methods: the default and the tuned track, last epoch beside best epoch, and the cost of training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import mean, stdev
from typing import Any

from noiseproof.experiments.tuned_track import cost_of, held_out_accuracy, track_of

__all__ = ["Accuracies", "Standing", "cost_of", "leaderboard", "render"]


@dataclass(frozen=True)
class Accuracies:
    """Test accuracies by seed, percent.

    Args:
        last: of the last epoch.
        best: of the epoch that is best on test data.
    """

    last: tuple[float, ...] = ()
    best: tuple[float, ...] = ()


@dataclass(frozen=True)
class Standing:
    """A method under one data set and noise.

    Args:
        default: with its parameters as they are.
        tuned: with the parameters that held-out given labels chose; the default ones if these were chosen.
        chosen: what was chosen, in words; empty if nothing was tuned.
        cost: training beside cross-entropy over the same epochs.
    """

    data: str
    noise: str
    method: str
    default: Accuracies
    tuned: Accuracies
    chosen: str
    cost: float


@dataclass
class _Found:
    runs: dict[str, list[Mapping[str, Any]]] = field(default_factory=lambda: defaultdict(list))  # by track
    trials: dict[int, Mapping[str, Any]] = field(default_factory=dict)


def leaderboard(records: Iterable[Mapping[str, Any]]) -> list[Standing]:
    """The methods of finished runs, by data and noise, the best last epoch first."""
    groups: dict[tuple[str, str, str], _Found] = defaultdict(_Found)
    for record in records:
        run = record["run"]
        method, track = track_of(run["method"])
        found = groups[run["data"], run["noise"], method]
        if track.startswith("candidate"):
            found.trials[int(track.split()[1])] = record
        elif record["status"] == "done" and record["result"]["curves"].get("test_accuracy"):
            found.runs[track].append(record)
    standings = [_standing(*key, found) for key, found in groups.items() if found.runs]
    return sorted(standings, key=_order)


def _order(one: Standing) -> tuple[str, str, float, str]:
    return one.data, one.noise, -mean(one.default.last or one.tuned.last), one.method


def _standing(data: str, noise: str, method: str, found: _Found) -> Standing:
    default, tuned, chosen = _accuracies(found.runs["default"]), _accuracies(found.runs["tuned"]), ""
    if found.trials:
        number = max(sorted(found.trials), key=lambda each: held_out_accuracy(found.trials[each]))
        if number == 0:
            tuned, chosen = default, f"as it is (of {len(found.trials)})"
        elif tuned.last:
            chosen = f"{_difference(found.trials[number], found.trials.get(0))} (of {len(found.trials)})"
    run = (found.runs["default"] or found.runs["tuned"])[0]["run"]
    return Standing(data, noise, method, default, tuned, chosen, cost_of(run["settings"]["method"].get("method")))


def _accuracies(records: Iterable[Mapping[str, Any]]) -> Accuracies:
    curves = [record["result"]["curves"]["test_accuracy"] for record in records]
    return Accuracies(tuple(curve[-1] for curve in curves), tuple(map(max, curves)))


def _difference(trial: Mapping[str, Any], plain: Mapping[str, Any] | None) -> str:
    """Changes of a candidate in words."""
    settings = trial["run"]["settings"]
    rate = settings["train"]["lr"]
    if plain is not None and plain["run"]["settings"]["train"]["lr"] != rate:
        return f"lr {rate:g}"
    return f"`{settings['method'].get('method') or trial['run']['loss']}`"


def render(standings: Iterable[Standing]) -> str:
    """Markdown, one table for each data set and noise, with the tuned track where something was tuned."""
    standings = list(standings)
    tuned = {(one.data, one.noise) for one in standings if one.tuned.last}
    lines: list[str] = []
    where = None
    for one in standings:
        if (one.data, one.noise) != where:
            where = (one.data, one.noise)
            lines += ["", f"### {one.data}, {one.noise}", ""]
            lines += [_row("method", "seeds", "cost in CE", *(_COLUMNS if where in tuned else _COLUMNS[:2]))]
            lines += ["|---" * lines[-1].count(" | ") + "|---|"]
        shown = [_shown(each) for each in (one.default.last, one.default.best, one.tuned.last, one.tuned.best)]
        columns = [*shown, one.chosen] if where in tuned else shown[:2]
        lines.append(_row(f"`{one.method}`", str(len(one.default.last)), f"{one.cost:.3g}", *columns))
    return "\n".join(lines).strip() + "\n" if lines else "no finished runs\n"


_COLUMNS = (
    "default: last epoch",
    "default: best test epoch (oracle)",
    "tuned: last epoch",
    "tuned: best test epoch (oracle)",
    "chosen by held-out given labels",
)


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _shown(values: tuple[float, ...]) -> str:
    if not values:
        return ""
    return f"{mean(values):.2f}" + (f" ± {stdev(values):.2f}" if len(values) > 1 else "")
