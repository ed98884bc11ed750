"""`noiseproof predict`, `evaluate` and `export`: what a trained model is for."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noiseproof.cli import options
from noiseproof.errors import InputError

if TYPE_CHECKING:
    from noiseproof.features.base import Progress

ModelFolder = Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder, or the results folder with it.")]


def predict(
    model: ModelFolder,
    items: Annotated[Path, typer.Argument(metavar="DATA", help="New items: a folder, a picture, a table or an array.")],
    out: Annotated[Path | None, typer.Option(help="Write a .csv, .parquet or .json file instead of printing.")] = None,
    proba: Annotated[bool, typer.Option("--proba", help="Also the probability of each class, a column each.")] = False,
    top: Annotated[int | None, typer.Option(min=1, metavar="N", help="Also the N most probable classes.")] = None,
    key: Annotated[
        str | None, typer.Option("--id", metavar="COLUMN", help="Column that names each item in the output.")
    ] = None,
    path: Annotated[str | None, typer.Option("--path", metavar="COLUMN", help="Column of the pictures' paths.")] = None,
    text: Annotated[str | None, typer.Option("--text", metavar="COLUMN", help="Column of the texts.")] = None,
    label: Annotated[
        str | None, typer.Option("--label", metavar="COLUMN", help="Column of labels, which is left out.")
    ] = None,
    drop: Annotated[
        list[str] | None, typer.Option("--drop", metavar="COLUMNS", help="Columns that are left out.")
    ] = None,
    annotators: Annotated[
        list[str] | None, typer.Option("--annotators", metavar="COLUMNS", help="Columns of answers, left out.")
    ] = None,
    delimiter: Annotated[
        str | None, typer.Option(metavar="CHARACTER", help="Character between two values; tab for a tab.")
    ] = None,
    encoding: Annotated[
        str | None, typer.Option(metavar="NAME", help="Encoding of a text file, such as latin-1. [utf-8]")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at an item that cannot be read.")] = False,
    data_root: Annotated[Path | None, typer.Option(help="Folder of the pictures that a table names.")] = None,
) -> None:
    """Label new items with a trained model; items that cannot be read are listed and skipped.

    \b
    Examples:
    noiseproof predict results/model new-photos --out predictions.csv --proba
    noiseproof predict results/model customers.csv --id customer --top 3
    """
    from noiseproof.artifacts import load_model, predictions
    from noiseproof.artifacts.new_items import read_items
    from noiseproof.data.readers.base import ReadingOptions

    opened = load_model(model)
    dropped = tuple(name.strip() for names in [*(drop or []), *(annotators or [])] for name in names.split(","))
    options = ReadingOptions(
        label=label, path=path, text=text, id=key, drop=dropped, delimiter=delimiter, encoding=encoding, root=data_root
    )
    found_items = read_items(
        items,
        opened.kind,
        opened.architecture.columns,
        categories=opened.categories,
        options=options,
        trained=opened.columns,
    )
    for note in [*found_items.notes, *opened.notes_on(found_items.inputs)]:
        typer.echo(note, err=True)
    with shown("predicted") as progress:
        found = predictions.predict(opened, found_items, proba=proba, top=top, progress=progress)
    for what, why in found.skipped[: 1 if strict else 20]:
        line = f"{what}: {why.removeprefix(f'{items / what}: ').removeprefix(f'{what}: ')}"
        if strict:
            raise InputError(f"{line}; without --strict it is skipped")
        typer.echo(f"skipped {line}", err=True)
    if len(found.skipped) > 20:
        typer.echo(f"... and {len(found.skipped) - 20} more skipped", err=True)
    if out is None:
        typer.echo(found.csv(), nl=False)
    else:
        found.write(out)
        typer.echo(f"wrote {out}: {len(found)} predictions", err=True)
    if found.skipped:
        more = f"; all of them: noiseproof data check {shlex.quote(str(items))}" if items.is_dir() else ""
        typer.echo(f"{len(found.skipped)} of {len(found.skipped) + len(found)} items skipped{more}", err=True)
    if not len(found) and found.skipped:
        raise InputError(f"{items}: none of its {len(found.skipped)} items could be read")


def evaluate(
    model: ModelFolder,
    data: options.Data,
    out: Annotated[
        Path | None, typer.Option(help="Write evaluation.html, evaluation.json and confusion.csv there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data_root: options.DataRoot = None,
) -> None:
    """Compare a model with labels: accuracy, each class, confusion matrix; corrected for wrong labels.

    \b
    Examples:
    noiseproof evaluate results/model test.csv --out evaluation
    noiseproof evaluate results/model photos --json
    """
    from noiseproof import data as datasets
    from noiseproof.artifacts import evaluation, load_model

    opened = load_model(model)
    found = datasets.load(data, root=data_root)
    with shown("judged") as progress:
        result = evaluation.evaluate(opened, found, progress=progress)
    if out is not None:
        from noiseproof.artifacts.evaluation_page import page
        from noiseproof.storage import files

        contents = {
            "evaluation.html": page(result, f"{result.data}: evaluation"),
            "evaluation.json": json.dumps(result.to_json(), indent=1) + "\n",
            "confusion.csv": result.confusion_csv(),
        }
        for name, content in contents.items():
            files.write_atomic(out / name, content)
    typer.echo(json.dumps(result.to_json()) if as_json else str(result))
    if out is not None:
        typer.echo(f"wrote {out / 'evaluation.html'}", err=as_json)


def export(
    model: ModelFolder,
    format: Annotated[str, options.choice("onnx", "torch", option="--format", help="torch is torch.export.")] = "onnx",
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="The file. [model.onnx or model.pt2 in the model folder]")
    ] = None,
) -> None:
    """Write the model as one file with its preprocessing inside, checked against the original on the spot.

    \b
    Examples:
    noiseproof export results/model --format onnx -o pets.onnx
    noiseproof export results/model --format torch
    """
    from noiseproof.artifacts import load_model
    from noiseproof.artifacts.export import export as write

    path, checked = write(load_model(model), out, format)
    typer.echo(f"wrote {path}; {checked}")


@contextmanager
def shown(verb: str) -> Iterator[Progress]:
    """Progress of many items on stderr: a bar on a terminal, else a line at every tenth, from the third second on."""
    import time

    begun, said = time.monotonic(), 0

    def line(done: int, total: int) -> None:
        nonlocal said
        tenth = 10 * done // max(1, total)
        if tenth > said and time.monotonic() - begun > 3:
            said = tenth
            left = (time.monotonic() - begun) * (total - done) / done
            print(f"{verb} {done:,} of {total:,}, about {left:,.0f} s left", file=sys.stderr, flush=True)

    if not sys.stderr.isatty():
        yield line
        return
    from rich.console import Console
    from rich.progress import Progress as Bars

    with Bars(console=Console(stderr=True), transient=True) as bars:
        task: Any = bars.add_task(verb, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
