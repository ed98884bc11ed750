"""What earlier versions left behind opens and says the same: records, a checkpoint, a recipe, a grid.

NOISEPROOF_FIXTURES=write pytest tests/experiments/test_upgrade.py     leaves tests/fixtures/VERSION, once a version
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import noiseproof
from conftest import ROOT
from noiseproof import data, noise, recipes
from noiseproof.experiments import grid, records
from noiseproof.experiments.driver import run_one
from noiseproof.experiments.single_run import execute, protocol
from noiseproof.reporting import table_formats
from noiseproof.train import checkpoint, fit

FIXTURES = ROOT / "tests" / "fixtures"

RECIPE = """\
source = "kept for later versions"
extends = "digits"

[model]
name = "mlp"
hidden = [8]

[train]
epochs = 4
batch_size = 256
lr = 0.05

[methods.own]
loss = "nce + 4*agce(a=6, q=1.5)"
l1 = 1e-5
source = "made up"
"""

GRID = """\
data = ["digits"]
noise = ["symmetric(0.4)", "pairflip(0.2)"]
methods = ["ce", "jal-ce", "nce + 4*agce(a=6, q=1.5)"]
seeds = [1, 2]

[model]
hidden = [8]

[train]
epochs = 3
"""


class Stopped(Exception):
    """As if the process had been killed."""


def leave(folder: Path) -> None:
    """Make the fixtures of this version: whatever a user's folder may hold."""
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text(RECIPE)
    (folder / "grid.toml").write_text(GRID)
    runs = grid.load(folder / "grid.toml")
    for run in runs:
        run_one(run, folder / "results", lambda progress, run=run: execute(run, device="cpu", progress=progress))
    for rest in (folder / "results").rglob("locks"):
        shutil.rmtree(rest)
    found = records.read_folder(folder / "results").records
    (folder / "table.md").write_text(table_formats.render(found, "md"))
    (folder / "runs.json").write_text(json.dumps({run.run_id: run.told for run in runs}, indent=1, sort_keys=True))

    def stop(epoch: int, row: object) -> None:
        if epoch == 1:
            raise Stopped

    recipe = recipes.load(folder / "mine.toml")
    with pytest.raises(Stopped):
        fit(
            data.load("digits"), None, "own", recipe, seed=1, device="cpu", precision="fp32",
            checkpoint_dir=folder / "checkpoints", checkpoint_every=0, on_epoch=stop,
        )  # fmt: skip


if os.environ.get("NOISEPROOF_FIXTURES") == "write" and not (FIXTURES / noiseproof.__version__).exists():
    leave(FIXTURES / noiseproof.__version__)

VERSIONS = sorted(path for path in FIXTURES.iterdir() if path.is_dir()) if FIXTURES.is_dir() else []
every_version = pytest.mark.parametrize("folder", VERSIONS, ids=lambda path: path.name)


def test_this_version_has_left_its_fixtures():
    assert noiseproof.__version__ in {path.name for path in VERSIONS}


@every_version
def test_every_record_is_read_and_gives_the_same_table(folder):
    reading = records.read_folder(folder / "results")
    assert reading.damaged == ()
    assert {record["run_id"] for record in reading.records} == json.loads((folder / "runs.json").read_text()).keys()
    assert table_formats.render(reading.records, "md") == (folder / "table.md").read_text()
    short = records.read_folder(folder / "results", whole=False)
    assert len(short.records) == len(reading.records)


@every_version
def test_a_recorded_run_is_understood(folder):
    """Its loss, method and protocol are read from the record; its labels are those that were trained on."""
    clean = data.load("digits").train.given.numpy()
    for record in records.read_folder(folder / "results").records:
        run = record["run"]
        from noiseproof.experiments.specification import Run

        again = Run(records.canonical(run))
        assert again.run_id == record["run_id"]
        method, recipe = protocol(again)
        assert (str(method.loss), recipe.train.epochs) == (run["loss"], 3)
        noisy = noise.corrupt(clean, run["noise"], num_classes=10, seed=run["seed"], data="digits")
        assert record["noise"] is not None
        assert noisy.sha256 == record["noise"]["sha256"]
        assert np.allclose(noisy.transition, record["noise"]["transition"], atol=0, rtol=0)


@every_version
def test_the_data_is_the_one_that_was_recorded(folder):
    (fingerprint,) = {record["data"]["fingerprint"] for record in records.read_folder(folder / "results").records}
    assert data.load("digits").fingerprint == fingerprint


@every_version
def test_a_checkpoint_is_read_and_its_run_goes_on(folder, tmp_path):
    kept = sorted((folder / "checkpoints").glob("*.safetensors"))
    assert [checkpoint.load(path).epoch for path in kept] == [1, 2]
    shutil.copytree(folder / "checkpoints", tmp_path / "checkpoints")
    recipe = recipes.load(folder / "mine.toml")
    outcome = fit(
        data.load("digits"), None, "own", recipe, seed=1, device="cpu", precision="fp32",
        checkpoint_dir=tmp_path / "checkpoints",
    )  # fmt: skip
    assert outcome.notes == ("went on from epoch 2 of 4",)
    before = checkpoint.load(kept[-1]).values["curves"]["train_loss"]
    assert outcome.curves["train_loss"][: len(before)] == before
    assert len(outcome.curves["train_loss"]) == 4


@every_version
def test_a_recipe_and_a_grid_say_what_they_said(folder):
    recipe = recipes.load(folder / "mine.toml")
    assert (recipe.train.epochs, recipe.train.lr, recipe.model.hidden) == (4, 0.05, (8,))
    assert str(recipe.method("own").loss) == "nce + 4*agce(a=6, q=1.5)"
    runs = grid.load(folder / "grid.toml")
    kept = json.loads((folder / "runs.json").read_text())
    assert len(runs) == len(kept) == 12
    mine = {(run.told["noise"], run.told["method"], run.told["loss"], run.told["seed"]) for run in runs}
    assert mine == {(run["noise"], run["method"], run["loss"], run["seed"]) for run in kept.values()}
