"""A loop of the user's own leaves records like every other run's."""

from __future__ import annotations

import pytest
import torch
from typer.testing import CliRunner

from noiseproof import data, noise, recipes
from noiseproof.cli.app import app
from noiseproof.errors import InputError
from noiseproof.experiments import Experiment, records
from noiseproof.experiments.single_run import describe, execute
from noiseproof.reporting.tables import tables_of


def nearest_mean(inputs, given, new):
    means = torch.stack([inputs[given == label].mean(0) for label in range(10)])
    return torch.cdist(new.flatten(1), means).argmin(1)


def another(inputs, given, new):
    return given[: len(new)]


def ran(seed=1, **changes) -> Experiment:
    options = {"method": "nearest-mean", "data": "digits", "noise": "symmetric(0.4)", "code": nearest_mean, **changes}
    experiment = Experiment(**options, seed=seed)
    train, test = experiment.data.train, experiment.data.test
    predicted = nearest_mean(train.inputs.flatten(1), experiment.given, test.inputs)
    experiment.epoch(test_accuracy=100 * (predicted == test.clean).double().mean().item(), train_loss=1.0)
    return experiment


def test_the_table_shows_its_mean_over_seeds(tmp_path):
    made = [ran(seed) for seed in (1, 2)]
    for experiment in made:
        assert records.read(experiment.save(tmp_path)) == {
            **experiment.record(),
            **records.read(experiment.save(tmp_path)),
        }
    mean = sum(experiment.record()["result"]["accuracy"] for experiment in made) / 2
    shown = CliRunner().invoke(app, ["table", str(tmp_path)])
    assert shown.exit_code == 0, shown.output
    assert "nearest-mean" in shown.output
    assert "loop of the user's own" in shown.output
    assert f"{mean:.2f}" in shown.output
    assert CliRunner().invoke(app, ["table", str(tmp_path), "--leaderboard"]).exit_code == 0
    assert records.check(tmp_path) == ()


def test_it_stands_in_one_table_with_runs_of_the_recipe(tmp_path):
    run = describe("digits", "symmetric(0.4)", "ce", seed=1, recipe=recipes.load("digits", {"train.epochs": 1}))
    records.write(tmp_path, execute(run, device="cpu"))
    ran().save(tmp_path)
    (table,) = tables_of(records.read_folder(tmp_path).records)
    assert [row.labels for row in table.rows] == [("ce",), ("nearest-mean",)]
    assert not any("alike" in remark for remark in table.remarks)


def test_its_labels_are_those_of_other_runs():
    digits = data.load("digits")
    expected = noise.corrupt(digits.train.clean, "symmetric(0.4)", num_classes=10, seed=3).labels
    assert ran(3).given.tolist() == expected.tolist()
    assert ran(3, data=digits).run.run_id == ran(3).run.run_id


@pytest.mark.parametrize("change", [{"seed": 2}, {"code": another}, {"settings": {"lr": 0.1}}, {"noise": "clean"}])
def test_what_decides_the_result_names_the_run(change):
    assert ran(**change).run.run_id != ran().run.run_id == ran().run.run_id


def test_a_second_result_of_the_same_run_is_refused(tmp_path):
    ran().save(tmp_path)
    again = ran()
    again.epoch(test_accuracy=1.0, train_loss=2.0)
    with pytest.raises(InputError, match="another result"):
        again.save(tmp_path)


def test_mistakes_are_refused():
    with pytest.raises(InputError, match="code"):
        ran(code=torch.optim.SGD)
    with pytest.raises(InputError, match="plain"):
        ran(settings={"network": object()})
    with pytest.raises(InputError, match="same curves"):
        ran().epoch(test_accuracy=3.0)
    with pytest.raises(InputError, match="test_accuracy"):
        ran().epoch(test_accuracy=300.0, train_loss=1.0)
    with pytest.raises(InputError, match="no epoch"):
        Experiment("x", "digits", seed=1, code=another).record()
