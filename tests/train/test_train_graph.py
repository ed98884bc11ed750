"""The step recorded as a CUDA graph gives the numbers of the step itself; on a GPU, and with a stand-in without one."""

from __future__ import annotations

from contextlib import contextmanager, nullcontext

import pytest
import torch

from conftest import seeded
from noiseproof import recipes
from noiseproof.data import Data, Split
from noiseproof.speed import training as bench
from noiseproof.train import Training, fit, fit_together
from noiseproof.train.cuda_graph import Captured
from noiseproof.train.step import Step

gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")]


def pictures(count: int = 40) -> Data:
    labels = torch.randint(10, (count,), generator=seeded(1))
    pixels = torch.randint(0, 256, (count, 3, 16, 16), generator=seeded(2)).byte()
    split = Split(pixels, labels, labels, tuple("abcdefghij"))
    return Data("pictures", split, split.take(range(8)), "0" * 64)


def recipe(**overrides):
    return recipes.load("cifar10", {"train.epochs": 3, "train.batch_size": 16, **overrides})


class Heard(Step):
    """A step that remembers what it was last given and gave."""

    def __call__(self, batch, weight=1.0):
        outputs = super().__call__(batch, weight)
        self.last = (batch, outputs)
        return outputs


def stand_in(monkeypatch, training: Training) -> Captured:
    """A recorder without a GPU: `replay` runs the step on the recorded inputs and fills the recorded outputs."""
    step = training.step()
    step.__class__ = Heard
    recorded = {}

    @contextmanager
    def record(graph):
        yield
        recorded[graph] = step.last

    class Graph:
        def replay(self) -> None:
            batch, outputs = recorded[self]
            for kept, fresh in zip(outputs, Step.__call__(step, batch), strict=True):
                kept.copy_(fresh)

    class Stream:
        def __init__(self, *arguments) -> None: ...

        def wait_stream(self, other) -> None: ...

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: Stream())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", record)
    return Captured(step)


@pytest.mark.parametrize("method", ["jal-ce", "ce", "lt-apl"])
def test_recording_leaves_no_trace_in_weights_statistics_or_moments(method, monkeypatch):
    plain = fit(pictures(), None, method, recipe(), seed=1, device="cpu", precision="fp32")
    training = Training(pictures(), None, method, recipe(), seed=1, device="cpu", precision="fp32")
    captured = stand_in(monkeypatch, training)
    monkeypatch.setattr(training, "step", lambda: captured)
    for _ in training.steps():
        pass
    assert len(captured._graphs) == 2  # batches of 16, and the last of 8
    assert training.curves["train_loss"] == plain.curves["train_loss"]
    assert training.curves["test_accuracy"] == plain.curves["test_accuracy"]
    for name, value in plain.model.state_dict().items():
        assert torch.equal(training.network.state_dict()[name], value), name


class TestOnAGPU:
    pytestmark = gpu

    def run(self, method: str, precision: str, captured: bool, monkeypatch, mode: str = "deterministic"):
        training = Training(pictures(), None, method, recipe(), seed=1, device="cuda", precision=precision, mode=mode)
        if not captured:
            step = training.step().step
            monkeypatch.setattr(training, "step", lambda: step)
        for _ in training.steps():
            pass
        return training

    @pytest.mark.parametrize("precision", ["fp32", "tf32", "bf16"])
    @pytest.mark.parametrize("method", ["jal-ce", "anl-fl", "ce", "lt-apl"])
    def test_the_recorded_step_is_the_step(self, method, precision, monkeypatch):
        eager, captured = (self.run(method, precision, on, monkeypatch) for on in (False, True))
        for name, value in eager.network.state_dict().items():
            torch.testing.assert_close(captured.network.state_dict()[name], value, rtol=0, atol=1e-5, msg=name)

    def test_the_same_seed_gives_the_same_bits(self):
        one, two = (fit(pictures(), None, "jal-ce", recipe(), seed=1, device="cuda") for _ in range(2))
        for name, value in one.model.state_dict().items():
            assert torch.equal(two.model.state_dict()[name], value), name

    def test_runs_side_by_side_give_the_bits_they_give_alone(self):
        kinds = [("jal-ce", 1), ("ce", 2), ("anl-ce", 3)]
        alone = [fit(pictures(), None, method, recipe(), seed=seed, device="cuda") for method, seed in kinds]
        together = fit_together([Training(pictures(), None, m, recipe(), seed=s, device="cuda") for m, s in kinds])
        for one, other in zip(alone, together, strict=True):
            for name, value in one.model.state_dict().items():
                assert torch.equal(other.model.state_dict()[name], value), name

    def test_a_stopped_run_goes_on_bit_for_bit(self, tmp_path):
        class Stop(Exception):
            pass

        def stop(epoch, row):
            raise Stop

        options = {"seed": 1, "device": "cuda", "checkpoint_every": 0.0}
        whole = fit(pictures(), None, "jal-ce", recipe(), **options)
        with pytest.raises(Stop):
            fit(pictures(), None, "jal-ce", recipe(), checkpoint_dir=tmp_path, on_epoch=stop, **options)
        rest = fit(pictures(), None, "jal-ce", recipe(), checkpoint_dir=tmp_path, **options)
        for name, value in whole.model.state_dict().items():
            assert torch.equal(rest.model.state_dict()[name], value), name

    def test_the_benchmark_runs(self, tmp_path):
        result = bench.run(device="cuda", rounds=2, steps=10, output=tmp_path / "gpu.json")
        assert next(row["way"] for row in result["rows"]) == "published loop, fp32"
        assert all(row["images_per_second"] > 0 for row in result["rows"])
