"""The training loop: the published protocol step for step, the same bits every time, and what it says of itself."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
import subprocess
import sys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from conftest import seeded
from noiseproof import artifacts, data, losses, noise, recipes, rng
from noiseproof.data import Data, Split
from noiseproof.errors import InputError, UnknownNameError
from noiseproof.train import Training, fit, fit_together
from noiseproof.train.health import gradients, health
from noiseproof.train.initial import network_for
from noiseproof.train.input_preparation import HELD_OUT
from noiseproof.train.optimiser import lr_at
from support.made_pictures import images

QUICK = {"train.epochs": 3}


# Ours against a plain restatement of the published loop


def jal(logits: Tensor, target: Tensor) -> Tensor:
    log_p = logits.log_softmax(1)
    nce = (log_p.gather(1, target[:, None]).squeeze(1) / log_p.sum(1)).mean()
    return nce + (log_p.exp() - 30 * F.one_hot(target, logits.shape[1])).square().mean()


def sce(logits: Tensor, target: Tensor) -> Tensor:
    p = logits.softmax(1).gather(1, target[:, None])
    return 0.1 * F.cross_entropy(logits, target) - math.log(1e-4) * (1 - p).mean()


def published(
    network, inputs: Tensor, labels: Tensor, loss, l1: float, l2: float, *, lr: float, epochs: int, batch: int
) -> None:
    """The loop of the authors' main.py, without augmentation, on our order of the samples."""
    optimizer = torch.optim.SGD(network.parameters(), lr=lr, momentum=0.9, weight_decay=l2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs, eta_min=0)
    for epoch in range(epochs):
        network.train()
        for index in torch.from_numpy(rng.permutation(len(inputs), 7, "order", epoch)).split(batch):
            optimizer.zero_grad()
            value = loss(network(inputs[index]), labels[index])
            if l1:
                value = value + l1 * sum(parameter.abs().sum() for parameter in network.parameters())
            value.backward()
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
        schedule.step()


METHODS = {"jal-ce": (jal, 5e-5, 0.0), "sce": (sce, 0.0, 1e-4), "ce": (F.cross_entropy, 0.0, 1e-4)}


def compare(ours: nn.Module, theirs: nn.Module, first: nn.Module, *, tolerance: float) -> None:
    moved = 0.0
    for key, value in theirs.state_dict().items():
        torch.testing.assert_close(
            ours.state_dict()[key], value, rtol=0, atol=tolerance, msg=lambda m, k=key: f"{k}: {m}"
        )
        moved = max(moved, (value.float() - first.state_dict()[key].float()).abs().max().item())
    assert moved > 0.01  # there was something to agree on


@pytest.mark.parametrize("name", METHODS)
def test_twenty_steps_give_the_weights_of_the_published_loop(name):
    found = data.load("digits")
    some = Data("some", found.train.take(range(158)), found.test, "0" * 64)  # five steps an epoch, the last of 30
    recipe = recipes.load("digits", {"train.epochs": 4, "train.batch_size": 32, "train.lr": 0.1})
    method, inputs = recipe.method(name), some.train.inputs
    spread = inputs.std(0, correction=0)
    inputs = (inputs - inputs.mean(0)) / spread.where(spread > 1e-6, 1.0)
    theirs, first = (network_for(some, method, recipe, seed=7) for _ in range(2))
    published(theirs, inputs, some.train.given, *METHODS[name], lr=0.1, epochs=4, batch=32)
    compare(fit(some, None, method, recipe, seed=7, device="cpu").model, theirs, first, tolerance=1e-5)


class Doubled:
    """The same batches of other inputs, in float64."""

    def __init__(self, batches, inputs: Tensor) -> None:
        self.of, self.inputs = batches, inputs.double()
        self.count, self.batch_size = batches.count, batches.batch_size

    def __len__(self) -> int:
        return len(self.of)

    def epoch(self, *which):
        return ((self.inputs[index], index) for _, index in self.of.epoch(*which))

    def order(self, epoch):
        return self.of.order(epoch)

    def view(self, number):
        return self

    def batches(self, parts, epoch):
        return ((self.inputs[index], index) for index in parts)


