"""From what a person types to a run, and from a run to its record."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from noiseproof import data, losses, noise, recipes
from noiseproof.data.dataset import Texts, is_frame
from noiseproof.errors import DataError, InputError
from noiseproof.experiments import record_arrays, records, run_content
from noiseproof.experiments.records import Realised, Record, RunText
from noiseproof.experiments.run_content import Sources
from noiseproof.experiments.specification import Run
from noiseproof.noise import NoisyLabels
from noiseproof.noise.base import fingerprint
from noiseproof.recipes import Method, Recipe
from noiseproof.recipes.schema import check

if TYPE_CHECKING:
    from noiseproof.data import Data, Split
    from noiseproof.train import Outcome, Team

__all__ = ["corrupted", "describe", "execute", "given_labels", "protocol", "recipe_for"]

_SMALL = 64  # pixels a side: pictures that are taken as they are, without cutting


def refuse_unnameable(data: str) -> None:
    """Refuse a path that is not UTF-8: no record could name it.

    Raises:
        InputError: it is not.
    """
    if not data.isascii() and data != data.encode(errors="replace").decode():
        raise InputError(f"{data!r} is not UTF-8, so no record could name it; rename it")


def describe(
    data: str,
    noise_text: str,
    method: str,
    *,
    seed: int,
    recipe: Recipe,
    precision: str = "auto",
    mode: str = "deterministic",
    root: Path | None = None,
    sources: Sources | None = None,
    name: str | None = None,
) -> Run:
    """The run that these texts name, in canonical form, with the content of what they stand for.

    Args:
        data: a data set's name, or the path of the user's own data.
        noise_text: the noise.
        method: a method of the recipe, or a loss text.
        seed: of the noise, the initial weights and the order.
        recipe: network and schedule.
        precision: "auto", "fp32", "tf32" or "bf16".
        mode: "deterministic" or "fast".
        root: where the data sets lie.
        sources: in place of `root`: files that were read for other runs of the same grid.
        name: of the row that the run belongs to; the method's unless given.

    Raises:
        InputError: one of them names nothing, or a file is missing or damaged.

    Example:
        >>> recipe = recipes.load("digits", {"train.epochs": 60})
        >>> run = describe("digits", "symmetric(0.40)", "jal-ce", seed=1, recipe=recipe)
        >>> str(run), run.spec["loss"], run.spec["settings"]["train"]["epochs"]
        ('digits symmetric(rate=0.4) jal-ce seed 1', 'nce + amse', 60)
    """
    refuse_unnameable(data)
    noise_text = str(noise.parse(noise_text))
    chosen = recipe.method(method, noise=noise_text)
    settings = chosen.settings()
    spec: RunText = {
        "data": data,
        "noise": noise_text,
        "method": name or chosen.name,
        "loss": settings.pop("loss"),
        "recipe": recipe.name,
        "settings": {**recipe.settings(), "method": settings},
        "seed": seed,
        "precision": precision,
        "mode": mode,
    }
    if content := (sources or Sources(root)).content(data, noise_text, chosen, recipe):
        spec["content"] = content
    return Run(records.canonical(spec))


def recipe_for(text: str, root: Path | None = None, sources: Sources | None = None) -> str:
    """The recipe of a data set by its name; of the user's own data by what it holds.

    Example:
        >>> recipe_for("cifar10")
        'cifar10'
    """
    if text in recipes.names() and text in data.DATASETS:
        return text
    found = (sources or Sources(root)).data(text)
    inputs = (data.load(text, root=root) if found is None else found).train.inputs
    if isinstance(inputs, torch.Tensor):
        return "digits" if inputs.dim() == 2 else "cifar10"
    if isinstance(inputs, Texts):
        return "mlp-text"
    if is_frame(inputs):
        return "mlp-table"
    from noiseproof.data.pipeline.decoding import size_of  # Pillow, only where it is needed

    return "cifar10" if max(size_of(inputs[0])) <= _SMALL else "webvision"


def given_labels(found: Data, text: str, seed: int, root: Path | None = None) -> NoisyLabels | None:
    """Labels that a run trains on instead of those of the data; None: those."""
    if text == "clean":
        return None
    return corrupted(found, found.train, text, seed, root)


def corrupted(found: Data, split: Split, text: str | noise.Noise, seed: int, root: Path | None) -> NoisyLabels:
    """Noise on the labels of a part of the data: on the true ones where they are known, else on the ones there are."""
    return noise.corrupt(
        split.given if split.clean is None else split.clean,
        text,
        num_classes=found.num_classes,
        seed=seed,
        data=found.name,
        inputs=split.inputs,
        root=root,
        published=partial(data.published_labels, found.name, root=root),
    )


def execute(
    run: Run,
    *,
    root: Path | None = None,
    device: str = "auto",
    checkpoint_dir: Path | None = None,
    save_every: float = 30.0,
    outputs: Path | None = None,
    model: Path | None = None,
    team: Team | None = None,
    stop: Callable[[], bool] | None = None,
    progress: Callable[[Mapping[str, Any]], object] = lambda content: None,
) -> Record:
    """Compute a run; what `records.write` takes.

    Args:
        run: what to compute.
        root: where the data sets lie.
        device: where to compute; decides no result beyond rounding, so it is no part of the run.
        checkpoint_dir: where the state is kept as the run goes, and looked for.
        save_every: seconds between two saves of it.
        outputs: a safetensors file to write, with scores and features of the last epoch.
        model: a folder to leave the trained model in.
        team: the processes that share the work, if there are several; each computes the same record.
        stop: asked after every step; where it ends the training, the record is of the run with that `train.max_steps`.
        progress: called after every epoch with its row of the curves and where it stands.
    """
    from noiseproof.train import fit

    spec, (method, recipe) = run.spec, protocol(run)
    found = run_content.load(spec, method, recipe, root)
    noisy = given_labels(found, spec["noise"], spec["seed"], root)

    def tell(epoch: int, row: Mapping[str, float]) -> None:
        images = min(recipe.train.samples or math.inf, len(found.train))
        progress({"epoch": epoch + 1, "epochs": recipe.train.epochs, "images": images, **row})

    outcome = fit(
        found,
        noisy,
        method,
        recipe,
        seed=spec["seed"],
        device=device,
        precision=spec["precision"],
        mode=spec["mode"],
        checkpoint_dir=checkpoint_dir,
        checkpoint_every=save_every,
        on_epoch=tell,
        keep_outputs=outputs is not None,
        team=team,
        stop=stop,
    )
    if outcome.stopped_after is not None:
        run = _stopped(run, outcome.stopped_after)
        outcome.notes += (f"training ended after {outcome.stopped_after} steps, within epoch {_epochs(outcome)}",)
    if not run_content.unchanged(found):
        raise DataError(f"{spec['data']} has changed while it was trained on; type the command again")
    if outputs is not None and outcome.outputs is not None:
        from safetensors.torch import save

        from noiseproof.storage import files

        files.write_atomic(outputs, save(outcome.outputs))
    if model is not None and (team is None or team.rank == 0):
        outcome.notes += _kept(model, run, outcome, found, recipe)
    result: records.Result = {"accuracy": _number(outcome.accuracy), "curves": _plain(outcome.curves)}
    if outcome.also:
        result["also"] = _plain(outcome.also)
    where = outcome.diverged_at
    return run.record(
        status=outcome.status,
        result=result,
        noise=realised(found, noisy),
        data={"name": found.name, "fingerprint": found.fingerprint, "notes": [*found.notes, *outcome.notes]},
        seconds=round(outcome.seconds, 3),
        device=outcome.device,
        threads=torch.get_num_threads(),
        versions=records.versions(),
        precision=outcome.precision,
        mode=outcome.mode,
        health=_plain(outcome.health),
        error=None if where is None else f"the loss was no finite number at step {where}",
    )


def _epochs(outcome: Outcome) -> int:
    return len(outcome.curves["seconds"])


def _stopped(run: Run, steps: int) -> Run:
    """The run that ends after so many steps: what was computed, and can be again."""
    spec: Any = json.loads(run.text)
    spec["settings"]["train"]["max_steps"] = steps
    return Run(records.canonical(spec))


def _kept(folder: Path, run: Run, outcome: Outcome, found: Data, recipe: Recipe) -> tuple[str, ...]:
    """Leave the model in a folder, or a note why there is none."""
    from noiseproof import artifacts

    spec = run.spec
    about = {"run_id": run.run_id, "method": spec["method"], "loss": spec["loss"], "noise": spec["noise"]}
    try:
        artifacts.save(artifacts.of_outcome(outcome, found, recipe, about=about), folder)
    except InputError as error:
        return (f"no model was kept: {error}",)
    return ()


def protocol(run: Run) -> tuple[Method, Recipe]:
    """Method and recipe as they were resolved when the run was described."""
    spec = run.spec
    settings = dict(spec["settings"])
    method = Method(spec["method"], losses.parse(spec["loss"]), **settings.pop("method"))
    file = check({"source": "the run", **settings}, f"run {run.run_id[:12]}")
    return method, Recipe(spec["recipe"], file.source, file.model, file.train, file.augment, {})


def realised(found: Data, noisy: NoisyLabels | None) -> Realised | None:
    """Realised noise: the difference of the labels of a run from the truth; None where the truth is unknown."""
    if noisy is not None:
        return {
            "rate": noisy.rate,
            "transition": record_arrays.plain(noisy.transition),
            "sha256": noisy.sha256,
            "convention": noise.parse(noisy.text).convention,
        }
    split = found.train
    if split.clean is None:
        return None
    classes = found.num_classes
    pairs = torch.bincount(split.clean * classes + split.given, minlength=classes**2).reshape(classes, classes).double()
    return {
        "rate": (split.clean != split.given).double().mean().item(),
        "transition": record_arrays.plain((pairs / pairs.sum(1, keepdim=True).clamp_min(1)).numpy()),
        "sha256": fingerprint(split.given.numpy(), classes),
        "convention": "exact",
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _plain(value: Any) -> Any:
    """Nested values with null for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return _number(value) if isinstance(value, float) else value
