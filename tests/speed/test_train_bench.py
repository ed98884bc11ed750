"""The benchmark of the training step measures what it says and keeps what it measured elsewhere."""

from __future__ import annotations

import json
import statistics

import pytest
import torch

from conftest import seeded
from noiseproof import recipes
from noiseproof.speed import training as bench


def test_it_compares_every_way_with_the_published_loop_and_folds_the_result_into_its_file(tmp_path):
    path = tmp_path / "train.json"
    path.write_text('{"cuda": {"rows": []}}')
    result = bench.run(rounds=2, batch=8, output=path)
    names = [row["way"] for row in result["rows"]]
    assert names == ["published loop, fp32", "noiseproof, fp32", "noiseproof, bf16", "noiseproof, bf16, cross-entropy"]
    for row in result["rows"]:
        assert len(row["seconds"]) == 2
        assert row["images_per_second"] == pytest.approx(8 / statistics.median(row["seconds"]), rel=0.02)
    assert result["rows"][0]["times_published"] == 1.0
    jal, plain = (statistics.median(row["seconds"]) for row in result["rows"][2:])
    assert result["jal_and_l1_over_ce"] == pytest.approx(jal / plain - 1, abs=0.02)
    assert result["runs"] == []  # hours on a CPU
    assert result["reached"] == (max(row["times_published"] for row in result["rows"]) >= bench.GOAL)
    assert json.loads(path.read_text()) == {"cuda": {"rows": []}, "cpu": result}


def test_a_whole_run_is_its_epochs_and_their_evaluation_beside_as_many_published_steps():
    row = bench.whole_run("cifar10", device="cpu", images=10, test=6, epochs=2, steps=1)
    assert row["run"] == "cnn8, 120 epochs"
    assert (row["goal_seconds"], row["epochs_measured"]) == (22.0, 2)
    assert row["times_published"] == pytest.approx(row["published_loop_seconds"] / row["seconds"], rel=0.1)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_the_published_loss_is_jal_ce(name):
    scores, target = torch.randn(6, 10, generator=seeded(1)), torch.arange(6)
    method = recipes.load(name).method("jal-ce")
    alpha, a, l1 = bench._PUBLISHED[name]
    torch.testing.assert_close(bench._published_loss(scores, target, alpha, a), method.loss(scores, target))
    assert l1 == method.l1
