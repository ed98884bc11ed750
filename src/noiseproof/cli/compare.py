"""`noiseproof compare`: from a data set to a table and a report."""

from __future__ import annotations

import json
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noiseproof.cli import options, sweeping
from noiseproof.errors import InputError
from noiseproof.text import split_list

if TYPE_CHECKING:
    from noiseproof.experiments.records import Record
    from noiseproof.experiments.specification import Run
    from noiseproof.selection.tune import Choice


def compare(
    data: options.Data,
    noise: Annotated[str, typer.Option(help="The noise; 'clean' adds none.")] = "symmetric(0.4)",
    methods: Annotated[
        str, typer.Option(help="Methods of the recipe or loss texts, with commas between them.")
    ] = "ce,gce,nce+rce,anl-ce,jal-ce,jal-fl",
    seeds: Annotated[int, typer.Option(min=1, help="How many; 1, 2, ...")] = 3,
    out: Annotated[Path | None, typer.Option(help="The results folder. [results/DATA]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
    workers: options.Workers = None,
    epochs: options.Epochs = None,
    changes: options.Set = None,
    recipe: options.Recipe = None,
    data_root: options.DataRoot = None,
    device: options.Device = "auto",
    precision: options.Precision = None,
    mode: options.Mode = None,
    keep_outputs: options.KeepOutputs = False,
    tune: Annotated[
        bool, typer.Option("--tune", help="Also choose one of them as you would without clean labels.")
    ] = False,
) -> None:
    """Train several methods on the same wrong labels, print the table, draw the curves and write a report."""
    named = split_list(methods)
    if not named:
        raise InputError("--methods needs at least one method, such as ce,jal-ce")
    folder = out or Path("results") / (re.sub(r"[^A-Za-z0-9._-]+", "-", Path(data).stem) or "compare")
    pool = sweeping.local_pool(len(named) * seeds, workers, device)
    try:
        from noiseproof.experiments import grid

        runs = grid.runs(
            [data],
            [noise],
            named,
            range(1, seeds + 1),
            recipe=recipe,
            overrides=options.overrides(epochs, changes),
            root=data_root,
            precision=precision or "auto",
            mode=mode or "deterministic",
        )
        sweeping.run_all(runs, folder, pool, sweeping.calls(folder, data_root, device, keep_outputs))
    finally:
        pool.close()
    with sweeping.stoppable("the same command goes on from there"):
        chosen = _tuned(runs, data_root, device) if tune else None
        found = sweeping.records_of(runs, folder)
        if as_json:
            typer.echo(json.dumps(_json(found, chosen)))
        else:
            _show(found, chosen)
        if any(record["status"] != "failed" for record in found):
            from noiseproof.reporting import figures, output_figures, report

            curves, *_ = figures.curves(found, folder / "curves")
            page = report.write(
                found,
                folder / "report.html",
                command=shlex.join(["noiseproof", *sys.argv[1:]]),
                arrays=output_figures.beside(folder),
            )
            typer.echo(f"curves {curves}, report {page}, records {folder}/runs", err=as_json)
    sweeping.complain_of_failures(found)


def _tuned(runs: Sequence[Run], root: Path | None, device: str) -> Choice:
    """The choice among the methods by held-out given labels, on the labels of the first seed."""
    from noiseproof import data
    from noiseproof.experiments.execution import given_labels, protocol
    from noiseproof.selection.tune import tune

    told = runs[0].spec
    found = data.load(told["data"], root=root)
    methods = list({run.spec["method"]: protocol(run)[0] for run in runs}.values())
    noisy = given_labels(found, told["noise"], told["seed"], root)
    return tune(found, noisy, methods, protocol(runs[0])[1], seed=told["seed"], device=device)


def _show(found: Sequence[Record], chosen: Choice | None) -> None:
    from rich.console import Console

    from noiseproof.reporting import render, tables

    Console().print(render.console(tables.tables_of(found)))
    if chosen:
        typer.echo(str(chosen))


def _json(found: Sequence[Record], chosen: Choice | None) -> dict[str, Any]:
    from noiseproof.reporting import tables

    facts = ("data", "noise", "loss", "recipe", "precision", "mode", "selection")
    rows = [
        {
            "method": row.method,
            "mean": row.mean,
            "std": row.std,
            "n": row.n,
            "seeds": list(row.seeds),
            "accuracies": list(row.accuracies),
            "diverged": list(row.diverged),
            "failed": list(row.failed),
            **{key: row.shared.get(key) for key in facts},
        }
        for row in tables.aggregate(found)
    ]
    return {"rows": rows} | ({"tune": chosen.to_json()} if chosen else {})
