"""`noiseproof features`: vectors of a folder that outgrows one machine, made ahead and kept in the shared cache."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noiseproof.cli import options, worker_pool
from noiseproof.cli.trained_model import shown
from noiseproof.errors import InputError

if TYPE_CHECKING:
    from noiseproof.features import Extracted


def features(
    data: options.Data,
    network: Annotated[str, typer.Option("--features", help="A frozen network: lite0, lite2(side=160).")] = "lite0",
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Compute part I of N only, one part a machine.")
    ] = None,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Use Ray: local, HOST:PORT or ray://HOST:PORT.")
    ] = None,
    workers: options.Workers = None,
    data_root: options.DataRoot = None,
) -> None:
    """Compute the feature vectors of pictures ahead, into the cache that train, diagnose and predict read.

    The cache is $NOISEPROOF_CACHE, or the user's cache folder; machines that share it share the work. Stopped, the same
    command goes on; what is there is not computed again.

    \b
    Examples:
    noiseproof features photos --shard 1/4
    noiseproof features photos --features 'lite2(side=160)' --ray local
    """
    from noiseproof import data as datasets
    from noiseproof.experiments.executors.shard import WHOLE, Shard
    from noiseproof.features import kind_of
    from noiseproof.features.extraction import frozen_network
    from noiseproof.features.vector_cache import default_folder

    frozen_network(network).body()  # refused before anything is read
    part = Shard.parse(shard) if shard else WHOLE
    folder = default_folder()
    if folder is None:
        raise InputError("there is no cache to fill: NOISEPROOF_CACHE is off; give a folder: NOISEPROOF_CACHE=DIR")
    if ray and shard:
        raise InputError("--ray and --shard are two ways to part the work; give one of them")
    found = datasets.load(data, root=data_root)
    splits = [split.inputs for split in (found.train, found.test, *found.also.values()) if len(split)]
    if (kind := kind_of(splits[0])) != "pictures":
        raise InputError(f"{data}: features of {kind} take seconds and are not kept; only those of pictures are")
    with worker_pool.stoppable("the same command goes on"):
        if ray:
            parts = _on_ray(ray, workers, splits, network, folder.absolute())
        else:
            from noiseproof.features import extract

            with shown("read") as progress:
                parts = [extract(splits, network, folder, part=(part.number, part.of), progress=progress)]
    count, present = sum(one.pictures for one in parts), sum(one.present for one in parts)
    bad = [why for one in parts for _, why in sorted(one.bad.items())]
    for why in bad[:20]:
        typer.echo(f"skipped: {why}", err=True)
    which = f"part {part} of {data}" if shard else data
    computed = count - present - len(bad)
    typer.echo(f"{which}: {count:,} pictures; {computed:,} computed, {present:,} were there, {len(bad):,} unreadable")
    typer.echo(f"kept in {folder}")


def _on_ray(address: str, workers: int | None, splits: list[Any], network: str, folder: Path) -> list[Extracted]:
    """One part a slot of a Ray cluster, whose nodes see the pictures and the cache under the same paths."""
    from noiseproof.experiments.executors.ray import RayPool
    from noiseproof.experiments.parallel_features import all_parts
    from noiseproof.features import extract

    absolute = [tuple(map(Path.absolute, one)) if isinstance(one, tuple) else one for one in splits]
    pool = RayPool(address, slots=workers, gpus=False)
    try:
        return all_parts(pool, lambda part: partial(_part, partial(extract, absolute, network, folder, part=part)))
    finally:
        pool.close()


def _part(call: Any, progress: Any = None) -> Extracted:
    """A part of the work, as executors call it."""
    found: Extracted = call(progress=None if progress is None else lambda done, total: progress((done, total)))
    return found
