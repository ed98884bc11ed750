"""`noiseproof bench losses`: what it compares is the same loss, and what it reports can be read back."""

from __future__ import annotations

import json

import pytest
import torch

from conftest import seeded
from noiseproof import losses
from noiseproof.errors import MachineError
from noiseproof.speed import losses_gpu
from noiseproof.speed.losses import FOCAL, ONE_PASS, run
from noiseproof.speed.published_style import usual_loss


@pytest.mark.parametrize("text", [*ONE_PASS, *FOCAL])
def test_the_usual_way_is_the_same_loss(text):
    scores, target = torch.randn(9, 12, generator=seeded(1)), torch.randint(12, (9,), generator=seeded(2))
    found = []
    for loss in (losses.parse(text), usual_loss(losses.parse(text))):
        leaf = scores.clone().requires_grad_()
        value = loss(leaf, target)
        found.append((value.detach(), torch.autograd.grad(value, leaf)[0]))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)


def test_a_small_run_reports_times_memory_and_goals(tmp_path):
    result = run(
        sizes=((128, 10), (300, 1000)),
        texts=("ce", "nce + amse"),
        compiled=(),
        linear=(16, 8, 300),
        options=(40, 30),
        rounds=1,
        output=tmp_path / "losses.json",
    )
    assert json.loads((tmp_path / "losses.json").read_text()) == result
    assert [(row["size"], row["loss"]) for row in result["rows"]] == [
        ("128 x 10", "ce"),
        ("128 x 10", "nce + amse"),
        ("300 x 1000", "ce"),
        ("300 x 1000", "nce + amse"),
    ]
    assert all(row["noiseproof"] > 0 and row["usual"] > 0 and row["compiled"] is None for row in result["rows"])
    assert {row["size"] for row in result["memory"]} == {"300 x 1000"}
    assert [row["way"] for row in result["linear"]][-1] == "linear_loss nce + amse"
    options = {"label_smoothing", "probabilities", "float64", "sigmoid", "sigmoid, probabilities"}
    assert {row["option"] for row in result["options"]} == options
    assert all(row["time"] > 0 for row in result["options"])
    assert result["reached"] == all(goal["reached"] for goal in result["goals"])
    assert torch.get_num_threads() == 1


def test_what_a_gpu_will_be_measured_with_runs(tmp_path, monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **options: function)
    result = losses_gpu.run(device="cpu", sizes=((4, 7),), texts=("ce", "nce + amse"), rounds=1, output=tmp_path / "g")
    assert json.loads((tmp_path / "g").read_text()) == result
    assert [row["loss"] for row in result["rows"]] == ["ce", "nce + amse"]
    assert all(row["ms"] > 0 and row["torch.compile_ms"] > 0 for row in result["rows"])


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has one")
def test_without_a_gpu_it_says_so():
    with pytest.raises(MachineError, match="no CUDA device"):
        losses_gpu.run()
