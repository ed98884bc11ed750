"""`noiseproof sweep`: a grid of runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from noiseproof.cli import options, worker_pool
from noiseproof.errors import DataError, InputError

if TYPE_CHECKING:
    from noiseproof.errors import NoiseproofError
    from noiseproof.experiments.executors.base import Pool
    from noiseproof.experiments.specification import Run


def sweep(
    grid: Annotated[
        str, typer.Argument(metavar="GRID", help="table3 to table6, small-cifar10, fashion-mnist, or a .toml file.")
    ],
    out: Annotated[Path, typer.Option(help="The results folder.")] = Path("results"),
    workers: options.Workers = None,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Use Ray: local, HOST:PORT or ray://HOST:PORT.")
    ] = None,
    shard: Annotated[str | None, typer.Option(metavar="I/N", help="Run part I of N only, one part a machine.")] = None,
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
        bool, typer.Option("--keep-models", help="Keep the model of each run beside its record.")
    ] = False,
) -> None:
    """Run a grid; what has a record is skipped, so the same command continues a sweep that was stopped.

    \b
    Examples:
    noiseproof sweep table3 --data-root /data --out results --dry-run
    noiseproof sweep my-grid.toml --out results --workers 4
    """
    from noiseproof.cli import progress
    from noiseproof.cli.reading_options import accounts_shown
    from noiseproof.experiments import grid as grids
    from noiseproof.experiments import tuned_track
    from noiseproof.experiments.executors.shard import WHOLE, Shard
    from noiseproof.experiments.run_content import Sources

    if ray and not dry_run:
        from noiseproof.experiments.executors.ray import knock

        knock(ray)  # before the data are read
    part = Shard.parse(shard) if shard else WHOLE
    changed = options.overrides(epochs, changes)
    bad: dict[str, DataError] = {}
    sources = Sources(data_root)
    with accounts_shown():
        whole = grids.load(
            grid, overrides=changed, precision=precision, mode=mode, on_bad_data=bad.setdefault, sources=sources
        )
    said = grids.read(grid, overrides=changed, precision=precision, mode=mode)
    tracks = tuned_track.of_grid(said, sources=sources)
    whole += [trial for track in tracks for trial in track.trials]
    for name, error in bad.items():
        typer.echo(f"noiseproof: the runs of {name} are left out: {error}", err=True)
    if bad and not whole:
        raise next(iter(bad.values()))
    runs = [run for run in whole if part.holds(run.run_id)]
    if dry_run:
        runs += tuned_track.follow_up(tracks, worker_pool.records_of(whole, out))
        _plan(runs, out, worker_pool.local_workers(len(runs), workers, device), retry_failed, data_root, device)
        return
    callbacks = [progress.tensorboard(out)] if tensorboard else []
    if ray:
        out, data_root = out.absolute(), data_root and data_root.absolute()  # a task has another working folder
    calls = worker_pool.calls(out, data_root, device, keep_outputs, save_every, keep_models)

    def compute(some: list[Run]) -> NoiseproofError | None:
        """Run them; the error to end with, if some have no result."""
        pool: Pool
        if ray:
            from noiseproof.experiments.executors.ray import RayPool

            gpus = device == "auto" or device.startswith("cuda")
            pool = RayPool(ray, slots=workers, gpus=gpus, stuck_after=stuck_after)
        else:
            pool = worker_pool.local_pool(len(some), workers, device, stuck_after)
        try:
            summary = worker_pool.run_all(
                some, out, pool, calls, callbacks=callbacks, shard=part, retry_failed=retry_failed
            )
            typer.echo(f"{summary.recorded} runs recorded, {summary.present} before; see `noiseproof table {out}`")
            worker_pool.complain(worker_pool.records_of(some, out), summary)
        except InputError as error:  # of some runs; what the others decide goes on
            return error
        return None

    wrong = compute(runs)
    chosen = [
        run for run in tuned_track.follow_up(tracks, worker_pool.records_of(whole, out)) if part.holds(run.run_id)
    ]
    if chosen:
        typer.echo(f"the trials are done; {len(chosen)} runs with the parameters that they chose")
        wrong = compute(chosen) or wrong
    if wrong:
        raise wrong
    if bad:
        raise next(iter(bad.values()))


def _plan(
    runs: Sequence[Run], folder: Path, workers: int, retry_failed: bool, data_root: Path | None, device: str
) -> None:
    """Print the runs that a sweep would compute."""
    from noiseproof.experiments.driver import estimate, pending
    from noiseproof.experiments.tuned_track import cost_of
    from noiseproof.humanize import counted, duration

    judged: list[Run] = []

    def probe(run: Run) -> float | None:
        from noiseproof.experiments.time_estimate import seconds_per_epoch

        judged.append(run)
        return seconds_per_epoch(run, root=data_root, device=device)

    waiting, known = pending(runs, folder, retry_failed=retry_failed)
    left = set(waiting)
    for run in runs:
        typer.echo(f"{'to do' if run in left else 'done '}  {run}")
    seconds = estimate(waiting, known, probe, lambda spec: cost_of(spec["settings"]["method"].get("method")))
    if seconds is None:
        time = "; unknown duration: no similar run recorded, and the data is not here"
    elif seconds:
        time = f", about {duration(seconds / workers)} with {counted(workers, 'worker')}"
        time += ", timed by a few steps where no similar run is recorded" if judged else ""
    else:
        time = ""
    typer.echo(f"{len(runs)} runs: {len(known)} done, {len(waiting)} to do{time}")
