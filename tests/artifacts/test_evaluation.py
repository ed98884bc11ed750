"""Evaluation: what is measured against noisy labels is said and corrected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from noiseproof import artifacts, data, noise
from noiseproof.artifacts.evaluation import evaluate
from noiseproof.artifacts.evaluation_page import page
from noiseproof.data.load import with_options
from noiseproof.errors import InputError


@pytest.fixture(scope="module")
def model():
    return artifacts.learn(data.load("digits"), only="kernel").model


def with_labels(rate: float):
    """Digits whose test labels are wrong at a rate, and the training labels too."""
    found = data.load("digits")
    labels = noise.corrupt(found.test.given, f"symmetric({rate})", num_classes=10, seed=1).labels
    return replace(found, test=replace(found.test, given=torch.from_numpy(labels), clean=None), fingerprint="other")


def test_against_clean_labels_nothing_is_corrected(model):
    found = evaluate(model, data.load("digits"))
    assert (found.against, found.corrected, found.perfect) == ("clean", None, None)
    assert found.accuracy > 0.95
    assert found.confusion.sum() == found.samples == 359
    assert np.trace(found.confusion) / 359 == pytest.approx(found.accuracy)


def test_the_noise_is_that_of_the_labels_measured_against_and_not_of_training(model):
    """The model's own labels were clean: its matrix says nothing about another file's labels."""
    truth = evaluate(model, data.load("digits")).accuracy
    noisy = with_labels(0.3)
    found = evaluate(model, noisy)
    wrong = float((noisy.test.given != data.load("digits").test.clean).float().mean())
    assert (found.against, found.estimated_on) == ("given", "these labels")
    assert found.rate == pytest.approx(wrong, abs=0.05)
    low, high = found.corrected_interval
    assert low - 0.03 <= truth <= high + 0.03
    assert "estimated on these labels" in str(found)


def test_labels_that_training_saw_the_noise_of_take_its_matrix(model):
    truth = evaluate(model, data.load("digits")).accuracy
    known = replace(
        model, about={**model.about, "estimated_transition": (0.7 * np.eye(10) + 0.3 / 9 * (1 - np.eye(10))).tolist()}
    )
    found = evaluate(known, replace(with_labels(0.3), fingerprint=model.about["fingerprint"]))
    assert found.estimated_on == "the training labels"
    assert found.against == "given"
    assert found.accuracy < 0.75
    assert found.perfect == pytest.approx(0.7, abs=1e-9)
    low, high = found.corrected_interval
    assert low - 0.03 <= truth <= high + 0.03
    assert "given labels, which may be partly wrong" in str(found)


def test_classes_that_the_model_does_not_know_are_refused(model):
    found = data.load("digits")
    renamed = tuple(f"digit {name}" for name in found.classes)
    other = replace(found, train=replace(found.train, classes=renamed), test=replace(found.test, classes=renamed))
    with pytest.raises(InputError, match="no class of digits is one of the model's"):
        evaluate(model, other)


def test_the_page_escapes_names(model):
    found = evaluate(model, data.load("digits"))
    assert "<script>" not in page(replace(found, data="<script>x</script>"), "<script>")


def test_own_data_goes_by_its_file(model, tmp_path):
    file = tmp_path / "d.npz"
    split = data.load("digits").test
    names = np.array([str(label) for label in split.given.tolist()])
    np.savez(file, x=split.inputs.numpy(), y=names)
    found = evaluate(model, data.load(with_options(str(file), strict=True)))
    assert found.data.endswith("d.npz")
    assert "file(" not in str(found)
