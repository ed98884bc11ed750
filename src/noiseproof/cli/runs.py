"""`noiseproof train` and `sweep`: one run, or a grid of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noiseproof.cli import options, sweeping
from noiseproof.errors import DataError, InputError

if TYPE_CHECKING:
    from noiseproof.experiments.executors.base import Pool
    from noiseproof.experiments.specification import Run


def train(
    data: options.Data,
    noise: Annotated[str, typer.Option(help="The noise; 'clean' adds none.")] = "clean",
    method: Annotated[
        str | None,
        typer.Option(help="A method or a loss text. [jal-ce; for own data a learner that suits]"),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise, the initial weights and the order.")] = 1,
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
    features: Annotated[
        str | None, typer.Option(help="Own data: lite0, lite2(side=160), patches, tfidf or columns. [by the data]")
    ] = None,
    learner: Annotated[
        str | None, typer.Option(help="Own data: this one, such as discriminant. [by held-out given labels]")
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
    from noiseproof.cli import learning, progress
    from noiseproof.cli.time_limit import shortened
    from noiseproof.experiments import grid, records
    from noiseproof.experiments.driver import run_one
    from noiseproof.experiments.execution import refuse_unnameable
    from noiseproof.experiments.specification import Run
    from noiseproof.train import Team

    begun, seconds = time.monotonic(), learning.seconds_of(time_limit)
    refuse_unnameable(data)
    if learning.is_own(data) and not (method or recipe or changes or epochs):
        with sweeping.stoppable("features that were read are kept"):
            learning.train_own(
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
        sweeping.calls(out, data_root, device, keep_outputs, save_every)(run), team=team, model=out / "model", stop=stop
    )
    if not team.rank:
        sweeping.announce_changes([run], out)
    with sweeping.stoppable("the same command goes on from the last checkpoint"):
        callbacks = progress.Several([epochs_shown, *([progress.tensorboard(out)] if tensorboard else [])])
        record = run_one(run, out, call, callback=callbacks, team=team, retry_failed=True)
        if epochs_shown.recorded_before and not learning.is_of(out / "model", run):
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
    if learning.is_of(out / "model", run):
        typer.echo(f"model {out / 'model'}; next: noiseproof predict {out / 'model'} NEW --out predictions.csv")
    for note in record["data"]["notes"] if record["data"] else []:
        if note.startswith("no model was kept"):
            typer.echo(note)
    sweeping.complain([record])


def sweep(
    grid: Annotated[
        str, typer.Argument(metavar="GRID", help="table3 to table6, small-cifar10, fashion-mnist, or a .toml file.")
    ],
    out: Annotated[Path, typer.Option(help="The results folder.")] = Path("results"),
    workers: options.Workers = None,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Use Ray: local, HOST:PORT or ray://HOST:PORT.")
    ] = None,
    shard: Annotated[str | None, typer.Option(metavar="I/N", help="Only part I of N, one driver each.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs, what is done and what is left.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed runs again.")] = False,
    stuck_after: options.StuckAfter = None,
    epochs: options.Epochs = None,
    changes: options.Set = None,
    data_root: options.DataRoot = None,
    device: options.Device = "auto",
    precision: options.Precision = None,
    mode: options.Mode = None,
    save_every: options.SaveEvery = 30.0,
    keep_outputs: options.KeepOutputs = False,
    tensorboard: options.TensorBoard = False,
    keep_models: Annotated[
        bool, typer.Option("--keep-models", help="Leave the model of each run beside its record.")
    ] = False,
) -> None:
    """Run a grid; what has a record is skipped, so the same command continues a sweep that was stopped.

    \b
    Examples:
    noiseproof sweep table3 --data-root /data --out results --dry-run
    noiseproof sweep my-grid.toml --out results --workers 4
    """
    from noiseproof.cli import progress
    from noiseproof.cli.reading import accounts_shown
    from noiseproof.experiments import grid as grids
    from noiseproof.experiments import tuning
    from noiseproof.experiments.executors.shard import WHOLE, Shard
    from noiseproof.experiments.identity import Sources

    part = Shard.parse(shard) if shard else WHOLE
    changed = options.overrides(epochs, changes)
    bad: dict[str, DataError] = {}
    sources = Sources(data_root)
    with accounts_shown():
        whole = grids.load(
            grid, overrides=changed, precision=precision, mode=mode, on_bad_data=bad.setdefault, sources=sources
        )
    said = grids.read(grid, overrides=changed, precision=precision, mode=mode)
    tracks = tuning.of_grid(said, sources=sources)
    whole += [trial for track in tracks for trial in track.trials]
    for name, error in bad.items():
        typer.echo(f"noiseproof: the runs of {name} are left out: {error}", err=True)
    if bad and not whole:
        raise next(iter(bad.values()))
    runs = [run for run in whole if part.holds(run.run_id)]
    if dry_run:
        runs += tuning.follow_up(tracks, sweeping.records_of(whole, out))
        _plan(runs, out, sweeping.local_workers(len(runs), workers, device), retry_failed, data_root, device)
        return
    callbacks = [progress.tensorboard(out)] if tensorboard else []
    if ray:
        out, data_root = out.absolute(), data_root and data_root.absolute()  # a task has another working folder
    calls = sweeping.calls(out, data_root, device, keep_outputs, save_every, keep_models)

    def compute(some: list[Run]) -> None:
        pool: Pool
        if ray:
            from noiseproof.experiments.executors.ray import RayPool

            gpus = device == "auto" or device.startswith("cuda")
            pool = RayPool(ray, slots=workers, gpus=gpus, stuck_after=stuck_after)
        else:
            pool = sweeping.local_pool(len(some), workers, device, stuck_after)
        summary = sweeping.run_all(some, out, pool, calls, callbacks=callbacks, shard=part, retry_failed=retry_failed)
        typer.echo(f"{summary.recorded} runs recorded, {summary.present} before; see `noiseproof table {out}`")
        sweeping.complain(sweeping.records_of(some, out), summary)

    compute(runs)
    chosen = [run for run in tuning.follow_up(tracks, sweeping.records_of(whole, out)) if part.holds(run.run_id)]
    if chosen:
        typer.echo(f"the trials are done; {len(chosen)} runs with the parameters that they chose")
        compute(chosen)
    if bad:
        raise next(iter(bad.values()))


def _plan(
    runs: Sequence[Run], folder: Path, workers: int, retry_failed: bool, data_root: Path | None, device: str
) -> None:
    """Print the runs that a sweep would compute."""
    from noiseproof.experiments.driver import estimate, pending
    from noiseproof.reporting.humanize import counted, duration

    judged: list[Run] = []

    def probe(run: Run) -> float | None:
        from noiseproof.experiments.time_estimate import seconds_per_epoch

        judged.append(run)
        return seconds_per_epoch(run, root=data_root, device=device)

    waiting, known = pending(runs, folder, retry_failed=retry_failed)
    left = set(waiting)
    for run in runs:
        typer.echo(f"{'to do' if run in left else 'done '}  {run}")
    seconds = estimate(waiting, known, probe)
    if seconds is None:
        time = "; unknown duration: no similar run recorded, and the data is not here"
    elif seconds:
        time = f", about {duration(seconds / workers)} with {counted(workers, 'worker')}"
        time += ", timed by single steps where no similar run is recorded" if judged else ""
    else:
        time = ""
    typer.echo(f"{len(runs)} runs: {len(known)} done, {len(waiting)} to do{time}")
