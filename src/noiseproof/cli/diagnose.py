"""`noiseproof diagnose`: noise rate, suspect labels and a method that fits."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from noiseproof.cli import options


class Format(StrEnum):
    """Forms of the printed result."""

    text = "text"
    json = "json"
    sarif = "sarif"
    github = "github"


def diagnose(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A data set's name or the path of your own data.")],
    out: Annotated[
        Path | None, typer.Option(help="Write issues.csv, diagnosis.json, diagnosis.html and review.html there.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    data_root: Annotated[Path | None, typer.Option(help="The folder that holds the data sets.")] = None,
    noise: Annotated[str, typer.Option(help="Make labels wrong first, to test how well they are found.")] = "clean",
    method: Annotated[
        str | None, typer.Option(help="Judge by networks trained with this loss, instead of several learners.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Judge by networks of this recipe, on the samples as they are.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of each network; the recipe's unless given.")] = None,
    probabilities: Annotated[
        Path | None,
        typer.Option(help="Judge by a model's out-of-sample probabilities: a column a class, or a .npy file."),
    ] = None,
    folds: Annotated[int, typer.Option(help="Number of parts of the cross-validation.")] = 5,
    seed: Annotated[int, typer.Option(help="Seed of the parts, the training and the noise.")] = 1,
    device: options.Device = "auto",
    before: Annotated[Path | None, typer.Option(help="diagnosis.json of an earlier run, to compare with.")] = None,
    max_noise: Annotated[
        str | None, typer.Option(help="Exit with code 1 if surely more labels are wrong than 5% (or 0.05).")
    ] = None,
    format_: Annotated[Format, typer.Option("--format", help="How the result is printed.")] = Format.text,
) -> None:
    """Estimate the label noise, rank the suspect labels and suggest a method. Uses no clean label.

    \b
    Examples:
    noiseproof diagnose pets.csv --out diagnosis
    noiseproof diagnose photos --before old/diagnosis.json --max-noise 5%
    """
    from noiseproof import data as datasets
    from noiseproof.cli.given_probabilities import read_probabilities
    from noiseproof.doctor import gate
    from noiseproof.doctor.diagnosis import diagnose as examine
    from noiseproof.doctor.noisy_test_labels import noise_of_test_labels
    from noiseproof.doctor.twins import find_twins, twin_vectors, twins_told
    from noiseproof.experiments.single_run import given_labels

    limit = None if max_noise is None else gate.share(max_noise)
    baseline = None if before is None else gate.read_baseline(before)
    found = datasets.load(data, root=data_root)
    if noise != "clean":
        noisy = given_labels(found, noise, seed, data_root)
        if noisy is not None:
            import torch

            found = replace(found, train=replace(found.train, given=torch.from_numpy(noisy.labels)), held_out=None)
    given = None if probabilities is None else read_probabilities(probabilities, found.everything())
    diagnosis = examine(
        found,
        pred_probs=given,
        method=method,
        recipe=recipe,
        overrides=None if epochs is None else {"train.epochs": epochs},
        folds=folds,
        seed=seed,
        device=device,
        on_fold=lambda done, of: typer.echo(f"judged part {done} of {of}", err=True),
        on_progress=_tell,
    )
    if out is not None or as_json or format_ in (Format.text, Format.json):
        typer.echo("trains a few candidates briefly, to suggest a method", err=True)
        diagnosis = diagnosis.with_checked_suggestion()
    comparison = None if baseline is None else gate.compare(baseline, diagnosis)
    verdict = gate.judge(diagnosis, limit, comparison)
    gated = limit is not None or comparison is not None
    test = None if found.held_out is not None else found.test
    twins = find_twins(found.everything(), test, vectors=twin_vectors(found.everything(), test))
    of_test = noise_of_test_labels(found, diagnosis)
    written = diagnosis.write(out) if out is not None else []
    if as_json or format_ is Format.json:
        content = {**diagnosis.to_json(), "twins": [one.to_json() for one in twins]}
        if of_test is not None:
            content["test_labels"] = of_test.to_json()
        if found.reading is not None:
            content["reading"] = found.reading.to_json()
        if gated:
            content["gate"] = verdict.to_json()
        if comparison is not None:
            content["comparison"] = comparison.to_json()
        typer.echo(json.dumps(content))
    elif format_ is Format.sarif:
        typer.echo(json.dumps(gate.sarif(diagnosis), indent=1))
    elif format_ is Format.github:
        typer.echo("\n".join(gate.github_annotations(diagnosis, comparison, verdict)))
        if place := os.environ.get("GITHUB_STEP_SUMMARY"):
            gate.write_summary(place, diagnosis, comparison, verdict)
    else:
        warned = [str(of_test)] if of_test else []
        said = [str(comparison)] if comparison is not None else []
        said += [str(verdict)] if gated else []
        said += [f"wrote {path}" for path in written]
        typer.echo("\n".join([str(diagnosis), *warned, *twins_told(twins, diagnosis.origin), *said]))
    if not verdict:
        raise typer.Exit(1)


def _tell(share: float, what: str, seconds: float) -> None:
    left = f"about {seconds:.0f} s left" if seconds < 90 else f"about {seconds / 60:.0f} minutes left"
    typer.echo(f"{100 * share:3.0f} % judged, {left}: {what}", err=True)