@pytest.mark.parametrize("name", METHODS)
def test_twenty_steps_of_the_cnn_are_the_published_loops_in_float64(name):
    # In float32 a rounding moves the winner of a max-pool, and 1e-7 grows to 1e-3 within the 20 steps: theirs as ours.
    plain = {"augment.crop_padding": 0, "augment.flip": False, "augment.mean": [0.5] * 3, "augment.std": [0.25] * 3}
    recipe = recipes.load("cifar10", {"train.epochs": 4, "train.batch_size": 8, "train.lr": 0.02, **plain})
    found = images(38, size=16)
    method, inputs = recipe.method(name), (found.train.inputs.float() / 255 - 0.5) / 0.25
    theirs, first = (network_for(found, method, recipe, seed=7).double() for _ in range(2))
    published(theirs, inputs.double(), found.train.given, *METHODS[name], lr=0.02, epochs=4, batch=8)
    training = Training(found, None, method, recipe, seed=7, device="cpu", precision="fp32")
    training.network.double()
    training.batches, training.test = Doubled(training.batches, inputs), Doubled(training.test, inputs[:16])
    assert len(list(training.steps())) == 20
    compare(training.network, theirs, first, tolerance=1e-5)


def test_the_learning_rate_is_torchs_schedule():
    for name, schedule in (
        ("cifar10", lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=120, eta_min=0)),
        ("webvision", lambda o: torch.optim.lr_scheduler.StepLR(o, 1, 0.97)),
        ("clothing1m", lambda o: torch.optim.lr_scheduler.StepLR(o, 5, 0.1)),
    ):
        train = recipes.load(name).train
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=train.lr)
        reference = schedule(optimizer)
        for epoch in range(train.epochs):
            assert lr_at(epoch, train.lr, train) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
            optimizer.step()
            reference.step()


# Promises


def digits(text: str = "symmetric(0.4)", seed: int = 1):
    found = data.load("digits")
    return found, noise.corrupt(found.train.clean, text, num_classes=10, seed=seed)


def weights(outcome) -> list[Tensor]:
    return list(outcome.model.state_dict().values())


def same(one, two) -> bool:
    return all(torch.equal(a, b) for a, b in zip(weights(one), weights(two), strict=True))


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    found, noisy = digits()
    recipe = recipes.load("digits", QUICK)
    one = fit(found, noisy, "jal-ce", recipe, seed=1, device="cpu")
    two = fit(found, noisy, "jal-ce", recipe, seed=1, device="cpu")
    three = fit(found, noisy, "jal-ce", recipe, seed=2, device="cpu")
    curves = ("test_accuracy", "train_loss", "train_accuracy")
    assert same(one, two)
    assert {k: one.curves[k] for k in curves} == {k: two.curves[k] for k in curves}
    assert not same(one, three)


def test_training_does_not_touch_torchs_global_state():
    found, noisy = digits()
    switches = (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark)
    random = torch.random.get_rng_state()
    fit(found, noisy, "ce", recipes.load("digits", {"train.epochs": 1}), seed=1, device="cpu")
    assert torch.equal(random, torch.random.get_rng_state())
    assert switches == (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark)


def test_an_outcome_tells_every_epoch_and_its_number_is_the_last():
    found, noisy = digits()
    rows = []
    outcome = fit(
        found, noisy, "ce", recipes.load("digits", QUICK), seed=1, device="cpu", on_epoch=lambda *row: rows.append(row)
    )
    assert outcome.status == "done"
    assert (outcome.precision, outcome.mode, outcome.device) == (
        "fp32",
        "deterministic",
        "cpu",
    )
    assert [epoch for epoch, _ in rows] == [0, 1, 2]
    for name, curve in outcome.curves.items():
        assert curve == [row[name] for _, row in rows]
    assert outcome.accuracy == outcome.curves["test_accuracy"][-1]
    outcome.model.eval()
    mean, std = found.train.inputs.mean(0), found.train.inputs.std(0, correction=0)
    inputs = (found.test.inputs - mean) / std.where(std > 1e-6, 1.0)
    with torch.no_grad():
        right = outcome.model(inputs).argmax(1) == found.test.given
    assert outcome.accuracy == pytest.approx(100 * right.double().mean().item(), abs=1e-4)


@pytest.mark.filterwarnings("ignore:.*overflow.*")
def test_a_loss_that_is_no_number_ends_the_run_as_diverged_and_names_the_step():
    found, noisy = digits()
    recipe = recipes.load("digits", {"train.epochs": 4, "train.lr": 1e30, "train.clip_norm": 0.0})
    outcome = fit(found, noisy, "ce", recipe, seed=1, device="cpu")
    assert outcome.status == "diverged"
    assert 0 < outcome.diverged_at < 23  # within the first epoch
    assert len(outcome.curves["train_loss"]) == 1


def test_a_last_batch_of_one_sample_is_left_out_where_rows_are_normalised():
    pictures = images(17)
    outcome = fit(
        pictures, None, "ce", recipes.load("cifar10", {"train.epochs": 1, "train.batch_size": 16}), seed=1, device="cpu"
    )
    assert outcome.status == "done"
    assert math.isfinite(outcome.curves["train_loss"][0])


