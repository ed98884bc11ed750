"""How long a sweep will take: by what is recorded, else by a few steps."""

from __future__ import annotations

import time

import pytest

from noiseproof import recipes
from noiseproof.experiments.driver import estimate
from noiseproof.experiments.single_run import describe
from noiseproof.experiments.time_estimate import seconds_per_epoch
from support.made_records import made


def run(method: str = "jal-ce", *, data: str = "digits", epochs: int = 10, seed: int = 1, **overrides: object):
    recipe = recipes.load(data, {"train.epochs": epochs, **overrides})
    return describe(data, "symmetric(0.4)", method, seed=seed, recipe=recipe)


def record(seconds: float, *, status: str = "done", **told: object):
    return {**made(status=status, **run(**told).told), "seconds": seconds}


def test_the_finished_runs_most_alike_tell_how_long_the_others_take():
    other_method, same_method = record(10.0, method="ce", epochs=5), record(20.0, epochs=5)
    assert estimate([run()], [other_method]) == pytest.approx(20.0)
    assert estimate([run()], [other_method, same_method]) == pytest.approx(40.0)
    assert estimate([run(), run(seed=2), run("ce")], [other_method, same_method]) == pytest.approx(100.0)
    assert estimate([], [same_method]) == 0.0


def test_runs_that_failed_or_are_of_another_size_tell_nothing():
    unlike = [
        record(0.1, status="failed"),
        record(0.1, status="diverged"),
        record(1e6, data="cifar10"),
        record(1e6, **{"model.hidden": [4096]}),
        record(1e6, **{"train.samples": 100}),
        record(1e6, **{"train.batch_size": 1}),
    ]
    assert estimate([run()], unlike) is None
    assert estimate([run()], unlike, probe=lambda run: 3.0) == pytest.approx(30.0)


def test_the_steps_are_timed_once_for_all_runs_alike():
    asked = []
    waiting = [run(), run("ce"), run(seed=2, epochs=1), run(data="cifar10", epochs=2)]
    assert estimate(waiting, [], probe=lambda run: asked.append(run) or 3.0) == pytest.approx(63.0 + 6.0)
    assert asked == [waiting[0], waiting[3]]
    assert estimate(waiting, [], probe=lambda run: None) is None


def test_a_method_that_works_more_takes_longer():
    def cost(spec):
        return {"jal-ce": 1.0, "elr-plus": 4.0}[spec["method"]]

    assert estimate([run("elr-plus")], [record(10.0)], cost=cost) == pytest.approx(40.0)
    assert estimate([run("elr-plus"), run()], [], lambda run: 4.0, cost) == pytest.approx(40.0 + 10.0)


def test_an_epoch_is_the_time_of_its_samples_and_a_third_of_it_for_what_is_only_judged(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(clock)))  # whatever is timed takes a second
    batch = recipes.load("digits").train.batch_size
    assert seconds_per_epoch(run(), device="cpu") == pytest.approx((1438 + 359 / 3) / min(1438, 16 * batch))
    few = run(**{"train.samples": 100})
    assert seconds_per_epoch(few, device="cpu") == pytest.approx((100 + 359 / 3) / 100)


def test_data_that_is_not_here_tells_nothing(tmp_path):
    assert seconds_per_epoch(run(data="cifar10"), root=tmp_path) is None
