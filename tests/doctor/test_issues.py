"""Label issues from probabilities: estimates and rankings against the truth, and refusals."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from cleanlab.count import compute_confident_joint, estimate_joint
from sklearn.metrics import roc_auc_score

import noiseproof
from conftest import count
from noiseproof.doctor import find_label_issues, probabilities
from noiseproof.doctor.confident_joint import confident_joint
from noiseproof.errors import InputError


def made(matrix: np.ndarray, *, samples: int = 4000, sharp: float = 6.0, seed: int = 1):
    """True and given labels and the probabilities of a classifier that is calibrated for the true one."""
    random = np.random.default_rng(seed)
    classes = len(matrix)
    scores = random.normal(size=(samples, classes)) + sharp * np.eye(classes)[random.integers(classes, size=samples)]
    p = np.exp(scores * 1.5)
    p /= p.sum(1, keepdims=True)
    clean = np.array([random.choice(classes, p=row) for row in p])
    given = np.array([random.choice(classes, p=matrix[label]) for label in clean])
    return clean, given, p


def symmetric(classes: int, rate: float) -> np.ndarray:
    return np.full((classes, classes), rate / (classes - 1)) + (1 - rate - rate / (classes - 1)) * np.eye(classes)


PAIRS = 0.7 * np.eye(4) + 0.3 * np.roll(np.eye(4), 1, axis=1)


@pytest.mark.parametrize("matrix", [symmetric(3, 0.2), symmetric(5, 0.4), symmetric(5, 0.6), PAIRS, np.eye(4)])
def test_rate_and_matrix_are_found_from_probabilities_of_the_true_label(matrix):
    clean, given, p = made(matrix)
    found = find_label_issues(given, p)
    assert found.rate == pytest.approx((clean != given).mean(), abs=0.03)
    assert np.abs(found.transition - matrix).max() < 0.06
    np.testing.assert_allclose(found.transition.sum(1), 1)


@pytest.mark.parametrize("power", [0.3, 4.0])
def test_probabilities_that_are_too_flat_or_too_sharp_are_seen_through(power):
    clean, given, p = made(symmetric(5, 0.4))
    bent = p**power / (p**power).sum(1, keepdims=True)
    found = find_label_issues(given, bent)
    assert found.rate == pytest.approx((clean != given).mean(), abs=0.04)
    assert found.exponent == pytest.approx(found_from(p, given).exponent / power, rel=0.2)


def found_from(p, given):
    return find_label_issues(given, p)


def test_probabilities_of_the_given_label_do_not_hide_the_noise():
    """A calibrated classifier of the noisy labels: everything would be explained without any noise."""
    clean, given, p = made(symmetric(5, 0.4))
    found = find_label_issues(given, p @ symmetric(5, 0.4))
    assert found.rate == pytest.approx((clean != given).mean(), abs=0.06)


def test_the_ranking_uses_the_noise_and_beats_self_confidence_where_it_has_a_direction():
    clean, given, p = made(PAIRS, sharp=3.0)
    found = find_label_issues(given, p)
    wrong = clean != given
    ours = roc_auc_score(wrong, -np.argsort(found.ranking))
    plain = roc_auc_score(wrong, -p[np.arange(len(given)), given])
    assert ours > plain + 0.005


def test_score_ranking_and_flags_agree():
    _, given, p = made(symmetric(4, 0.3))
    found = find_label_issues(given, p)
    assert (np.diff(found.score[found.ranking]) <= 1e-12).all()
    assert sorted(found.ranking.tolist()) == list(range(len(given)))
    assert found.is_issue[found.ranking[: len(found)]].all()
    assert (found.likely[found.is_issue] != given[found.is_issue]).all()
    assert found.rate == pytest.approx(found.score.mean(), abs=1e-6)
    assert found.rate_interval[0] <= found.rate <= found.rate_interval[1]


def test_names_of_classes_and_order_of_samples_do_not_matter():
    _, given, p = made(PAIRS, samples=800)
    order, names = np.random.default_rng(2).permutation(800), np.array([2, 0, 3, 1])
    one, other = find_label_issues(given, p), find_label_issues(names[given][order], p[order][:, np.argsort(names)])
    assert other.rate == pytest.approx(one.rate, abs=1e-3)
    np.testing.assert_allclose(other.transition[np.ix_(names, names)], one.transition, atol=5e-3)
    np.testing.assert_allclose(other.score, one.score[order], atol=5e-3)


def test_the_confident_joint_is_cleanlabs():
    for seed in range(count(2, 20)):
        _, given, p = made(symmetric(4, 0.3), samples=600, seed=seed)
        transition, rate = confident_joint(p, given)
        joint = estimate_joint(given, p, confident_joint=compute_confident_joint(given, p, calibrate=False))
        # cleanlab rounds its counts to whole samples: no count is off by more than one.
        assert rate == pytest.approx(1 - joint.trace(), abs=4 / 600)
        np.testing.assert_allclose(transition, (joint / joint.sum(0)).T, atol=4 / 600 / joint.sum(0).min())


def test_classes_that_are_mostly_called_something_else_are_named():
    matrix = np.eye(4)
    matrix[2] = [0.0, 0.1, 0.35, 0.55]
    clean, given, p = made(matrix, sharp=8.0)
    found = find_label_issues(given, p)
    assert found.not_dominant == (2,)
    assert found.classes[2].rival == 3
    assert any("own label" in warning for warning in found.warnings)
    assert any("class 2" in reason for reason in found.suggestion.reasons)
    assert clean.shape == given.shape


def test_a_guessing_classifier_is_met_with_a_warning_or_no_suspects():
    random = np.random.default_rng(0)
    given = random.integers(3, size=900)
    p = random.dirichlet(np.ones(3), size=900)
    found = find_label_issues(given, p)
    assert np.isfinite(found.score).all()
    assert found.warnings or found.rate > 0.4


def test_saturated_and_zero_probabilities_are_fine():
    given = np.array([0, 0, 1, 1, 1, 2, 2, 2, 0])
    p = np.eye(3)[[0, 0, 1, 1, 1, 2, 2, 2, 1]]
    found = find_label_issues(given.tolist(), torch.tensor(p))
    assert found.ranking[0] == 8
    assert found.likely[8] == 1
    assert np.isfinite(found.score).all()


def test_a_class_that_no_label_names_is_left_out_by_name():
    _, given, p = made(symmetric(3, 0.2), samples=600)
    wider = np.concatenate([p, np.zeros((600, 1))], axis=1)
    one, other = find_label_issues(given, p), find_label_issues(given, wider)
    np.testing.assert_array_equal(one.is_issue, other.is_issue)
    assert any("no given label names" in warning and "3" in warning for warning in other.warnings)


@pytest.mark.parametrize("kind", [np.float16, np.float32, torch.bfloat16, "file"])
def test_any_floating_type_and_a_mapped_file_give_the_same_answer(kind, tmp_path):
    _, given, p = made(symmetric(3, 0.3), samples=900)
    expected = find_label_issues(given, p)
    if kind == "file":
        np.save(tmp_path / "p.npy", p.astype(np.float32))
        values = np.load(tmp_path / "p.npy", mmap_mode="r")
    else:
        values = torch.tensor(p).to(kind) if isinstance(kind, torch.dtype) else p.astype(kind)
    found = find_label_issues(torch.tensor(given), values)
    assert found.rate == pytest.approx(expected.rate, abs=0.01)
    assert (found.is_issue == expected.is_issue).mean() > 0.98


def test_blocks_of_rows_change_nothing(monkeypatch):
    _, given, p = made(PAIRS, samples=700)
    whole = find_label_issues(given, p)
    monkeypatch.setattr(probabilities, "_BLOCK", 4 * 13)
    parts = find_label_issues(given, p)
    np.testing.assert_array_equal(whole.ranking, parts.ranking)
    np.testing.assert_allclose(whole.transition, parts.transition, atol=1e-6)


def test_labels_equal_to_the_predictions_raise_a_warning():
    given = np.arange(300) % 3
    found = find_label_issues(given, 0.9 * np.eye(3)[given] + 0.1 / 3)
    assert any("cross-validation" in warning for warning in found.warnings)


EVEN = np.full((4, 2), 0.5)


@pytest.mark.parametrize(
    ("given", "p", "words"),
    [
        ([0, 1, 0], EVEN, "3 labels, pred_probs has 4 rows"),
        ([0, 1, 0, 2], EVEN, r"0\.\.1"),
        ([0, 1, 0, -1], EVEN, "-1 in row 3"),
        ([0, 1, 0, 0.5], EVEN, "whole numbers"),
        (["a", "b", "a", "b"], EVEN, "whole numbers"),
        ([0, 1, 0, 1], EVEN * 1.5, "add up to 1; row 0 adds up to 1.5"),
        ([0, 1, 0, 1], EVEN * [[1, 1], [1, 1], [np.nan, 1], [1, 1]], "row 2 is not"),
        ([0, 1, 0, 1], EVEN + np.array([1, -1]), "softmax"),
        ([0, 1, 0, 1], EVEN[:, 0], r"\(N, K\)"),
        (np.eye(2)[[0, 1, 0, 1]], EVEN, "argmax"),
        ([], np.zeros((0, 2)), "nothing to judge"),
        ([0, 1, 0, 1], [[0.5, 0.5], [1.0], [0.5, 0.5], [0.5, 0.5]], "rectangular"),
        ([0, 1, 0, 1], [["x", "y"]] * 4, "numbers"),
    ],
)
def test_input_that_cannot_be_judged_is_refused_with_a_reason(given, p, words):
    with pytest.raises(InputError, match=words):
        noiseproof.find_label_issues(given, p)


def test_the_csv_has_every_sample_and_no_formulas():
    given = np.array([0] * 10 + [1] * 10)
    p = np.eye(2)[[0] * 10 + [1] * 9 + [0]] * 0.9 + 0.05
    lines = list(csv.DictReader(io.StringIO(replace(find_label_issues(given, p), names=("=cmd()", "b,c")).csv())))
    assert len(lines) == 20
    assert list(lines[0]) == ["index", "given", "likely", "suspicion", "is_issue"]
    assert [lines[0][key] for key in ("index", "given", "likely", "is_issue")] == ["19", "b,c", "'=cmd()", "1"]
    assert sum(int(line["is_issue"]) for line in lines) == 1


def test_json_and_text_are_plain():
    _, given, p = made(symmetric(3, 0.3), samples=300)
    found = find_label_issues(given, p)
    plain = json.loads(json.dumps(found.to_json()))
    assert plain["suspects"] == len(found)
    assert plain["suggestion"]["method"] == found.suggestion.method
    assert found.suggestion.method in str(found)