def test_a_student_head_trains_with_its_own_optimiser():
    found, noisy = digits()
    recipe = recipes.load("digits", {"train.epochs": 8})
    outcome = fit(found, noisy, "lt-apl", recipe, seed=1, device="cpu")
    assert type(outcome.model.fc).__name__ == "StudentHead"
    assert outcome.accuracy > 80  # ten classes: chance is 10


def test_bf16_is_taken_for_convolutions_where_the_processor_has_it_and_learns_the_same():
    pictures = images(64, size=16)
    recipe = recipes.load("cifar10", {"train.epochs": 2, "train.batch_size": 16, "train.lr": 0.02})
    half = fit(pictures, None, "jal-ce", recipe, seed=1, device="cpu", precision="bf16")
    full = fit(pictures, None, "jal-ce", recipe, seed=1, device="cpu", precision="fp32")
    assert (half.precision, full.precision) == ("bf16", "fp32")
    assert weights(half)[0].dtype == torch.float32
    assert half.curves["train_loss"][0] == pytest.approx(full.curves["train_loss"][0], rel=0.01)
    assert not same(half, full)


def test_what_fit_cannot_do_is_refused():
    found, noisy = digits()
    recipe = recipes.load("digits", QUICK)
    with pytest.raises(UnknownNameError, match="device must be one of auto, cpu, cuda, mps; got 'gpu'"):
        fit(found, noisy, "ce", recipe, seed=1, device="gpu")
    with pytest.raises(UnknownNameError, match="precision must be one of"):
        fit(found, noisy, "ce", recipe, seed=1, device="cpu", precision="fp16")
    with pytest.raises(InputError, match="precision tf32 exists on CUDA devices only"):
        fit(found, noisy, "ce", recipe, seed=1, device="cpu", precision="tf32")
    with pytest.raises(UnknownNameError, match="mode must be one of"):
        fit(found, noisy, "ce", recipe, seed=1, device="cpu", mode="quick")
    few = noise.corrupt(found.train.clean[:50], "symmetric(0.4)", num_classes=10, seed=1)
    with pytest.raises(InputError, match="noise gives 50 labels, the training set of digits has 1438"):
        fit(found, few, "ce", recipe, seed=1, device="cpu")
    with pytest.raises(InputError, match=r"head must be student\("):
        fit(found, noisy, "ce", recipes.load("digits", {"methods.ce.head": "cosine"}), seed=1, device="cpu")


# What an outcome says of the training set


def test_cross_entropy_is_found_to_memorise_and_jal_not():
    found, noisy = digits()
    recipe = recipes.load("digits", {"train.epochs": 40})
    ce = fit(found, noisy, "ce", recipe, seed=1, device="cpu", keep_outputs=True)
    jal = fit(found, noisy, "jal-ce", recipe, seed=1, device="cpu")
    assert ce.health["flipped_memorised"] > 0.95
    assert ce.health["advice"].startswith("memorises: ")
    assert jal.health["flipped_memorised"] < 0.15
    assert jal.health["flipped_corrected"] > 0.8
    assert jal.health["advice"] == ""
    assert jal.accuracy > ce.accuracy + 10
    # the outputs tell the same story
    assert torch.equal(ce.outputs["flipped"], torch.from_numpy(noisy.flipped))
    sure = ce.outputs["train_probability_given"][ce.outputs["flipped"]]
    assert (sure > 0.5).float().mean() > 0.95
    right = (ce.outputs["test_scores"].argmax(1) == ce.outputs["test_clean"]).double().mean()
    assert ce.accuracy == pytest.approx(100 * right.item())
    assert ce.outputs["test_features"].shape == (len(found.test), 256)


def test_a_loss_that_stops_pulling_too_early_is_found_to_underfit_and_the_remedy_works():
    found, noisy = digits()
    recipe = recipes.load("digits", {"train.epochs": 20, "train.lr": 0.1})
    passive = fit(found, noisy, "nce + 30*amse(a=30)", recipe, seed=1, device="cpu")
    assert passive.health["clean_stuck"] > 0.2
    assert passive.health["advice"].startswith("underfits")
    assert passive.health["advice"].endswith("raise alpha, the factor of nce or lower a of amse")
    better = fit(found, noisy, "100*nce + 30*amse(a=30)", recipe, seed=1, device="cpu")
    assert better.health["clean_stuck"] < 0.1
    assert better.accuracy > passive.accuracy + 10


def test_the_gradient_of_a_sample_is_measured_against_even_scores():
    loss = losses.parse("mae")  # |gradient| = 2 p (e_y - p): at even scores of 4 classes, and at two others
    scores = torch.tensor([[0.0, 0, 0, 0], [20.0, 0, 0, 0], [0.0, 20, 0, 0]])
    pull = gradients(loss, scores, torch.tensor([0, 0, 0]))
    assert pull[0] == pytest.approx(1.0)
    assert (pull[1:] < 1e-6).all()
    found = health(loss, scores, torch.tensor([0, 0, 0]), None)
    assert (found["fitted"], found["no_gradient"], found["stuck"]) == pytest.approx((2 / 3, 2 / 3, 1 / 3))


