"""`noiseproof theory` as it is typed."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from noiseproof.errors import InputError


@pytest.fixture(scope="module")
def ask():
    from noiseproof.cli.theory import theory

    app = typer.Typer()
    app.command()(theory)
    return lambda *words: CliRunner().invoke(app, list(words))


def test_jal_tolerates_eighty_percent_symmetric_noise_from_a_9_on(ask):
    told = json.loads(ask("nce + amse(a=30)", "--noise", "symmetric(0.8)", "--json").stdout)
    assert told["tolerates"] is True
    assert told["smallest_a"] == pytest.approx(9)
    assert len(told["classes"]) == told["num_classes"] == 10
    told = json.loads(ask("nce + amse(a=8)", "--noise", "symmetric(0.8)", "--json").stdout)
    assert told["tolerates"] is False
    assert told["classes"][0]["slope"] < 0


def test_the_answer_names_the_hardest_class_the_margin_and_the_failures(ask):
    said = ask("nce + amse(a=4)", "--noise", "asymmetric(0.4)", "--data", "cifar10")
    assert said.exit_code == 0, said.output
    assert "5 of 10 classes" in said.stdout
    assert "a >= 5" in said.stdout
    assert "9 (margin 0.2)" in said.stdout


@pytest.mark.parametrize(("classes", "noise"), [("2", "symmetric(0.3)"), ("5", "pairflip(0.4)")])
def test_the_figure_is_written(ask, tmp_path, classes, noise):
    said = ask("amse(a=3)", "--noise", noise, "--classes", classes, "--plot", str(tmp_path / "risk.png"))
    assert said.exit_code == 0, said.output
    assert (tmp_path / "risk.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "words",
    [
        ("amze", "--noise", "symmetric(0.3)"),
        ("amse", "--noise", "symetric(0.3)"),
        ("amse", "--noise", "symmetric(0.3)", "--classes", "1"),
        ("amse", "--noise", "instance(0.3)"),
        ("amse", "--noise", "symmetric(0.3)", "--plot", "risk.jpeg"),
    ],
)
def test_what_cannot_be_answered_is_refused(ask, words):
    assert isinstance(ask(*words).exception, InputError)
