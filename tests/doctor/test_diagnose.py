"""The doctor: estimates and rankings against the truth, refusals, and pages that hold hostile names."""

from __future__ import annotations

import csv
import html
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from cleanlab.count import compute_confident_joint, estimate_joint
from PIL import Image
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

import noiseproof
from conftest import count
from noiseproof import data, noise
from noiseproof.data import Data, Split
from noiseproof.doctor import diagnose, find_label_issues
from noiseproof.doctor.crossfit import folds_of
from noiseproof.doctor.transition_estimate import confident_joint, explain
from noiseproof.errors import InputError
from noiseproof.features.patches import features


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
    assert found.exponent == pytest.approx(found_from(p, given).exponent / power, rel=0.1)


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


def test_score_ranking_and_suspects_say_the_same():
    _, given, p = made(symmetric(4, 0.3))
    found = find_label_issues(given, p)
    assert (np.diff(found.score[found.ranking]) <= 1e-12).all()
    assert sorted(found.ranking.tolist()) == list(range(len(given)))
    assert (found.likely[~found.is_issue] == given[~found.is_issue]).all()
    assert (found.score[found.is_issue] >= 0.5 - 1e-9).any()
    assert len(found) == found.is_issue.sum()
    assert found.rate == pytest.approx(found.score.mean())


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


def test_the_fit_starts_from_a_subset_but_judges_everyone():
    _, given, p = made(symmetric(3, 0.3), samples=25_000)
    found = explain(np.log(p), given)
    assert found.log_posterior.shape == (25_000, 3)
    np.testing.assert_allclose(np.exp(found.log_posterior).sum(1), 1, atol=1e-9)


EVEN = np.full((4, 2), 0.5)