def test_runs_side_by_side_give_the_bits_they_give_alone():
    found, noisy = digits()
    short, long = (recipes.load("digits", {"train.epochs": epochs}) for epochs in (2, 3))
    kinds = [("ce", 1, long), ("jal-fl", 2, short), ("lt-apl", 1, short)]
    alone = [fit(found, noisy, method, recipe, seed=seed, device="cpu") for method, seed, recipe in kinds]
    together = fit_together([Training(found, noisy, m, r, seed=s, device="cpu") for m, s, r in kinds])
    for one, other in zip(alone, together, strict=True):
        assert same(one, other)
        assert one.curves["train_loss"] == other.curves["train_loss"]
        assert one.health == other.health
    mixed = [Training(found, noisy, "ce", short, seed=1, device="cpu", mode=mode) for mode in ("fast", "deterministic")]
    with pytest.raises(InputError, match="need one mode, device and precision"):
        fit_together(mixed)


IN_ANOTHER_PROCESS = """
import hashlib, torch
torch.set_num_threads(1)
from noiseproof import data, noise, recipes
from noiseproof.train import fit
found = data.load("digits")
noisy = noise.corrupt(found.train.clean, "symmetric(0.4)", num_classes=10, seed=1)
recipe = recipes.load("digits", {"train.epochs": 3})
weights = fit(found, noisy, "jal-fl", recipe, seed=1, device="cpu").model.state_dict()
print(hashlib.sha256(b"".join(value.numpy().tobytes() for value in weights.values())).hexdigest())
"""


def test_place_language_time_zone_and_hash_seed_change_no_bit(tmp_path):
    found, noisy = digits()
    here = fit(found, noisy, "jal-fl", recipes.load("digits", QUICK), seed=1, device="cpu")
    elsewhere = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Kathmandu", "LC_ALL": "C", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", IN_ANOTHER_PROCESS]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=elsewhere)
    assert done.stdout.strip() == hashlib.sha256(b"".join(w.numpy().tobytes() for w in weights(here))).hexdigest()


def test_a_recipe_can_train_on_the_first_samples_with_the_labels_of_the_whole():
    digits = data.load("digits")
    noisy = noise.corrupt(digits.train.given, "symmetric(0.4)", num_classes=10, seed=1)
    short = recipes.load("digits", {**QUICK, "train.samples": 300})
    first = dataclasses.replace(digits, train=digits.train.take(range(300)))
    cut = dataclasses.replace(noisy, labels=noisy.labels[:300])
    found = fit(digits, noisy, "ce", short, seed=1)
    assert (
        found.curves["test_accuracy"]
        == fit(first, cut, "ce", recipes.load("digits", QUICK), seed=1).curves["test_accuracy"]
    )
    assert found.notes == (f"trained on the first 300 of {len(digits.train)} samples",)


def test_held_out_given_labels_are_judged_and_not_trained_on():
    digits, recipe = data.load("digits"), recipes.load("digits", {"train.epochs": 1, "train.hold_out": 0.25})
    training = Training(digits, None, "ce", recipe, seed=1)
    held = training.data.also[HELD_OUT]
    assert len(held) + len(training.data.train) == len(digits.train)
    assert len(held) == pytest.approx(0.25 * len(digits.train), abs=10)
    assert held.clean is None
    assert len(training.given) == len(training.task.inputs) == len(training.data.train)


def test_a_network_on_frozen_features_learns_on_their_vectors():
    images = torch.randint(0, 255, (24, 3, 8, 8), generator=seeded(1), dtype=torch.uint8)
    labels = torch.arange(24) % 3
    split = Split(images, labels, labels, ("a", "b", "c"))
    recipe = recipes.load("digits", {"train.epochs": 2, "model.features": "patches", "train.hold_out": 0.25})
    outcome = fit(Data("tiny", split, split, "0" * 64), None, "elr", recipe, seed=1, device="cpu")
    assert outcome.model.body[1].in_features != 3 * 8 * 8  # vectors, not pixels
    assert set(outcome.also) == {HELD_OUT}
    model = artifacts.of_outcome(outcome, Data("tiny", split, split, "0" * 64), recipe)
    correct = model.predict(images) == [split.classes[label] for label in labels.tolist()]
    assert 100 * correct.mean() == pytest.approx(outcome.accuracy)
    with pytest.raises(UnknownNameError, match="did you mean"):
        fit(Data("x", split, split, "1" * 64), None, "ce", recipes.load("digits", {"model.features": "patch"}), seed=1)
