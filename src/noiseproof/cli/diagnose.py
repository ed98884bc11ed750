"""`noiseproof diagnose`: noise rate, suspect labels and a method that fits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer


def diagnose(
    data: Annotated[str, typer.Argument(help="A data set's name or the path of your own data.")],
    out: Annotated[Path | None, typer.Option(help="Write issues.csv, diagnosis.json and diagnosis.html there.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data_root: Annotated[Path | None, typer.Option(help="The folder that holds the data sets.")] = None,
    noise: Annotated[str, typer.Option(help="Spoil the labels first, to see how well it does.")] = "clean",
    method: Annotated[
        str | None, typer.Option(help="Judge by networks trained with this loss, instead of several learners.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Judge by networks of this recipe, on the samples as they are.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of each network; the recipe's unless given.")] = None,
    folds: Annotated[int, typer.Option(help="Parts of the cross-validation.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the parts, the training and the noise.")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps")] = "auto",
) -> None:
    """Estimate the label noise, rank the suspect labels and suggest a method. Uses no clean label."""
    from noiseproof import data as datasets
    from noiseproof.doctor.diagnosis import diagnose as examine
    from noiseproof.experiments.execution import given_labels

    found = datasets.load(data, root=data_root)
    if noise != "clean":
        noisy = given_labels(found, noise, seed, data_root)
        if noisy is not None:
            import torch

            found = replace(found, train=replace(found.train, given=torch.from_numpy(noisy.labels)), held_out=None)
    diagnosis = examine(
        found,
        method=method,
        recipe=recipe,
        overrides=None if epochs is None else {"train.epochs": epochs},
        folds=folds,
        seed=seed,
        device=device,
        on_fold=lambda done, of: typer.echo(f"judged part {done} of {of}", err=True),
        on_progress=_tell,
    )
    written = diagnosis.write(out) if out is not None else []
    if as_json:
        typer.echo(json.dumps(diagnosis.to_json()))
        return
    typer.echo("\n".join([str(diagnosis), *(f"wrote {path}" for path in written)]))


def _tell(share: float, what: str, seconds: float) -> None:
    left = f"about {seconds:.0f} s left" if seconds < 90 else f"about {seconds / 60:.0f} minutes left"
    typer.echo(f"{100 * share:3.0f} % judged, {left}: {what}", err=True)
