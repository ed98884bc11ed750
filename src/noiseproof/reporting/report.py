"""The report: one HTML page that holds everything and asks for nothing.

It is a pure function of the records, and of what the runs kept beside them. It opens without a network: styles, figures
and the one small script lie inside, and a Content-Security-Policy that names the script and the styles by their hash
keeps out everything else. Names from records are text wherever they stand; Jinja escapes every value.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from importlib import resources
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from noiseproof.errors import DataError, InputError
from noiseproof.escaping import page_policy, visible
from noiseproof.humanize import counted, duration
from noiseproof.reporting import figure_style, figures, histogram_and_tsne, paper
from noiseproof.reporting.aggregate import Aggregate, Record, aggregate, short_noise
from noiseproof.reporting.tables import Cell, Table, TableRow, number, tables_of
from noiseproof.storage import files

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jinja2 import Template
    from matplotlib.figure import Figure

__all__ = ["page", "write"]


def write(
    records: Iterable[Record],
    path: str | Path,
    *,
    damaged: Sequence[object] = (),
    command: str | None = None,
    arrays: histogram_and_tsne.FindArrays | None = None,
) -> Path:
    """Write the report of these records; an older one of that name is replaced.

    Args:
        records: of any runs, in any order.
        path: the HTML file.
        damaged: what could not be read, to be named in the report.
        command: what to type to continue, shown where something failed.
        arrays: finds what a run kept beside its record, `histogram_and_tsne.beside(folder)`; then figure 3 is
            drawn of it.

    Returns:
        The file written.
    """
    files.write_atomic(path, page(records, damaged=damaged, command=command, arrays=arrays))
    return Path(path)


def page(
    records: Iterable[Record],
    *,
    damaged: Sequence[object] = (),
    command: str | None = None,
    arrays: histogram_and_tsne.FindArrays | None = None,
) -> str:
    """The report as text.

    Raises:
        InputError: there is no record.
    """
    records = sorted(records, key=lambda record: str(record["run_id"]))
    if not records:
        raise InputError("there is no record to report on; `noiseproof compare` and `noiseproof sweep` make them")
    css, script = _asset("report.css"), _asset("report.js")
    failures = [_failure(record) for record in records if record["status"] != "done"]
    unread = [str(one) for one in damaged]
    parts = _parts(records, arrays, unread)
    return _template().render(
        css=_trusted(css),
        script=_trusted(script),
        policy=page_policy([css], [script]),
        title=_title(records),
        lead=_lead(records),
        headlines=list(_headlines(records)),
        parts=parts,
        beside=paper.tables_of(records) if any(map(paper.belongs, records)) else [],
        runs=_runs(records),
        facts=list(_facts(records)),
        failures=failures,
        damaged=unread,
        still_open=counted(len(failures) + len(damaged), "run") + " gave no number; see what failed.",
        command=command,
    )


# The page's own files


@cache
def _asset(name: str) -> str:
    return resources.files("noiseproof.reporting").joinpath("page", name).read_text(encoding="utf-8")


@cache
def _template() -> Template:
    import jinja2

    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, finalize=_seen, trim_blocks=True, keep_trailing_newline=True
    )
    environment.filters["clip"] = lambda text, longest=80: visible(text, longest)
    return environment.from_string(_asset("report.html.jinja"))


def _seen(value: object) -> object:
    """Every value on the page without unseen characters; line ends stay, for the texts of errors."""
    from markupsafe import Markup

    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return "\n".join(visible(line, None) for line in value.splitlines())


def _trusted(text: str) -> object:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - escaped where it is made


# What it says


def _title(records: Sequence[Record]) -> str:
    names = sorted({visible(record["run"]["data"], 40) for record in records})
    return f"Learning with noisy labels: {', '.join(names[:4])}{', …' if len(names) > 4 else ''}"


def _lead(records: Sequence[Record]) -> str:
    runs = [record["run"] for record in records]
    counts = [
        counted(len({run["method"] for run in runs}), "method"),
        counted(len({(run["data"], run["noise"]) for run in runs}), "noise setting"),
        counted(len({run["seed"] for run in runs}), "seed"),
    ]
    seconds = duration(sum(record["seconds"] for record in records))
    return f"{counted(len(records), 'run')}: {', '.join(counts)}; {seconds} of computing."


def _headlines(records: Sequence[Record]) -> Iterator[str]:
    """For each column of the table who leads, and whether by more than the seeds explain; of many columns, none."""
    columns: dict[tuple[Any, ...], list[Aggregate]] = defaultdict(list)
    for row in aggregate(records):
        if row.mean is not None and not row.diverged:
            columns[
                tuple(row.shared[key] for key in ("data", "fingerprint", "noise", "convention", "selection"))
            ].append(row)
    ranked = {
        key: sorted(column, key=lambda row: -(row.mean or 0))[:2] for key, column in columns.items() if len(column) > 1
    }
    if len(ranked) > 6:
        return
    for (data, _, noise, *_), (first, second) in ranked.items():
        assert first.mean is not None
        assert second.mean is not None
        ahead = first.mean - second.mean
        text = (
            f"{visible(data, 40)}, {visible(short_noise(noise), 40)}: {first.method} {number(first.mean, first.std)}, "
        )
        text += f"{ahead:.2f} points above {second.method}"
        if first.std is not None and second.std is not None:
            std = 2 * (first.std**2 / first.n + second.std**2 / second.n) ** 0.5
            text += f", {'more' if ahead > std else 'no more'} than the seeds explain (±{std:.2f})"
        yield text + "."


def _parts(
    records: Sequence[Record], arrays: histogram_and_tsne.FindArrays | None, unread: list[str]
) -> list[dict[str, Any]]:
    """A part for each data set; kept arrays that cannot be read are added to `unread`."""
    made = aggregate(records)
    by_data: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for row in made:
        by_data[row.data, row.shared["fingerprint"]] += row.records
    parts = []
    for table, (place, group) in zip(tables_of(records), by_data.items(), strict=True):
        with figure_style.looks():
            curves = _pictures(figures.each_curves, group)
            noisy = [record for record in group if (record.get("noise") or {}).get("rate")]
            matrices = _pictures(figures.each_transition, noisy)
            try:
                sure = _pictures(partial(histogram_and_tsne.each_histogram, arrays=arrays), group) if arrays else []
            except DataError as error:
                sure = []
                unread.append(str(error))
        fitted = _fitted([row for row in made if (row.data, row.shared["fingerprint"]) == place])
        parts.append(
            {
                "title": table.title,
                "table": table,
                "curves": curves,
                "fitted": fitted,
                "sure": sure,
                "matrices": matrices,
            }
        )
    return parts


_FITTED = {
    "clean_fitted": "right labels fitted",
    "clean_stuck": "right labels given up",
    "flipped_memorised": "wrong labels memorised",
    "flipped_corrected": "wrong labels seen through",
    "fitted": "all labels fitted",
    "stuck": "labels given up",
}


def _fitted(made: Sequence[Aggregate]) -> Table | None:
    """Training-set health of the networks, mean over the seeds; None if no run recorded it."""
    looked = [row for row in made if any(record["health"] for record in row.records)]
    known = {key for row in looked for record in row.records for key in record["health"]}
    shown = _FITTED.keys() - ({"fitted", "stuck"} if "clean_fitted" in known else set())
    keys = [key for key in _FITTED if key in known & shown]
    if not keys:
        return None
    lines, advice = [], []
    for row, name in zip(looked, figures.named(looked), strict=True):
        found = [record["health"] for record in row.records]
        shares = [[100 * health[key] for health in found if health.get(key) is not None] for key in keys]
        cells = [Cell(f"{fmean(share):.1f}", value=fmean(share)) if share else Cell() for share in shares]
        lines.append(TableRow((name, short_noise(row.noise)), tuple(cells)))
        advice += [
            f"{name}, {short_noise(row.noise)}: {one}" for one in sorted({h.get("advice") or "" for h in found}) if one
        ]
    about = (
        "Percent of the training samples after the last epoch, mean over the seeds. Given up: another label is "
        "predicted and nothing pulls any more. The true labels are looked at only here, after training."
    )
    heads = tuple(_FITTED[key] for key in keys)
    return Table("How the training set was fitted", ("method", "noise"), heads, tuple(lines), (about, *advice))


def _pictures(each: Callable[[Iterable[Record]], Iterator[tuple[str, Figure]]], group: Sequence[Record]) -> list[Any]:
    """Figures as data URIs, as wide as they are meant to be read; none where the records hold nothing to draw."""
    try:
        return [
            {
                "source": "data:image/png;base64," + base64.b64encode(figure_style.picture(figure)).decode(),
                "width": round(figure.get_figwidth() * 112),
                "text": head,
            }
            for head, figure in each(group)
        ]
    except DataError:
        raise
    except InputError:
        return []


def _runs(records: Sequence[Record]) -> dict[str, Any]:
    """Settings behind the rows of the tables: one line for each method and protocol, whatever the noise."""
    heads = ["data", "method", "loss", "recipe", "model", "epochs", "L1", "L2", "head", "precision", "mode", "seeds"]
    seeds: dict[tuple[str, ...], set[int]] = defaultdict(set)
    for row in aggregate(records):
        shared = row.shared
        line = (
            *(shared["data"], row.method, shared["loss"], shared["recipe"]),
            *(row.setting(name) for name in ("model.name", "train.epochs", "l1", "l2", "head")),
            *(shared["precision"], shared["mode"]),
        )
        seeds[tuple(map(_short, line))] |= {*row.seeds, *row.diverged, *row.failed}
    lines = [[*line, _ranges(sorted(numbers))] for line, numbers in seeds.items()]
    said = [index for index in range(len(heads)) if any(line[index] for line in lines)]
    return {"heads": [heads[i] for i in said], "lines": [[line[i] for i in said] for line in lines]}


def _short(value: object) -> str:
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _ranges(seeds: Sequence[int]) -> str:
    """Seeds as a person writes them.

    Example:
        >>> _ranges([1, 2, 3, 7])
        '1–3, 7'
    """
    spans: list[list[int]] = []
    for seed in seeds:
        if spans and spans[-1][-1] + 1 == seed:
            spans[-1][1:] = [seed]
        else:
            spans.append([seed])
    return ", ".join("–".join(map(str, span)) for span in spans)


def _facts(records: Sequence[Record]) -> Iterator[tuple[str, str]]:
    """Circumstances of the numbers: data, labels, devices, versions, time."""
    for data in sorted({str(record["run"]["data"]) for record in records}):
        found = [record["data"] for record in records if record["run"]["data"] == data and record.get("data")]
        prints = sorted({one["fingerprint"] for one in found})
        notes = sorted({note for one in found for note in one["notes"]})
        yield f"data {data}", "; ".join([*(f"fingerprint {one[:16]}" for one in prints), *notes]) or "never read"
    noises: dict[tuple[str, str], list[float]] = defaultdict(list)
    for record in records:
        if record.get("noise"):
            noises[record["run"]["noise"], record["noise"]["convention"]].append(record["noise"]["rate"])
    for (noise, convention), rates in sorted(noises.items()):
        low, high = min(rates), max(rates)
        yield (
            f"noise {short_noise(noise)}",
            f"realised rate {low:.4f}{f' to {high:.4f}' if high > low else ''}, convention {convention}",
        )
    devices: dict[str, list[float]] = defaultdict(list)
    for record in records:
        devices[f"{record['device'] or 'unknown'}, {counted(record['threads'], 'thread')}"].append(record["seconds"])
    for device, seconds in sorted(devices.items()):
        yield (
            f"device {device}",
            f"{counted(len(seconds), 'run')}, {duration(sum(seconds))}; the longest {duration(max(seconds))}",
        )
    for name in sorted({name for record in records for name in record["versions"]}):
        yield name, ", ".join(sorted({record["versions"].get(name, "unknown") for record in records}))


def _failure(record: Record) -> dict[str, Any]:
    run = record["run"]
    name = f"{run['data']}, {short_noise(run['noise'])}, {run['method']}, seed {run['seed']}"
    return {"name": name, "word": record["status"], "error": record["error"], "place": f"runs/{record['run_id']}"}
