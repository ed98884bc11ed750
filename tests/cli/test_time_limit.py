"""`train --time-limit` fits the schedule of a network to the limit and leaves its model."""

from __future__ import annotations

import json

import pytest
import torch
from typer.testing import CliRunner

from noiseproof import data, load_model, recipes, train
from noiseproof.cli.app import app
from noiseproof.cli.time_limit import fitted_schedule, time_to_close
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


@pytest.mark.parametrize("method", ["ce", "co-teaching"])
def test_a_training_that_is_stopped_is_the_one_of_so_many_steps(method):
    digits, recipe = (
        data.load("digits"),
        recipes.load("digits", {"train.epochs": 3, "train.samples": 500, "train.batch_size": 128}),
    )
    asked = iter(range(1, 1000))
    stopped = train.fit(digits, None, method, recipe, seed=1, stop=lambda: next(asked) == 6)
    assert stopped.stopped_after == 6
    assert len(stopped.curves["test_accuracy"]) == 2  # four steps an epoch: the second one ends in its middle
    counted = recipes.load(
        "digits", {"train.epochs": 3, "train.samples": 500, "train.batch_size": 128, "train.max_steps": 6}
    )
    again = train.fit(digits, None, method, counted, seed=1)
    assert again.curves["train_loss"] == stopped.curves["train_loss"]
    assert again.accuracy == stopped.accuracy
    for one, other in zip(again.model.parameters(), stopped.model.parameters(), strict=True):
        assert torch.equal(one, other)


def test_at_the_limit_there_is_a_record_that_can_be_computed_again_and_a_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = iter(range(1, 1000))
    monkeypatch.setattr("noiseproof.cli.time_limit.shortened", lambda run, *_, **__: ({}, lambda: next(asked) == 3))
    words = "train digits --method ce --time-limit 100s --out results --set train.epochs=2"
    done = CliRunner().invoke(app, words.split())
    assert done.exit_code == 0, done.output
    assert "the time limit ended the training after 3 steps; without one: --set train.max_steps=3" in done.output
    (record,) = (json.loads(path.read_text()) for path in tmp_path.glob("results/runs/*/record.json"))
    words = "train digits --method ce --out again --set train.epochs=2 --set train.max_steps=3"
    again = CliRunner().invoke(app, words.split())
    assert again.exit_code == 0, again.output
    (same,) = (json.loads(path.read_text()) for path in tmp_path.glob("again/runs/*/record.json"))
    assert same["run_id"] == record["run_id"]
    assert same["result"]["accuracy"] == record["result"]["accuracy"]
    assert load_model(tmp_path / "results").about["run_id"] == record["run_id"]


def test_time_is_kept_for_the_end_but_never_most_of_it():
    assert 30 < time_to_close(600, 50, samples=1000, tests=300) < 60
    assert time_to_close(10, 1000, samples=100, tests=10_000) == pytest.approx(4)


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