@pytest.mark.parametrize(
    ("given", "p", "words"),
    [
        ([0, 1, 0], EVEN, "3 labels, pred_probs has 4 rows"),
        ([0, 1, 0, 2], EVEN, r"0\.\.1"),
        ([0, 1, 0, -1], EVEN, "-1 in row 3"),
        ([0, 0, 0, 0], EVEN, "no given label names class 1"),
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
    assert lines[0] == {"index": "19", "given": "b,c", "likely": "'=cmd()", "score": lines[0]["score"], "suspect": "1"}
    assert sum(int(line["suspect"]) for line in lines) == 1


def test_json_and_text_are_plain():
    _, given, p = made(symmetric(3, 0.3), samples=300)
    found = find_label_issues(given, p)
    told = json.loads(json.dumps(found.to_json()))
    assert told["suspects"] == len(found)
    assert told["suggestion"]["method"] == found.suggestion.method
    assert found.suggestion.method in str(found)


# Cross-fitting


def test_folds_are_even_in_size_and_in_every_class():
    given = np.repeat([0, 1, 2], [50, 31, 7])
    fold = folds_of(given, 5, seed=1)
    assert np.ptp(np.bincount(fold)) <= 1
    for label in range(3):
        assert np.ptp(np.bincount(fold[given == label], minlength=5)) <= 1
    with pytest.raises(InputError, match="folds"):
        folds_of(given, 1, seed=1)


def test_the_doctor_finds_spoiled_digits():
    digits = data.load("digits")
    noisy = noise.corrupt(digits.train.given, "symmetric(0.3)", num_classes=10, seed=3)
    spoiled = Split(digits.train.inputs, torch.as_tensor(noisy.labels), None, digits.classes)
    found = diagnose(Data("digits", spoiled, digits.test, ""), folds=2, overrides={"train.epochs": 25})
    assert found.issues.rate == pytest.approx(noisy.rate, abs=0.05)
    assert roc_auc_score(noisy.flipped, found.issues.score) > 0.95
    assert (found.issues.likely == digits.train.given.numpy()).mean() > 0.9


def test_clean_labels_are_never_looked_at():
    digits = data.load("digits")
    part = digits.train.take(range(300))
    options = {"folds": 2, "overrides": {"train.epochs": 3}}
    known = diagnose(
        Data("digits", Split(part.inputs, part.given, part.given, part.classes), digits.test, ""), **options
    )
    told = Split(part.inputs, part.given, part.given.flip(0), part.classes)
    other = diagnose(Data("digits", told, digits.test, ""), **options)
    np.testing.assert_array_equal(known.issues.score, other.issues.score)


def pictures(tmp_path, names=("cat", "<script>alert(1)</script>")) -> Data:
    random = np.random.default_rng(0)
    paths = []
    for index in range(40):
        path = tmp_path / f"{index}_<b>.png"
        shade = 60 + 120 * (index % 2)
        Image.fromarray(random.integers(shade - 50, shade + 50, (12, 12, 3)).astype(np.uint8)).save(path)
        paths.append(path)
    given = torch.arange(40) % 2
    given[:4] = 1 - given[:4]
    images = torch.stack([torch.from_numpy(np.array(Image.open(path))).permute(2, 0, 1) for path in paths])
    return Data("tiny <i>", Split(images, given, None, names), Split(images, given, None, names), "")


def test_the_page_is_self_contained_and_names_stay_text(tmp_path):
    found = diagnose(
        pictures(tmp_path),
        recipe="cifar10",
        overrides={"model.name": "mlp", "model.hidden": [16], "train.epochs": 20, "train.batch_size": 8},
        folds=2,
    )
    written = found.write(tmp_path / "out")
    assert [path.name for path in written] == ["issues.csv", "diagnosis.json", "diagnosis.html"]
    page = written[2].read_text()
    assert "default-src 'none'" in html.unescape(page)
    assert "<script" not in page
    assert "<i>" not in page
    assert "&lt;script&gt;" in page
    assert "http" not in page.replace("http-equiv", "")
    assert len(found.issues) == len(re.findall(r'<img src="data:image/png;base64,', page))
    assert json.loads(written[1].read_text())["suspects"] == len(found.issues)
    assert len(written[0].read_text().splitlines()) == 41


def test_own_data_is_judged_whole_and_in_its_own_order(tmp_path):
    random = np.random.default_rng(0)
    given = np.arange(60) % 3
    features = (3 * np.eye(3)[given] + random.normal(size=(60, 3))).astype(np.float32)
    given[7] = (given[7] + 1) % 3
    np.savez(tmp_path / "own.npz", x=features, y=given)
    found = diagnose(tmp_path / "own.npz", folds=3, overrides={"train.epochs": 30})
    assert len(found.split) == 60
    np.testing.assert_array_equal(found.issues.given, given)
    assert 7 in found.issues.ranking[:6]


def test_pictures_are_judged_by_features_that_know_no_label(tmp_path):
    """Of files and of tensors, of any size and of one colour or three; the samples and their order stay."""
    random = np.random.default_rng(0)
    for size, channels in (((40, 60), 3), ((70, 50), 3), ((28, 28), 1), ((5, 9), 1)):
        pixels = random.integers(0, 256, (6, channels, *size)).astype(np.uint8)
        split = Split(torch.from_numpy(pixels), torch.arange(6) % 2, None, ("a", "b"))
        found = features(split)
        assert found.inputs.shape[0] == 6
        assert found.inputs.dtype == torch.float32
        assert torch.isfinite(found.inputs).all()
        assert found.given.equal(split.given)
        other = features(replace(split, given=1 - split.given))
        assert other.inputs.equal(found.inputs)
    numbers = Split(torch.zeros(4, 2), torch.arange(4) % 2, None, ("a", "b"))
    assert features(numbers) is numbers


def test_a_folder_of_pictures_needs_no_recipe_and_no_hour(tmp_path):
    random = np.random.default_rng(0)
    for index in range(60):
        pixels = random.integers(0, 256, (48, 64, 3))
        kind = index % 2
        if kind:  # stripes against noise
            pixels[:, :, :] = 255 * (np.arange(64)[None, :, None] // 4 % 2)
        called = kind if index not in (10, 11) else 1 - kind
        folder = tmp_path / "photos" / ("noise", "stripes")[called]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index:02}.png")
    found = diagnose(tmp_path / "photos", folds=3)
    suspects = {found.split.inputs[i].name for i in np.flatnonzero(found.issues.is_issue)}
    assert suspects == {"10.png", "11.png"}
    page = found.write(tmp_path / "out")[2].read_text()
    assert len(re.findall(r'<img src="data:image/png;base64,', page)) == 2


def test_too_few_samples_are_refused_by_name():
    inputs = torch.zeros(5, 2)
    lonely = Split(inputs, torch.tensor([0, 0, 0, 0, 1]), None, ("many", "one"))
    with pytest.raises(InputError, match="too few: one"):
        diagnose(Data("x", lonely, lonely, ""), recipe="digits")


def test_the_command_prints_writes_and_refuses(tmp_path):
    from noiseproof.cli.diagnose import diagnose as command

    typer = pytest.importorskip("typer")
    app = typer.Typer()
    app.command()(command)
    run = CliRunner().invoke
    said = run(app, ["digits", "--noise", "symmetric(0.3)", "--folds", "2", "--epochs", "8", "--json"])
    assert said.exit_code == 0, said.output
    told = json.loads(said.stdout)
    assert told["rate"] == pytest.approx(0.3, abs=0.15)
    assert len(told["most_suspect"]) == 100
    said = run(app, ["digits", "--folds", "2", "--epochs", "3", "--out", str(tmp_path / "d")])
    assert "diagnosis.html" in said.stdout
    assert (tmp_path / "d" / "issues.csv").is_file()
    said = run(app, ["digitz"])
    assert isinstance(said.exception, InputError)
