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
from support import own_part


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
    return own_part.written(tmp_path)


def test_all_parts_of_a_file_enter_a_table_on_two_workers_and_under_torchrun(folder):
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
    (alone,) = (record for record in found if record["run"]["method"] == "halved(loss=mine)")
    together = under_torchrun(folder)
    assert together["device"] == "2 x cpu"
    assert together["run_id"] == alone["run_id"]
    for curve in ("test_accuracy", "train_accuracy", "train_loss"):
        assert together["result"]["curves"][curve] == pytest.approx(alone["result"]["curves"][curve], rel=1e-5)


def under_torchrun(folder: Path) -> dict:
    """The record of one of the grid's runs by two processes."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = ["train", "digits", "--import", "parts/mine.py", "--recipe", "short", "--noise", "every-third"]
    words += ["--method", "halved(loss=mine)", "--out", "two"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*launcher, "-m", "noiseproof", *words],
        cwd=folder, capture_output=True, text=True, env=environment, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(next(folder.glob("two/runs/*/record.json")).read_text())


def test_a_part_that_fails_in_training_ends_the_command_with_file_and_line(folder):
    faulty = own_part.PART.replace("1 - logits.softmax(1).sqrt()", "1 - logits.softmaxx(1)")
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
