"""`noiseproof train` and `sweep`: one run, or a grid of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noiseproof.cli import options, sweeping

if TYPE_CHECKING:
    from noiseproof.experiments.executors.base import Pool
    from noiseproof.experiments.specification import Run


def train(
    data: options.Data,
    noise: Annotated[str, typer.Option(help="The noise; 'clean' adds none.")] = "clean",
    method: Annotated[str, typer.Option(help="A method of the recipe or a loss text.")] = "jal-ce",
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
) -> None:
    """Train one method once and leave a record; stopped, the same command goes on from the last checkpoint.

    Under torchrun its processes share the work: `torchrun --nproc-per-node 4 -m noiseproof train ...`.
    """
    from noiseproof.cli import progress
    from noiseproof.experiments import grid, records
    from noiseproof.experiments.driver import run_one
    from noiseproof.train import Team

    (run,) = grid.runs(
        [data],
        [noise],
        [method],
        [seed],
        recipe=recipe,
        overrides=options.overrides(epochs, changes),
        root=data_root,
        precision=precision or "auto",
        mode=mode or "deterministic",
    )
    team = Team.assemble(device)
    path = records.location(out, run.run_id)
    before = team.broadcast(path.exists)
    call = partial(sweeping.calls(out, data_root, device, keep_outputs, save_every)(run), team=team)
    with sweeping.stoppable("the same command goes on from the last checkpoint"):
        if team.rank and not before:
            call()
        if team.rank:
            return  # the first process records and speaks
        callbacks = [progress.Epochs(), *([progress.tensorboard(out)] if tensorboard else [])]
        record = run_one(run, out, call, callback=progress.Several(callbacks))
    realised = record["noise"]
    wrong = f"; {realised['rate']:.2%} of the labels were wrong" if realised else ""
    typer.echo(f"{run}: {progress.outcome(record)}{', recorded before' if before else ''}{wrong}")
    typer.echo(f"record {path}")


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
    epochs: options.Epochs = None,
    changes: options.Set = None,
    data_root: options.DataRoot = None,
    device: options.Device = "auto",
    precision: options.Precision = None,
    mode: options.Mode = None,
    save_every: options.SaveEvery = 30.0,
    keep_outputs: options.KeepOutputs = False,
    tensorboard: options.TensorBoard = False,
) -> None:
    """Run a grid; what has a record is skipped, so the same command continues a sweep that was stopped."""
    from noiseproof.cli import progress
    from noiseproof.experiments import grid as grids
    from noiseproof.storage.lock import WHOLE, Shard

    part = Shard.parse(shard) if shard else WHOLE
    changed = options.overrides(epochs, changes)
    whole = grids.load(grid, overrides=changed, root=data_root, precision=precision, mode=mode)
    runs = [run for run in whole if part.holds(run.run_id)]
    if dry_run:
        _plan(runs, out, sweeping.local_workers(len(runs), workers, device), retry_failed, data_root, device)
        return
    callbacks = [progress.tensorboard(out)] if tensorboard else []
    pool: Pool
    if ray:
        from noiseproof.experiments.executors.ray import RayPool

        pool = RayPool(ray, slots=workers, gpus=device == "auto" or device.startswith("cuda"))
        out, data_root = out.absolute(), data_root and data_root.absolute()  # a task has another working folder
    else:
        pool = sweeping.local_pool(len(runs), workers, device)
    calls = sweeping.calls(out, data_root, device, keep_outputs, save_every)
    summary = sweeping.run_all(runs, out, pool, calls, callbacks=callbacks, shard=part, retry_failed=retry_failed)
    typer.echo(f"{summary.recorded} runs recorded, {summary.present} before; see `noiseproof table {out}`")
    sweeping.complain_of_failures(sweeping.records_of(runs, out))


def _plan(
    runs: Sequence[Run], folder: Path, workers: int, retry_failed: bool, data_root: Path | None, device: str
) -> None:
    """What a sweep would do."""
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
