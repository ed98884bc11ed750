"""`noiseproof records`: folders of records, verified and put together."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

from noiseproof.cli import options

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)


@app.command(short_help="Verify every record against its hash.")
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `sweep`, `train` or `compare` filled.")],
) -> None:
    """Verify every record against its hash and its run; exit code 2 if one is damaged.

    \b
    Examples:
    noiseproof records check results
    noiseproof records check /mnt/results-of-the-cluster
    """
    from noiseproof.experiments.records import read_folder

    reading = read_folder(folder, whole=False, cached=False, parts=True)
    for damaged in reading.damaged:
        typer.echo(f"! {damaged}")
    statuses = Counter(record["status"] for record in reading.records)
    counts = ", ".join(f"{number} {status}" for status, number in sorted(statuses.items(), reverse=True))
    typer.echo(f"{folder}: {len(reading.records)} records are whole{counts and f' ({counts})'}")
    if reading.damaged:
        typer.echo(f"{len(reading.damaged)} damaged; the same sweep moves them aside and computes their runs again")
        raise typer.Exit(2)


@app.command(short_help="Copy the records that another folder lacks.")
def merge(
    source: Annotated[Path, typer.Argument(metavar="FROM", help="A results folder; it is only read.")],
    into: Annotated[Path, typer.Argument(metavar="INTO", help="The results folder that gets what it lacks.")],
) -> None:
    """Copy the records that INTO lacks; none of its own is replaced. Exit code 2 if some could not be merged.

    \b
    Examples:
    noiseproof records merge from-another-machine results
    noiseproof records merge /mnt/results results
    """
    from noiseproof.experiments.records import merge as put_together

    merged = put_together(source, into)
    for damaged in merged.damaged:
        typer.echo(f"! left out {damaged}")
    for path in merged.differing:
        typer.echo(f"! {path}: the other folder has another result of this run; this one stays")
    typer.echo(f"{into}: {merged.copied} records copied, {merged.present} were there already")
    if merged.damaged or merged.differing:
        raise typer.Exit(2)


@app.command(short_help="Rename the records of an earlier version.")
def upgrade(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A results folder with records of noiseproof 0.1.")],
    data_root: options.DataRoot = None,
) -> None:
    """Give records of an earlier version the names their runs have now, where their content can be checked.

    \b
    Examples:
    noiseproof records upgrade results
    noiseproof records upgrade results --data-root /data
    """
    from noiseproof.experiments.upgrade import upgrade as take_over

    done = take_over(folder, root=data_root)
    for record, why in done.left:
        run = record["run"]
        typer.echo(f"! {run['data']} {run['noise']} {run['method']} seed {run['seed']} stays as it is: {why}")
    typer.echo(f"{folder}: {done.taken_over} records taken over, {done.unchanged} had their names already")
