"""`noiseproof table`, `figure` and `report`: what a folder of records says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noiseproof.cli.options import choice
from noiseproof.errors import InputError, UnknownNameError, did_you_mean, one_of

if TYPE_CHECKING:
    from noiseproof.experiments.records import Reading
    from noiseproof.reporting.aggregate import Record

FIGURES = ("curves", "histogram", "tsne", "transition", "loss")


def table(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `sweep`, `train` or `compare` filled.")],
    form: Annotated[
        str | None,
        choice("md", "latex", "csv", "html", option="--format", help="Form of the table. [for the terminal]"),
    ] = None,
    paper: Annotated[
        bool, typer.Option("--paper", help="Show the paper's numbers (tables 3 to 6) beside ours.")
    ] = False,
    board: Annotated[
        bool, typer.Option("--leaderboard", help="Rank the methods by last epoch; show best test epoch and cost.")
    ] = False,
) -> None:
    """Print the table of a results folder: means and deviations over the seeds, best and second best marked.

    \b
    Examples:
    noiseproof table results --paper
    noiseproof table results --format latex
    """
    records = _records(_read(folder, whole=board), folder)  # before what loads torch
    if board:
        from noiseproof.reporting import leaderboard

        typer.echo(leaderboard.render(leaderboard.leaderboard(records)), nl=False)
        return
    records = _without_trials(records)
    from noiseproof.reporting import paper as beside
    from noiseproof.reporting import table_formats, tables

    if form is None and sys.stdout.isatty():
        from rich.console import Console

        Console().print(table_formats.console(beside.tables_of(records) if paper else tables.tables_of(records)))
    else:
        typer.echo(table_formats.render(records, form or "md", beside_paper=paper), nl=False)


def figure(
    what: Annotated[
        str, typer.Argument(metavar="|".join(FIGURES), autocompletion=lambda: list(FIGURES), help="Which figure.")
    ],
    folder: Annotated[
        str, typer.Argument(metavar="DIR", help="A results folder; for loss also texts such as 'ce, nce + amse(a=30)'.")
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Where to write; .png or .pdf for one of them. [DIR/WHAT]")
    ] = None,
    data: Annotated[str | None, typer.Option(help="Only this data set.")] = None,
    noise: Annotated[str | None, typer.Option(help="Only this noise.")] = None,
    methods: Annotated[str | None, typer.Option(help="Only these methods, with commas between them.")] = None,
    classes: Annotated[int | None, typer.Option(help="For loss: how many classes. [the records', else 10]")] = None,
) -> None:
    """Draw a figure of a results folder, as PNG and as PDF.

    \b
    Examples:
    noiseproof figure curves results
    noiseproof figure loss 'ce, nce + amse(a=30)' --classes 10 -o pull.png
    """
    from noiseproof.reporting import figures, histogram_and_tsne

    one_of("the figure", what, FIGURES)
    if what == "loss" and not Path(folder).is_dir():
        from noiseproof.text import split_list

        made = figures.loss(split_list(folder), output or Path("loss"), classes=classes or 10)
    else:
        place = Path(folder)
        found = _records(_read(place, whole=True), place)
        chosen = _chosen(found if methods else _without_trials(found), data, noise, methods)
        target = output or place / what
        if what == "loss":
            texts = sorted({str(record["run"]["loss"]) for record in chosen})
            made = figures.loss(texts, target, classes=classes or _classes(chosen))
        elif what in ("curves", "transition"):
            draw: Callable[[Iterable[Record], Path], list[Path]] = getattr(figures, what)
            made = draw(chosen, target)
        else:
            made = (histogram_and_tsne.histogram if what == "histogram" else histogram_and_tsne.tsne)(
                chosen, target, arrays=histogram_and_tsne.beside(place)
            )
    for path in made:
        typer.echo(f"wrote {path}")


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A results folder.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The HTML file. [DIR/report.html]")] = None,
) -> None:
    """Write one self-contained HTML page: tables, figures, what was run, what failed.

    \b
    Examples:
    noiseproof report results
    noiseproof report results -o report.html
    """
    reading = _read(folder, whole=True)
    records = _records(reading, folder)  # before what loads torch
    from noiseproof.reporting import histogram_and_tsne
    from noiseproof.reporting import report as page

    made = page.write(
        _without_trials(records),
        output or folder / "report.html",
        damaged=reading.damaged,
        arrays=histogram_and_tsne.beside(folder),
    )
    typer.echo(f"wrote {made}")


def _read(folder: Path, *, whole: bool) -> Reading:
    """The folder's records; what cannot be used is named on stderr and hides no other."""
    from noiseproof.experiments.records import read_folder

    reading = read_folder(folder, whole=whole)
    for damaged in reading.damaged:
        typer.echo(f"noiseproof: left out {damaged}", err=True)
    return reading


def _records(reading: Reading, folder: Path) -> list[Record]:
    if not reading.records:
        raise InputError(
            f"{folder} holds no finished run; make some with `noiseproof compare DATA --noise TEXT --methods a,b "
            f"--out {folder}`"
        )
    return list(reading.records)


def _without_trials(records: list[Record]) -> list[Record]:
    """The records but those that judged candidates on a part of the training labels, unless there are no others."""
    from noiseproof.experiments.tuned_track import track_of

    final = [record for record in records if not track_of(str(record["run"]["method"]))[1].startswith("candidate")]
    if not final or len(final) == len(records):
        return records
    typer.echo(
        f"noiseproof: left out {len(records) - len(final)} trials of candidates; `noiseproof table DIR --leaderboard` "
        "shows what they chose",
        err=True,
    )
    return final


def _chosen(records: list[Record], data: str | None, noise: str | None, methods: str | None) -> list[Record]:
    """The records that the options name; a noise in any spelling, a method by name or loss text."""
    from noiseproof.reporting.aggregate import short_noise
    from noiseproof.text import split_list

    there = {
        "data": {str(record["run"]["data"]) for record in records},
        "noise": {short_noise(str(record["run"]["noise"])) for record in records},
        "methods": {str(record["run"][key]).lower() for record in records for key in ("method", "loss")} - {""},
    }
    wanted = {
        "data": set() if data is None else {data},
        "noise": set() if noise is None else {short_noise(noise)},
        "methods": set() if methods is None else {name.lower() for name in split_list(methods)},
    }
    for option, names in wanted.items():
        for name in sorted(names - there[option]):
            raise UnknownNameError(
                f"--{option}: no record is of {name!r}{did_you_mean(name, there[option])} "
                f"(there are: {', '.join(sorted(there[option]))})"
            )
    found = [
        record
        for record in records
        if (data is None or record["run"]["data"] == data)
        and (noise is None or short_noise(record["run"]["noise"]) in wanted["noise"])
        and (
            methods is None
            or {str(record["run"]["method"]).lower(), str(record["run"]["loss"]).lower()} & wanted["methods"]
        )
    ]
    if not found:
        raise InputError("no record is of that data, noise and method together; leave one of the options out")
    return found


def _classes(records: list[Record]) -> int:
    """Number of classes of the records' data."""
    found = {len(record["noise"]["transition"]) for record in records if record.get("noise")} - {0}
    if len(found) > 1:
        raise InputError(f"the records have {' and '.join(map(str, sorted(found)))} classes; say --classes or --data")
    return found.pop() if found else 10
