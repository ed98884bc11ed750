"""The diagnosis of a data set: inputs of every kind, networks as judges, and pages that hold hostile names."""

from __future__ import annotations

import html
import json
import re

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from noiseproof import data, noise
from noiseproof.cli.app import app
from noiseproof.data import Data, Split
from noiseproof.doctor import diagnose
from noiseproof.doctor.judges.base import folds_of
from noiseproof.errors import InputError

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
    assert [path.name for path in written] == ["issues.csv", "diagnosis.json", "diagnosis.html", "review.html"]
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


def test_a_class_of_one_sample_is_judged_and_named():
    random = np.random.default_rng(0)
    y = np.array(["many"] * 30 + ["more"] * 30 + ["one"])
    found = diagnose(random.normal(size=(61, 3)) + 4 * (y == "more")[:, None], y)
    assert found.classes == ("many", "more", "one")
    assert np.isfinite(found.scores).all()
    assert any("one sample" in warning and "one" in warning for warning in found.warnings)


def test_a_single_class_is_refused():
    with pytest.raises(InputError, match="two classes, found a"):
        diagnose(np.zeros((4, 2)), ["a"] * 4)


@pytest.mark.parametrize(
    ("labels", "said"),
    [(np.linspace(0.1, 9.9, 60), "no regression; .* pandas.qcut"), (np.eye(2)[[0, 1] * 30], r"judge y\[:, j\]")],
    ids=["measured numbers", "several labels a sample"],
)
def test_labels_that_are_no_classes_are_refused_with_what_to_do(labels, said):
    with pytest.raises(InputError, match=said):
        diagnose(np.zeros((60, 2)), labels)


def test_the_command_prints_writes_and_refuses(tmp_path):
    from noiseproof.cli.diagnose import diagnose as command

    typer = pytest.importorskip("typer")
    app = typer.Typer()
    app.command()(command)
    run = CliRunner().invoke
    said = run(app, ["digits", "--noise", "symmetric(0.3)", "--folds", "2", "--epochs", "8", "--json"])
    assert said.exit_code == 0, said.output
    plain = json.loads(said.stdout)
    assert plain["rate"] == pytest.approx(0.3, abs=0.15)
    assert len(plain["most_suspect"]) == 100
    said = run(app, ["digits", "--folds", "2", "--out", str(tmp_path / "d")])
    assert said.exit_code == 0, said.output
    assert "kernel ridge" in said.output
    assert "diagnosis.html" in said.stdout
    assert (tmp_path / "d" / "issues.csv").is_file()
    said = run(app, ["digitz"])
    assert isinstance(said.exception, InputError)


@pytest.mark.parametrize("kind", ["texts", "frame", "vectors"])
def test_every_kind_of_data_is_written_as_a_folder(kind, tmp_path):
    words = {"good": "fine lovely great", "bad": "awful poor dull"}
    labels = [("good", "bad")[i % 2] for i in range(60)]
    texts = [f"{words[label]} film number {i}" for i, label in enumerate(labels)]
    numbers = np.arange(60) % 2 + np.arange(60) / 60
    given = ["bad", *labels[1:]]
    kinds = {
        "texts": texts,
        "frame": pd.DataFrame({"colour": ["red" if label == "good" else "blue" for label in labels], "size": numbers}),
        "vectors": np.stack([numbers, -numbers], 1),
    }
    found = diagnose(kinds[kind], given)
    page, review = (path.read_text() for path in found.write(tmp_path / "out")[2:])
    assert found.ranking[0] == 0
    assert ("fine lovely great film number 0" in page) == (kind == "texts")
    assert ("fine lovely great film number 0" in review) == (kind == "texts")


def test_ids_and_copies_of_the_label_in_a_frame_are_not_learned_from():
    frame = pd.DataFrame({"x": np.arange(60) % 7, "label": np.repeat(["a", "b", "c"], 20)})
    plain = diagnose(frame, label="label")
    more = frame.assign(id=np.arange(60), label_code=np.repeat([0, 1, 2], 20), split="train")
    found = diagnose(more, label="label")
    assert np.array_equal(found.scores, plain.scores)
    assert found.split.origin.key == "id"


def test_the_command_judges_by_probabilities_of_a_model_in_any_order_of_rows(tmp_path):
    rows = [f"P{i:03d},{i / 7},{('cat', 'dog')[i % 2]}" for i in range(60)]
    (tmp_path / "own.csv").write_text("\n".join(["id,value,label", *rows]))
    sure = {f"P{i:03d}": (0.95, 0.05) if i % 2 == 0 else (0.05, 0.95) for i in range(60)}
    sure["P007"] = (0.95, 0.05)  # called dog
    lines = [f"{key},{dog},{cat}" for key, (cat, dog) in reversed(sure.items())]
    (tmp_path / "p.csv").write_text("\n".join(["id,dog,cat", *lines]))
    out = tmp_path / "found"
    words = ["diagnose", str(tmp_path / "own.csv"), "--probabilities"]
    done = CliRunner().invoke(app, [*words, str(tmp_path / "p.csv"), "--out", str(out)])
    assert done.exit_code == 0, done.output
    worst = pd.read_csv(out / "issues.csv").iloc[0]
    assert (worst.id, worst.given, worst.likely) == ("P007", "dog", "cat")
    (tmp_path / "p.csv").write_text("\n".join(["id,dog,cat", *lines[1:]]))
    done = CliRunner().invoke(app, [*words, str(tmp_path / "p.csv")])
    assert "no row for 1 samples (id P059)" in str(done.exception)
