"""What needs no torch is answered without it; closed sets are shown, completed and checked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from noiseproof import data, features, losses, methods, models, noise, recipes
from noiseproof.cli import lists
from noiseproof.cli.app import app
from noiseproof.cli.lazy_torch import lazy_torch
from noiseproof.cli.source_registry import entries
from noiseproof.data.augmentations import AUGMENTATIONS
from noiseproof.errors import InputError, UnknownNameError
from noiseproof.train.device import resolve_device

REGISTRIES = {
    "LOSSES": ("losses", losses.LOSSES),
    "NOISES": ("noise", noise.NOISES),
    "MODELS": ("models", models.MODELS),
    "METHODS": ("methods", methods.METHODS),
    "ADDITIONS": ("methods/additions", methods.ADDITIONS),
    "AUGMENTATIONS": ("data/augmentations", AUGMENTATIONS),
    "EXTRACTORS": ("features", features.EXTRACTORS),
    "DATASETS": ("data/named", data.DATASETS),
}
WATCHED = """
import sys
from noiseproof.cli import main
sys.argv = ["noiseproof", *sys.argv[1:]]
try:
    main()
finally:
    print("loaded" if "__version__" in vars(sys.modules.get("torch", sys)) else "not loaded")
"""


@pytest.mark.parametrize("name", REGISTRIES)
def test_the_sources_say_of_a_registry_what_it_holds(name):
    folder, registry = REGISTRIES[name]
    read = entries(name, folder)
    assert read is not None
    shipped = {one.name: one for one in registry if one.cls.__module__.startswith("noiseproof.")}
    assert {one.name: (one.usage, one.summary, dict(one.claims)) for one in read} == {
        one.name: (one.usage, one.summary, dict(one.claims)) for one in shipped.values()
    }


@pytest.mark.parametrize("recipe", recipes.names())
def test_the_sources_say_of_a_recipe_what_it_holds(recipe, monkeypatch):
    loaded = lists._methods(recipe), [row for row in lists._recipes() if row["recipe"] == recipe]
    for name in ("recipes", "methods", "losses"):
        monkeypatch.delitem(sys.modules, f"noiseproof.{name}")
    assert (lists._methods(recipe), [row for row in lists._recipes() if row["recipe"] == recipe]) == loaded


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--help"], "diagnose"),
        (["list", "losses"], "gce(q=0.7)"),
        (["list", "methods"], "forward(loss=ce"),
        (["list", "noise"], "symmetric(rate"),
        (["list", "data"], "cifar10"),
        (["list", "models"], "cnn8"),
        (["list", "features"], "lite0"),
        (["list", "augmentations"], "cutout("),
        (["list", "recipes"], "small-cifar10"),
        (["train", "-h"], "--mode"),
        (["table", "no-such-folder"], "there is no folder"),
        (["diagnose", "bad.csv"], "which column holds the labels"),
        (["compare", "no-such.csv"], "no file or folder"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_torch_is_not_loaded_for(words, said, tmp_path):
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n3,4\n")
    watched = [sys.executable, "-c", WATCHED, *words]
    environment = {**os.environ, "COLUMNS": "120"}
    done = subprocess.run(watched, capture_output=True, text=True, cwd=tmp_path, env=environment, check=False)
    assert said in done.stdout + done.stderr
    assert done.stdout.rstrip().endswith("not loaded")


def test_torch_that_is_loaded_stays_as_it_is():
    before = sys.modules["torch"]
    with lazy_torch():
        assert sys.modules["torch"] is before


@pytest.mark.parametrize("written", ["symmetric(40%)", "symmetric 0.4", "symmetric:40 %", "symmetric=0.4"])
def test_a_rate_in_another_spelling_is_understood_and_the_right_one_proposed(written):
    with pytest.raises(InputError, match=r"a noise such as .*; did you mean 'symmetric\(0\.4\)'\?"):
        noise.parse(written)


def test_a_gpu_is_called_cuda():
    with pytest.raises(UnknownNameError, match="did you mean 'cuda'"):
        resolve_device("gpu", "auto", losses.parse("ce"))


def test_a_help_shows_options_in_groups_and_closed_sets_as_choices():
    shown = CliRunner().invoke(app, ["train", "--help"]).output
    assert "--mode [deterministic|fast]" in shown
    headings = [line for line in shown.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Arguments:", "Options:", "Training:", "Running:", "Reading your own data:"]


def test_the_shell_completes_a_closed_set(tmp_path):
    words = {"COMP_WORDS": "noiseproof table results --format l", "COMP_CWORD": "4"}
    done = subprocess.run(
        [sys.executable, "-m", "noiseproof"], capture_output=True, text=True, cwd=tmp_path, check=False,
        env={**os.environ, **words, "_NOISEPROOF_COMPLETE": "complete_bash", "HOME": str(tmp_path)},
    )  # fmt: skip
    assert done.stdout.split() == ["latex"]
    assert not list(Path(tmp_path).iterdir())
