"""`train --time-limit` fits the schedule of a network to the limit and leaves its model."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from noiseproof.cli.app import app
from noiseproof.cli.time_limit import fitted_schedule
from noiseproof.errors import InputError


def test_what_fits_is_left_as_it_is_and_what_does_not_is_refused():
    assert fitted_schedule(600, 1, epochs=120, samples=1000) == {}
    with pytest.raises(InputError, match="frozen features"):
        fitted_schedule(1, 1000, epochs=120, samples=1000)


@pytest.mark.parametrize("seconds", [100, 1_000, 10_000])
def test_no_schedule_is_longer_than_the_limit(seconds):
    found = fitted_schedule(seconds, 300, epochs=50, samples=900)
    share = found.get("train.samples", 900) / 900
    assert found.get("train.epochs", 50) * 300 * share <= seconds


def test_a_network_is_trained_within_the_limit_and_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("noiseproof.experiments.time_estimate.seconds_per_epoch", lambda run, **where: 100.0)
    words = "train digits --method ce --set train.epochs=1000 --time-limit 1000s --out results"
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 0, done.output
    assert "of 1000 epochs, the schedule fitted to them" in done.output
    (record,) = (json.loads(path.read_text()) for path in tmp_path.glob("results/runs/*/record.json"))
    assert 1 <= record["run"]["settings"]["train"]["epochs"] <= 7
    assert (tmp_path / "results" / "model" / "model.json").is_file()
