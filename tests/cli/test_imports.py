"""Every command takes `--import`, and what it loads is known to whoever computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer.main

from noiseproof.cli.app import app

PART = """
import torch
from torch import nn

from noiseproof import recipes
from noiseproof.data import AUGMENTATIONS, Augmentation
from noiseproof.losses import LOSSES, Loss
from noiseproof.methods import METHODS, Method
from noiseproof.noise import NOISES, Noise


@LOSSES.register("mine")
class Mine(Loss):
    def per_class(self, logits):
        return 1 - logits.softmax(1).sqrt()


@NOISES.register("every-third")
class EveryThird(Noise):
    def draw(self, task):
        given = task.clean.copy()
        given[::3] = (given[::3] + 1) % task.num_classes
        return given


@METHODS.register("halved", cost=1.0)
class Halved(Method):
    distributes = True

    def __init__(self, loss="ce"):
        super().__init__(loss)

    def objective(self, batch):
        logits = batch.logits()
        return self.loss(logits, batch.given) / 2, logits


@AUGMENTATIONS.register("scaled")
class Scaled(Augmentation):
    def change(self, inputs, u):
        return inputs * (0.9 + 0.2 * u)


class Net(nn.Module):
    def __init__(self, in_features, classes, width: int = 16):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(in_features, width), nn.ReLU(), nn.Linear(width, classes))

    def forward(self, inputs):
        return self.layers(inputs)


recipes.register("short", '''
extends = "digits"
[model]
name = "mine.py:Net"
width = 8
[train]
epochs = 1
[augment]
extra = ["scaled"]
''')
"""


def commands() -> Iterator[tuple[str, object]]:
    def walk(command, words):
        inner = getattr(command, "commands", None)
        if inner is None:
            yield words, command
        for name, one in (inner or {}).items():
            yield from walk(one, f"{words} {name}".strip())

    return walk(typer.main.get_command(app), "")


@pytest.mark.parametrize("words", [words for words, _ in commands()])
def test_every_command_takes_import_and_refuses_a_file_that_is_not_there(words, tmp_path):
    command = dict(commands())[words]
    assert "--import" in {option for parameter in command.params for option in parameter.opts}


def run(*words: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "noiseproof", *words], cwd=cwd, capture_output=True, text=True, timeout=300
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "mine.py").write_text(PART)
    return tmp_path


def test_all_parts_of_a_file_enter_a_table_on_two_workers(folder):
    (folder / "grid.toml").write_text(
        'imports = ["parts/mine.py"]\nrecipe = "short"\ndata = ["digits"]\nnoise = ["every-third"]\n'
        'methods = ["mine", "halved(loss=mine)"]\nseeds = [1]\n'
    )
    run("sweep", "grid.toml", "--workers", "2", "--out", "results", cwd=folder)
    found = [json.loads(path.read_text()) for path in (folder / "results").glob("runs/*/record.json")]
    assert {record["status"] for record in found} == {"done"}
    assert {record["run"]["method"] for record in found} == {"mine", "halved(loss=mine)"}
    kinds = {key for record in found for key in record["run"]["content"]}
    own = {"loss mine", "method halved", "noise every-third", "model mine:Net", "augmentation scaled"}
    assert kinds == {f"code {part}" for part in own}
    assert {json.dumps(record["run"]["settings"]["model"]) for record in found} == {'{"name": "mine:Net", "width": 8}'}
    assert all(abs(record["noise"]["rate"] - 1 / 3) < 1e-3 for record in found)
    assert "mine" in run("table", "results", cwd=folder)


def test_under_torchrun_two_processes_make_the_run_of_one(folder):
    words = ("train", "digits", "--import", "parts/mine.py", "--recipe", "short", "--noise", "every-third")
    words += ("--method", "halved(loss=mine)")
    run(*words, "--out", "one", cwd=folder)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*torchrun, "-m", "noiseproof", *words, "--out", "two"],
        cwd=folder, capture_output=True, text=True, env=environment, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    one, two = (json.loads(next(folder.glob(f"{out}/runs/*/record.json")).read_text()) for out in ("one", "two"))
    assert two["device"] == "2 x cpu"
    assert one["run"] == two["run"]
    for curve in ("test_accuracy", "train_accuracy", "train_loss"):
        assert one["result"]["curves"][curve] == pytest.approx(two["result"]["curves"][curve], rel=1e-5)


def test_a_part_that_fails_in_training_ends_the_command_with_file_and_line(folder):
    faulty = PART.replace("1 - logits.softmax(1).sqrt()", "1 - logits.softmaxx(1)")
    (folder / "mine.py").write_text(faulty)
    line = 1 + faulty.splitlines().index("        return 1 - logits.softmaxx(1)")
    words = [sys.executable, "-m", "noiseproof", "train", "digits", "--import", "mine.py", "--method", "mine"]
    done = subprocess.run([*words, "--epochs", "1"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"mine.py, line {line}, in per_class: AttributeError" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_part_that_fails_ends_the_command_with_file_and_line(folder):
    (folder / "bad.py").write_text("import torch\n\ntorch.nothing_of_this_name\n")
    done = subprocess.run(
        [sys.executable, "-m", "noiseproof", "list", "losses", "--import", "bad.py"],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 2
    assert "bad.py, line 3: AttributeError" in done.stderr
    assert "Traceback" not in done.stderr


def test_set_takes_a_key_away_with_none(folder):
    words = ("train", "digits", "--method", "ce", "--epochs", "1", "--out", "results")
    run(*words, "--set", "train.samples=100", "--set", "train.samples=none", cwd=folder)
    run(*words, "--set", "train.momentum=", cwd=folder)
    found = [json.loads(path.read_text())["run"]["settings"]["train"] for path in folder.glob("results/runs/*/*.json")]
    assert all("samples" not in train and train["momentum"] == 0.9 for train in found)
