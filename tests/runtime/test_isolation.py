"""The surroundings do not leak in: the same bits under any of torch's settings and in threads side by side."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial

import numpy as np
import pytest
import torch

import noiseproof
from noiseproof import NoisyLabelClassifier, data, recipes
from noiseproof.runtime.isolation import isolated
from noiseproof.train import fit

DIGITS = data.load("digits")
X, Y = DIGITS.train.inputs.numpy()[:300], DIGITS.train.given.numpy()[:300]


def digest(module: torch.nn.Module) -> str:
    return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in module.parameters())).hexdigest()


def trained(seed: int = 1, method: str = "jal-ce", mode: str = "deterministic") -> str:
    recipe = recipes.load("digits", {"train.epochs": 1})
    outcome = fit(DIGITS, None, method, recipe, seed=seed, device="cpu", precision="fp32", mode=mode)
    return digest(outcome.model) + str(outcome.curves["test_accuracy"])


def own(shape: tuple[int, ...], classes: int) -> torch.nn.Module:
    """Draws its weights, and in every batch, from torch's global stream."""
    return torch.nn.Sequential(
        torch.nn.Linear(shape[0], 8), torch.nn.Dropout(0.5), torch.nn.ReLU(), torch.nn.Linear(8, classes)
    )


def estimated(seed: int = 0, module: Callable[..., torch.nn.Module] | None = None) -> str:
    model = NoisyLabelClassifier("gce", epochs=2, random_state=seed, module=module).fit(X, Y)
    return digest(model.net_.module_) + hashlib.sha256(model.predict_proba(X).tobytes()).hexdigest()


def diagnosed() -> str:
    found = noiseproof.diagnose(X, Y)
    return hashlib.sha256(np.asarray(found.scores).tobytes() + np.asarray(found.ranking).tobytes()).hexdigest()


def test_a_diagnosis_is_the_same_under_all_of_them():
    alone = diagnosed()
    with ExitStack() as stack:
        for surroundings in SURROUNDINGS.values():
            stack.enter_context(surroundings())
        assert diagnosed() == alone


@contextmanager
def setting(get, change, value):
    before = get()
    change(value)
    try:
        yield
    finally:
        assert get() == value, "what was set outside is not as it was"
        change(before)


SURROUNDINGS = {
    "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    "no grad": torch.no_grad,
    "inference mode": torch.inference_mode,
    "float64 as default dtype": lambda: setting(torch.get_default_dtype, torch.set_default_dtype, torch.float64),
    "meta as default device": lambda: torch.device("meta"),
    "less precise products": lambda: setting(
        torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "medium"
    ),
    "fast algorithms": lambda: setting(
        lambda: torch.backends.cudnn.benchmark, partial(setattr, torch.backends.cudnn, "benchmark"), True
    ),
}


@pytest.mark.parametrize("name", SURROUNDINGS)
@pytest.mark.parametrize("compute", [trained, estimated, partial(estimated, module=own)], ids=["fit", "sklearn", "own"])
def test_the_surroundings_change_no_bit_and_are_put_back(name, compute):
    alone = compute()
    with SURROUNDINGS[name]():
        assert compute() == alone


def test_all_of_them_at_once_change_no_bit():
    alone = trained(), estimated()
    with ExitStack() as stack:
        for surroundings in SURROUNDINGS.values():
            stack.enter_context(surroundings())
        assert (trained(), estimated()) == alone


@pytest.mark.parametrize("compute", [trained, estimated, partial(estimated, module=own)], ids=["fit", "sklearn", "own"])
def test_threads_side_by_side_compute_what_one_computes_alone(compute):
    alone = [compute(seed) for seed in (1, 2, 1, 2)]
    state = torch.get_rng_state()
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(compute, (1, 2, 1, 2))) == alone
    assert torch.equal(torch.get_rng_state(), state)


def test_threads_that_want_other_settings_wait_for_each_other_and_leave_none_behind():
    before = torch.are_deterministic_algorithms_enabled(), torch.get_default_dtype()
    modes = ["deterministic", "fast"] * 2
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda mode: trained(mode=mode), modes))
    assert found[0] == found[2] == trained()
    assert (torch.are_deterministic_algorithms_enabled(), torch.get_default_dtype()) == before


def test_the_default_network_draws_from_no_global_stream(monkeypatch):
    monkeypatch.setattr(torch, "manual_seed", lambda seed: pytest.fail("a seed of the whole process was set"))
    state = torch.get_rng_state()
    estimated()
    assert torch.equal(torch.get_rng_state(), state)


def test_what_is_isolated_lies_within_what_is_isolated():
    with isolated(), isolated():
        assert torch.get_default_dtype() == torch.float32
    assert np.isclose(float(torch.ones(2).sum()), 2)
