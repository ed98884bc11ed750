"""`noiseproof train`: one run, or a model of the user's own data."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from noiseproof.cli import options, worker_pool
from noiseproof.errors import InputError


def train(
    data: options.Data,
    noise: Annotated[str, typer.Option(help="Label noise to add; 'clean' adds none.")] = "clean",
    method: Annotated[
        str | None,
        typer.Option(help="A method or a loss text. [jal-ce; for own data a learner that suits]"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the noise, the initial weights and the order.")] = 1,
    out: Annotated[Path, typer.Option(help="The results folder.")] = Path("results"),
    epochs: options.Epochs = None,
    changes: options.Set = None,
    recipe: options.Recipe = None,
    data_root: options.DataRoot = None,
    device: options.Device = "auto",
    precision: options.Precision = None,
    mode: options.Mode = None,
    save_every: options.SaveEvery = 30.0,
    keep_outputs: options.KeepOutputs = False,
    tensorboard: options.TensorBoard = False,
    stuck_after: options.StuckAfter = None,
    features: Annotated[
        str | None, typer.Option(help="Own data: lite0, lite2(side=160), patches, tfidf or columns. [by the data]")
    ] = None,
    learner: Annotated[
        str | None,
        typer.Option(help="Own data: one learner, such as discriminant. [the best on held-out given labels]"),
    ] = None,
    time_limit: Annotated[
        str | None, typer.Option("--time-limit", metavar="TIME", help="Fit the work into 90s, 10m or 2h.")
    ] = None,
) -> None:
    """Train once; leave a record and `model/`, which predict, evaluate and export open.

    A data set by name trains the method of its recipe; stopped, the same command goes on from the last checkpoint.
    Your own data are learned in minutes on frozen features, unless --method, --recipe, --epochs or --set ask for a
    network.

    Under torchrun its processes share the work: `torchrun --nproc-per-node 4 -m noiseproof train ...`.

    \b
    Examples:
    noiseproof train photos --out results
    noiseproof train customers.csv --method jal-ce --out results
    """
    from noiseproof.cli import progress, train_own_data
    from noiseproof.cli.stuck_training import watched
    from noiseproof.cli.time_limit import shortened
    from noiseproof.experiments import grid, records
    from noiseproof.experiments.driver import run_one
    from noiseproof.experiments.single_run import refuse_unnameable
    from noiseproof.experiments.specification import Run
    from noiseproof.train import Team

    begun, seconds = time.monotonic(), train_own_data.seconds_of(time_limit)
    refuse_unnameable(data)
    if train_own_data.is_own(data) and not (method or recipe or changes or epochs):
        if stuck_after is not None:
            raise InputError("--stuck-after goes with a network; a learner on features is bounded by --time-limit")
        with worker_pool.stoppable("features that were read are kept"):
            train_own_data.train_own(
                data, noise=noise, seed=seed, out=out, data_root=data_root,
                features=features, learner=learner, time_limit=seconds,
            )  # fmt: skip
        return
    if features or learner:
        raise InputError(
            "--features and --learner go with your own data on frozen features; for a network, leave them out, or "
            "leave --method, --recipe, --epochs and --set out"
        )
    describe = partial(
        grid.runs, [data], [noise], [method or "jal-ce"], [seed],
        recipe=recipe, root=data_root, precision=precision or "auto", mode=mode or "deterministic",
    )  # fmt: skip
    overrides, stop = options.overrides(epochs, changes), None
    (run,) = describe(overrides=overrides)
    if seconds is not None:
        shorter, stop = shortened(run, seconds, begun=begun, root=data_root, device=device)
        (run,) = describe(overrides={**overrides, **shorter})
    team = Team.assemble(device)
    path, epochs_shown = records.location(out, run.run_id), progress.Epochs()
    call = partial(
        worker_pool.calls(out, data_root, device, keep_outputs, save_every)(run),
        team=team,
        model=out / "model",
        stop=stop,
    )
    if not team.rank:
        worker_pool.announce_changes([run], out)
    with worker_pool.stoppable("the same command goes on from the last checkpoint"), watched(stuck_after):
        callbacks = progress.Several([epochs_shown, *([progress.tensorboard(out)] if tensorboard else [])])
        record = run_one(run, out, call, callback=callbacks, team=team, retry_failed=True)
        if epochs_shown.recorded_before and not train_own_data.is_of(out / "model", run):
            typer.echo("the model of this recorded run is not here; it is trained again", err=True)
            call()
    if record is None:
        return  # the first process of the team speaks
    if record["run_id"] != run.run_id:  # stopped at the time limit: another run, which can be computed again
        run = Run(records.canonical(record["run"]))
        path = records.location(out, run.run_id)
        steps = record["run"]["settings"]["train"]["max_steps"]
        typer.echo(f"the time limit ended the training after {steps} steps; without one: --set train.max_steps={steps}")
    realised = record["noise"]
    wrong = f"; {realised['rate']:.2%} of the labels were wrong" if realised else ""
    typer.echo(f"{run}: {progress.outcome(record)}{', recorded before' if epochs_shown.recorded_before else ''}{wrong}")
    typer.echo(f"record {path}")
    if train_own_data.is_of(out / "model", run):
        typer.echo(f"model {out / 'model'}; next: noiseproof predict {out / 'model'} NEW --out predictions.csv")
    for note in record["data"]["notes"] if record["data"] else []:
        if note.startswith("no model was kept"):
            typer.echo(note)
    worker_pool.complain([record])
