"""Workers of a command, its progress on the terminal, and stopping it."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from noiseproof.errors import MachineError
from noiseproof.experiments.executors.shard import WHOLE, Shard

if TYPE_CHECKING:
    from noiseproof.experiments.driver import Callback, Summary
    from noiseproof.experiments.executors.base import Call, Pool
    from noiseproof.experiments.executors.local import LocalPool
    from noiseproof.experiments.records import Record
    from noiseproof.experiments.specification import Run


def gpus(device: str) -> int:
    """Number of GPUs of this machine that the workers share."""
    if device not in ("auto", "cuda"):
        return 0
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/kfd").exists():
        return 0  # without asking torch, whose import takes seconds
    import torch

    return torch.cuda.device_count()


def local_workers(runs: int, workers: int | None, device: str) -> int:
    """Number of processes on this machine for so many runs."""
    from noiseproof.experiments.executors.local import sensible_workers

    one = device.startswith("cuda:")  # the GPU that was named, by one process unless more are asked for
    return min(workers or sensible_workers(runs, 1 if one else gpus(device)), max(1, runs))


def local_pool(runs: int, workers: int | None, device: str, stuck_after: float | None = None) -> LocalPool:
    """Processes of this machine that import torch while this one does."""
    from noiseproof.experiments.executors.local import LocalPool

    modules = ("noiseproof.experiments.single_run", "noiseproof.train")
    pool = LocalPool(local_workers(runs, workers, device), gpus=gpus(device), modules=modules, stuck_after=stuck_after)
    pool.warm()
    return pool


def calls(
    folder: Path,
    root: Path | None,
    device: str,
    keep_outputs: bool,
    save_every: float = 30.0,
    keep_models: bool = False,
) -> Callable[[Run], Call]:
    """Calls for the workers: one for each run."""
    from noiseproof.experiments import records
    from noiseproof.experiments.single_run import execute
    from noiseproof.runtime.own_parts import Carried

    def call(run: Run) -> Call:
        place = records.location(folder, run.run_id).parent
        work = partial(
            execute,
            run,
            root=root,
            device=device,
            checkpoint_dir=place / "checkpoints",
            save_every=save_every,
            outputs=place / records.OUTPUTS if keep_outputs else None,
            model=place / "model" if keep_models else None,
        )
        return Carried(work)

    return call


@contextmanager
def stoppable(how_to_go_on: str) -> Iterator[None]:
    """Ctrl+C, and the SIGTERM of a batch system, end the work in order and say how it goes on."""

    def stop(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    except KeyboardInterrupt:
        print(f"noiseproof: stopped; what is recorded stays, and {how_to_go_on}", file=sys.stderr)
        raise typer.Exit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)


def run_all(
    runs: Sequence[Run],
    folder: Path,
    pool: Pool,
    call: Callable[[Run], Call],
    *,
    callbacks: Sequence[Callback] = (),
    shard: Shard = WHOLE,
    retry_failed: bool = False,
) -> Summary:
    """Compute the runs, with bars or lines on stderr and further callbacks."""
    from noiseproof.cli import progress
    from noiseproof.experiments.driver import run_all

    announce_changes(runs, folder)
    with stoppable("the same command goes on from there"), progress.shown() as shown:
        callback = progress.Several([shown, *callbacks])
        return run_all(runs, folder, pool, call, shard=shard, callback=callback, retry_failed=retry_failed)


def announce_changes(runs: Sequence[Run], folder: Path) -> None:
    """Say which files of these runs have changed since others were recorded in the folder."""
    from noiseproof.experiments.changes import notices

    for notice in notices(runs, folder):
        typer.echo(f"noiseproof: {notice}", err=True)


def records_of(runs: Sequence[Run], folder: Path) -> list[Record]:
    """The records of these runs, as far as there are any."""
    from noiseproof.experiments.driver import pending

    return pending(runs, folder)[1]


def complain(found: Sequence[Record], summary: Summary | None = None) -> None:
    """End with an error if a run failed or could not be finished; what else was recorded has been shown."""
    if summary and summary.unfinished:
        run, error = summary.unfinished[0]
        left = f"{len(summary.unfinished)} runs have no result; type the same again to go on; the first, {run}: {error}"
        raise type(error)(left)
    failed = [record for record in found if record["status"] == "failed"]
    if failed:
        first = failed[0]["run"]
        raise MachineError(
            f"{len(failed)} of {len(found)} runs failed; the first, {first['data']} {first['noise']} {first['method']} "
            f"seed {first['seed']}: {failed[0]['error']}"
        )
