"""`noiseproof compare`, `train` and `sweep`: whatever trains."""

from __future__ import annotations

import json
import re
import signal
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noiseproof.errors import InputError, MachineError
from noiseproof.text import split_list

if TYPE_CHECKING:
    from noiseproof.bench.driver import Tally, Watch
    from noiseproof.bench.local import LocalPool
    from noiseproof.bench.lock import Shard
    from noiseproof.bench.pool import Call, Pool
    from noiseproof.bench.records import Record
    from noiseproof.bench.run import Run
    from noiseproof.tune import Choice

DataArgument = Annotated[str, typer.Argument(metavar="DATA", help="A data set's name or the path of your own data.")]
DataRoot = Annotated[Path | None, typer.Option(help="The folder that holds the data sets. [$NOISEPROOF_DATA or data]")]
RecipeOption = Annotated[str | None, typer.Option(help="A recipe's name or a .toml file. [the data set's own]")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any value of the recipe, as train.lr=0.1.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Precision = Annotated[str | None, typer.Option(help="auto, fp32, tf32 or bf16.")]
Mode = Annotated[str | None, typer.Option(help="deterministic (the same bits every time) or fast.")]
KeepOutputs = Annotated[
    bool, typer.Option("--keep-outputs", help="Also keep scores and features, for `figure histogram` and `tsne`.")
]
SaveEvery = Annotated[
    float, typer.Option("--save-every", min=0, metavar="SECONDS", help="Between two checkpoints of a run.")
]
TensorBoard = Annotated[bool, typer.Option("--tensorboard", help="Also write curves for TensorBoard.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes. [one a GPU, else one a core]")]


def compare(
    data: DataArgument,
    noise: Annotated[str, typer.Option(help="The noise; 'clean' adds none.")] = "symmetric(0.4)",
    methods: Annotated[
        str, typer.Option(help="Methods of the recipe or loss texts, with commas between them.")
    ] = "ce,gce,nce+rce,anl-ce,jal-ce,jal-fl",
    seeds: Annotated[int, typer.Option(min=1, help="How many; 1, 2, ...")] = 3,
    out: Annotated[Path | None, typer.Option(help="The results folder. [results/DATA]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
    workers: Workers = None,
    epochs: Epochs = None,
    changes: SetOption = None,
    recipe: RecipeOption = None,
    data_root: DataRoot = None,
    device: Device = "auto",
    precision: Precision = None,
    mode: Mode = None,
    keep_outputs: KeepOutputs = False,
    tune: Annotated[
        bool, typer.Option("--tune", help="Also choose one of them as you would without clean labels.")
    ] = False,
) -> None:
    """Train several methods on the same wrong labels, print the table, draw the curves and write a report."""
    named = split_list(methods)
    if not named:
        raise InputError("--methods needs at least one method, such as ce,jal-ce")
    folder = out or Path("results") / (re.sub(r"[^A-Za-z0-9._-]+", "-", Path(data).stem) or "compare")
    pool = _local_pool(len(named) * seeds, workers, device)  # its processes import torch while this one does
    try:
        from noiseproof.bench import grid

        runs = grid.runs(
            [data],
            [noise],
            named,
            range(1, seeds + 1),
            recipe=recipe,
            overrides=_overrides(epochs, changes),
            root=data_root,
            precision=precision or "auto",
            mode=mode or "deterministic",
        )
        tally = _drive(runs, folder, pool, _calls(folder, data_root, device, keep_outputs))
    finally:
        pool.close()
    chosen = _tuned(runs, data_root, device) if tune else None
    found = _records_of(runs, folder)
    if as_json:
        typer.echo(json.dumps(_json(found, chosen)))
    else:
        _show(found, chosen)
    if any(record["status"] != "failed" for record in found):
        from noiseproof.bench import figures, report

        made = [*figures.curves(found, folder / "curves"), report.write(found, folder / "report.html")]
        typer.echo(f"curves {made[0]}, report {made[-1]}, records {folder}/runs", err=as_json)
    _complain_of_failures(tally, found)


def train(
    data: DataArgument,
    noise: Annotated[str, typer.Option(help="The noise; 'clean' adds none.")] = "clean",
    method: Annotated[str, typer.Option(help="A method of the recipe or a loss text.")] = "jal-ce",
    seed: Annotated[int, typer.Option(min=0, help="Of the noise, the initial weights and the order.")] = 1,
    out: Annotated[Path, typer.Option(help="The results folder.")] = Path("results"),
    epochs: Epochs = None,
    changes: SetOption = None,
    recipe: RecipeOption = None,
    data_root: DataRoot = None,
    device: Device = "auto",
    precision: Precision = None,
    mode: Mode = None,
    save_every: SaveEvery = 30.0,
    keep_outputs: KeepOutputs = False,
    tensorboard: TensorBoard = False,
) -> None:
    """Train one method once and leave a record; stopped, the same command goes on from the last checkpoint.

    Under torchrun its processes share the work: `torchrun --nproc-per-node 4 -m noiseproof train ...`.
    """
    from noiseproof.bench import grid, records
    from noiseproof.bench.driver import alone
    from noiseproof.cli import progress
    from noiseproof.train import Team

    (run,) = grid.runs(
        [data],
        [noise],
        [method],
        [seed],
        recipe=recipe,
        overrides=_overrides(epochs, changes),
        root=data_root,
        precision=precision or "auto",
        mode=mode or "deterministic",
    )
    team = Team.assemble(device)
    path = records.location(out, run.run_id)
    before = team.from_first(path.exists)
    call = partial(_calls(out, data_root, device, keep_outputs, save_every)(run), team=team)
    with _stoppable("the same command goes on from the last checkpoint"):
        if team.rank and not before:
            call()
        if team.rank:
            return  # the first process records and speaks
        watches = [progress.Epochs(), *([progress.tensorboard(out)] if tensorboard else [])]
        record = alone(run, out, call, watch=progress.Several(watches))
    realised = record["noise"]
    wrong = f"; {realised['rate']:.2%} of the labels were wrong" if realised else ""
    typer.echo(f"{run}: {progress.outcome(record)}{', recorded before' if before else ''}{wrong}")
    typer.echo(f"record {path}")


def sweep(
    grid: Annotated[str, typer.Argument(metavar="GRID", help="table3 to table6, paper, small-cifar10, fashion-mnist or a .toml file.")],
    out: Annotated[Path, typer.Option(help="The results folder.")] = Path("results"),
    workers: Workers = None,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Use Ray: local, HOST:PORT or ray://HOST:PORT.")
    ] = None,
    shard: Annotated[str | None, typer.Option(metavar="I/N", help="Only part I of N, one driver each.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs, what is done and what is left.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed runs again.")] = False,
    epochs: Epochs = None,
    changes: SetOption = None,
    data_root: DataRoot = None,
    device: Device = "auto",
    precision: Precision = None,
    mode: Mode = None,
    save_every: SaveEvery = 30.0,
    keep_outputs: KeepOutputs = False,
    tensorboard: TensorBoard = False,
) -> None:
    """Run a grid; what has a record is skipped, so the same command continues a sweep that was stopped."""
    from noiseproof.bench import grid as grids
    from noiseproof.bench.lock import WHOLE, Shard
    from noiseproof.cli import progress

    part = Shard.parse(shard) if shard else WHOLE
    whole = grids.load(grid, overrides=_overrides(epochs, changes), root=data_root, precision=precision, mode=mode)
    runs = [run for run in whole if part.holds(run.run_id)]
    if dry_run:
        _plan(runs, out, workers or _sensible_workers(len(runs), device), retry_failed)
        return
    extra = [progress.tensorboard(out)] if tensorboard else []
    pool: Pool
    if ray:
        from noiseproof.bench.cluster import RayPool

        pool = RayPool(ray, slots=workers)
    else:
        pool = _local_pool(len(runs), workers, device)
    place, data = (out.absolute(), data_root and data_root.absolute()) if ray else (out, data_root)
    calls = _calls(place, data, device, keep_outputs, save_every)
    tally = _drive(runs, out, pool, calls, extra=extra, shard=part, retry_failed=retry_failed)
    typer.echo(f"{tally.recorded} runs recorded, {tally.present} before; see `noiseproof table {out}`")
    _complain_of_failures(tally, _records_of(runs, out))


# What the three share


def _overrides(epochs: int | None, changes: Sequence[str] | None) -> dict[str, Any]:
    """`--epochs 5 --set train.lr=0.1` as recipe values."""
    found: dict[str, Any] = {} if epochs is None else {"train.epochs": epochs}
    for change in changes or []:
        key, equals, text = change.partition("=")
        if not (equals and re.fullmatch(r"\w+(\.\w+)+", key.strip())):
            raise InputError(f"--set takes KEY=VALUE with a key such as train.lr, got {change!r}")
        try:
            found[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            found[key.strip()] = text.strip()  # a bare word is a text
    return found


def _gpus(device: str) -> int:
    """How many GPUs the workers share."""
    if device.partition(":")[0] not in ("auto", "cuda"):
        return 0
    if not any(Path("/dev").glob("nvidia[0-9]*")) and not Path("/dev/kfd").exists():
        return 0  # without asking torch, whose import takes seconds
    import torch

    return torch.cuda.device_count() if device in ("auto", "cuda") else 1


def _sensible_workers(runs: int, device: str) -> int:
    from noiseproof.bench.local import sensible_workers

    return sensible_workers(runs, _gpus(device))


def _local_pool(runs: int, workers: int | None, device: str) -> LocalPool:
    from noiseproof.bench.local import LocalPool

    gpus = _gpus(device) if ":" not in device else 0
    pool = LocalPool(
        min(workers or _sensible_workers(runs, device), max(1, runs)),
        gpus=gpus,
        modules=("noiseproof.bench.execute", "noiseproof.train"),
    )
    pool.warm()
    return pool


def _calls(folder: Path, root: Path | None, device: str, keep_outputs: bool, save_every: float = 30.0) -> Any:
    """What a worker is asked to do for a run."""
    from noiseproof.bench import records
    from noiseproof.bench.execute import execute

    def call(run: Run) -> Call:
        place = records.location(folder, run.run_id).parent
        outputs = place / records.OUTPUTS if keep_outputs else None
        return partial(
            execute,
            run,
            root=root,
            device=device,
            checkpoint_dir=place / "checkpoints",
            save_every=save_every,
            outputs=outputs,
        )

    return call


@contextmanager
def _stoppable(how_to_go_on: str) -> Iterator[None]:
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


def _drive(
    runs: Sequence[Run],
    folder: Path,
    pool: Pool,
    call: Any,
    *,
    extra: Sequence[Watch] = (),
    shard: Shard | None = None,
    retry_failed: bool = False,
) -> Tally:
    from noiseproof.bench.driver import drive
    from noiseproof.bench.lock import WHOLE
    from noiseproof.cli import progress

    with _stoppable("the same command goes on from there"), progress.shown() as watch:
        watches = progress.Several([watch, *extra])
        return drive(runs, folder, pool, call, shard=shard or WHOLE, watch=watches, retry_failed=retry_failed)


def _records_of(runs: Sequence[Run], folder: Path) -> list[Record]:
    from noiseproof.bench.driver import pending

    return pending(runs, folder)[1]


def _complain_of_failures(tally: Tally, found: Sequence[Record]) -> None:
    failed = [record for record in found if record["status"] == "failed"]
    if failed:
        first = failed[0]["run"]
        raise MachineError(
            f"{len(failed)} of {len(found)} runs failed; the first, {first['data']} {first['noise']} {first['method']} "
            f"seed {first['seed']}: {failed[0]['error']}"
        )


def _show(found: Sequence[Record], chosen: Choice | None) -> None:
    from rich.console import Console

    from noiseproof.bench import render, tables

    Console().print(render.console(tables.grids(found)))
    if chosen:
        typer.echo(str(chosen))


_FACTS = ("data", "noise", "loss", "recipe", "precision", "mode", "selection")


def _json(found: Sequence[Record], chosen: Choice | None) -> dict[str, Any]:
    from noiseproof.bench import tables

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
            **{
                key: row.facts.get(key) for key in ("data", "noise", "loss", "recipe", "precision", "mode", "selection")
            },
        }
        for row in tables.rows(found)
    ]
    return {"rows": rows} | ({"tune": chosen.to_json()} if chosen else {})


def _tuned(runs: Sequence[Run], root: Path | None, device: str) -> Choice:
    """The choice among the methods by held-out given labels, on the labels of the first seed."""
    from noiseproof import data
    from noiseproof.bench.execute import given_labels, protocol
    from noiseproof.tune import tune

    told = runs[0].told
    found = data.load(told["data"], root=root)
    methods = list({run.told["method"]: protocol(run)[0] for run in runs}.values())
    noisy = given_labels(found, told["noise"], told["seed"], root)
    return tune(found, noisy, methods, protocol(runs[0])[1], seed=told["seed"], device=device)


def _plan(runs: Sequence[Run], folder: Path, workers: int, retry_failed: bool) -> None:
    """What a sweep would do."""
    from noiseproof.bench.driver import estimate, pending
    from noiseproof.cli.progress import duration

    waiting, known = pending(runs, folder, retry_failed=retry_failed)
    left = set(waiting)
    for run in runs:
        typer.echo(f"{'to do' if run in left else 'done '}  {run}")
    seconds = estimate(waiting, known)
    time = f", about {duration(seconds / workers)} with {workers} workers" if seconds else ""
    unknown = ", nobody knows how long: none like them is recorded" if waiting and not seconds else ""
    typer.echo(f"{len(runs)} runs: {len(known)} done, {len(waiting)} to do{time}{unknown}")
