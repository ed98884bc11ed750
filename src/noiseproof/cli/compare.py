"""`noiseproof compare`: from a data set to a table and a report."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noiseproof.cli import options, worker_pool
from noiseproof.errors import InputError
from noiseproof.text import split_list

if TYPE_CHECKING:
    from noiseproof.experiments.records import Record
    from noiseproof.experiments.specification import Run
    from noiseproof.selection.tune import Choice


def compare(
    data: options.Data,
    noise: Annotated[str, typer.Option(help="Label noise to add; 'clean' adds none.")] = "symmetric(0.4)",
    methods: Annotated[
        str, typer.Option(help="Methods of the recipe or loss texts, with commas between them.")
    ] = "ce,gce,nce+rce,anl-ce,jal-ce,jal-fl",
    seeds: Annotated[int, typer.Option(min=1, help="Number of seeds: 1, 2, ...")] = 3,
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
    stuck_after: options.StuckAfter = None,
    tune: Annotated[bool, typer.Option("--tune", help="Also choose the best method without clean labels.")] = False,
    keep_model: Annotated[
        str | None,
        options.choice("best", "all", option="--keep-model", help="Keep the model of the best run, or of all."),
    ] = None,
) -> None:
    """Train several methods on the same wrong labels, print the table, draw the curves and write a report.

    \b
    Examples:
    noiseproof compare digits --noise "symmetric(0.4)" --methods ce,gce,jal-ce
    noiseproof compare pets.csv --noise clean --tune --keep-model best
    """
    named = split_list(methods)
    if not named:
        raise InputError("--methods needs at least one method, such as ce,jal-ce")
    folder = out or Path("results") / (re.sub(r"[^A-Za-z0-9._-]+", "-", Path(data).stem) or "compare")
    pool = worker_pool.local_pool(len(named) * seeds, workers, device, stuck_after)
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
        calls = worker_pool.calls(folder, data_root, device, keep_outputs, keep_models=keep_model is not None)
        summary = worker_pool.run_all(runs, folder, pool, calls, retry_failed=True)
    finally:
        pool.close()
    with worker_pool.stoppable("the same command goes on from there"):
        chosen = _tuned(runs, folder, data_root, device) if tune else None
        found = worker_pool.records_of(runs, folder)
        if as_json:
            typer.echo(json.dumps({**_json(found, chosen), **_account(data, data_root)}))
        else:
            _show(found, chosen)
        if keep_model is not None:
            typer.echo(_models(found, folder, keep_model), err=as_json)
        if any(record["status"] != "failed" for record in found):
            from noiseproof.reporting import figures, histogram_and_tsne, report

            curves, *_ = figures.curves(found, folder / "curves")
            page = report.write(
                found,
                folder / "report.html",
                command=shlex.join(["noiseproof", *sys.argv[1:]]),
                arrays=histogram_and_tsne.beside(folder),
            )
            typer.echo(f"curves {curves}, report {page}, records {folder}/runs", err=as_json)
    worker_pool.complain(found, summary)


def _account(data: str, root: Path | None) -> dict[str, Any]:
    """Account of the reading of own data, as it stands at the top of the output; nothing for a data set by name."""
    from noiseproof.data.load import load, named, path_of

    if named(data, otherwise=path_of(data, root)) is not None:
        return {}
    reading = load(data, root=root).reading
    return {} if reading is None else {"reading": reading.to_json()}


def _models(found: Sequence[Record], folder: Path, which: str) -> str:
    """Keep the model of the best run as `model`, or all beside their records; say where."""
    from noiseproof.experiments import records

    places = {record["run_id"]: records.location(folder, record["run_id"]).parent / "model" for record in found}
    kept = [record for record in found if (places[record["run_id"]] / "model.json").is_file()]
    if not kept:
        return "no model was kept: these runs were recorded before, without; choose another --out to train them again"
    best = max(kept, key=lambda record: record["result"]["accuracy"] or 0)
    shutil.copytree(places[best["run_id"]], folder / "model", dirs_exist_ok=True)
    if which == "best":
        for record in kept:
            shutil.rmtree(places[record["run_id"]])
    name = f"{best['run']['method']} seed {best['run']['seed']}, {best['result']['accuracy']:.2f} % on the test split"
    return f"model {folder / 'model'}: {name}" + (f"; all: {folder}/runs/*/model" if which == "all" else "")


def _tuned(runs: Sequence[Run], folder: Path, root: Path | None, device: str) -> Choice:
    """The choice among the methods by held-out given labels, on the labels of the first seed; kept beside the runs."""
    from noiseproof.experiments import run_content
    from noiseproof.experiments.single_run import given_labels, protocol
    from noiseproof.selection.tune import tune

    spec, (first, recipe) = runs[0].spec, protocol(runs[0])
    found = run_content.load(spec, first, recipe, root)
    methods = list({run.spec["method"]: protocol(run)[0] for run in runs}.values())
    noisy = given_labels(found, spec["noise"], spec["seed"], root)
    return tune(found, noisy, methods, recipe, seed=spec["seed"], device=device, keep=folder / "tuned")


def _show(found: Sequence[Record], chosen: Choice | None) -> None:
    from rich.console import Console

    from noiseproof.reporting import table_formats, tables

    Console().print(table_formats.console(tables.tables_of(found)))
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
            "computed_with": {name: list(values) for name, values in row.computed_with.items()},
            **{key: row.shared.get(key) for key in facts},
        }
        for row in tables.aggregate(found)
    ]
    return {"rows": rows} | ({"tune": chosen.to_json()} if chosen else {})
