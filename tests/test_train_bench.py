"""The benchmark of the training step measures what it says and keeps what it measured elsewhere."""

from __future__ import annotations

import json
import statistics

import pytest
import torch

from conftest import seeded
from noiseproof import losses
from noiseproof.bench import train as bench


def test_it_compares_every_way_with_the_published_loop_and_folds_the_result_into_its_file(tmp_path):
    path = tmp_path / "train.json"
    path.write_text('{"cuda": {"rows": []}}')
    result = bench.run(rounds=2, batch=8, output=path)
    names = [row["way"] for row in result["rows"]]
    assert names == ["published loop, fp32", "noiseproof, fp32", "noiseproof, bf16"]
    for row in result["rows"]:
        assert len(row["seconds"]) == 2
        assert row["images_per_second"] == pytest.approx(8 / statistics.median(row["seconds"]), rel=0.02)
    assert result["rows"][0]["times_published"] == 1.0
    assert result["reached"] == (max(row["times_published"] for row in result["rows"]) >= bench.GOAL)
    assert json.loads(path.read_text()) == {"cuda": {"rows": []}, "cpu": result}


def test_the_published_loss_is_jal_ce():
    scores, target = torch.randn(6, 10, generator=seeded(1)), torch.arange(6)
    ours = losses.parse("nce + amse(a=30)")(scores, target)
    torch.testing.assert_close(bench._published_loss(scores, target), ours)
