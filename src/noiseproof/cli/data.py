"""`noiseproof data`: download data sets, and say what is missing or odd on the disk."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from noiseproof.escaping import visible

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

Root = Annotated[
    Path | None, typer.Option("--root", "--data-root", help="The folder of the data sets. [$NOISEPROOF_DATA or data]")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command(short_help="Check that a data set is complete.")
def check(
    data: Annotated[
        str, typer.Argument(metavar="NAME", help="A data set, a path, or cifar10n, cifar100n, cifar10-instance, ...")
    ],
    root: Root = None,
    images: Annotated[bool, typer.Option(help="Decode every image file.")] = True,
    as_json: Json = False,
) -> None:
    """Check that a data set is complete and list what is odd about it; exit code 2 if it cannot be used.

    \b
    Examples:
    noiseproof data check pets.csv
    noiseproof data check clothing1m --root /data
    """
    from noiseproof.data.check import check as look

    with _progress(not as_json) as show:
        report = look(data, root, images=images, progress=lambda done, total: show("images decoded", done, total))
    if as_json:
        typer.echo(json.dumps({**asdict(report), "usable": report.usable}, indent=2))
    else:
        marked = (("  ", report.right), ("? ", report.odd), ("! ", report.wrong), ("! ", report.unreadable))
        for sign, lines in marked:
            for line in lines:
                typer.echo(visible(sign + line, None))
        if report.unreadable:
            count = len(report.unreadable)
            typer.echo(f"! {count:,} image{'s' if count > 1 else ''} cannot be decoded")
        typer.echo(f"{report.name}: {'usable' if report.usable else 'not usable'}")
    if not report.usable:
        raise typer.Exit(2)


@app.command(short_help="Download a data set; hashes are checked.")
def fetch(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="A data set, or cifar10n, cifar100n, cifar10-instance, ...")
    ],
    root: Root = None,
    mirror: Annotated[str | None, typer.Option(help="Take the files from this address; hashes are checked.")] = None,
    timeout: Annotated[float, typer.Option(help="Seconds without data after which a connection is given up.")] = 30,
) -> None:
    """Download a data set from its official address, or go on with a download; hashes are checked.

    \b
    Examples:
    noiseproof data fetch cifar10 --root /data
    noiseproof data fetch cifar10n --root /data
    """
    from noiseproof.data.dataset_registry import default_root
    from noiseproof.data.io.download import fetch as get

    with _progress(True) as show:
        paths = get(name, root or default_root(), mirror=mirror, progress=show, timeout=timeout)
    for path in paths:
        typer.echo(f"{path}: official")


@contextmanager
def _progress(wanted: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A bar on a terminal, else a plain line at every tenth of the way, both on stderr."""
    if not wanted:
        yield lambda what, done, total: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress

        with Progress(console=Console(stderr=True)) as bars:
            tasks = {}

            def move(what: str, done: int, total: int) -> None:
                if what not in tasks:
                    tasks[what] = bars.add_task(what, total=total)
                bars.update(tasks[what], completed=done)

            yield move
    else:
        tenths: dict[str, int] = {}

        def say(what: str, done: int, total: int) -> None:
            tenth = 10 * done // total
            if tenth > tenths.get(what, 0):
                tenths[what] = tenth
                print(f"{what}: {done:,} of {total:,}", file=sys.stderr)

        yield say
