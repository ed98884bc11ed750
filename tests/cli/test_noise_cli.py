"""`noiseproof noise`: what it prints, what it writes, how it refuses."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from noiseproof import data, noise
from noiseproof.cli.noise import noise as command
from noiseproof.errors import DataMissingError, InputError

APP = typer.Typer()
APP.command()(command)


def run(*words):
    done = CliRunner().invoke(APP, list(map(str, words)))
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0
    return done.stdout


def test_the_json_says_what_corrupt_makes_of_the_clean_labels():
    facts = json.loads(run("digits", "symmetric(0.4)", "--seed", 3, "--json"))
    clean = data.load("digits").train.clean
    noisy = noise.corrupt(clean, "symmetric(0.4)", num_classes=10, seed=3)
    assert facts == {
        "data": "digits",
        "noise": "symmetric(rate=0.4)",
        "seed": 3,
        "samples": len(clean),
        "flipped": int(noisy.flipped.sum()),
        "rate": noisy.rate,
        "sha256": noisy.sha256,
        "overtaken": [],
        "transition": noisy.transition.tolist(),
    }


def test_the_summary_names_rate_hash_and_classes():
    printed = run("digits", "asymmetric(0.6)", "--seed", 3)
    noisy = noise.corrupt(data.load("digits").train.clean, "asymmetric(0.6)", num_classes=10, seed=3, data="digits")
    assert "digits, asymmetric(rate=0.6), seed 3" in printed
    assert f"{noisy.flipped.sum()} of 1438 labels ({noisy.rate:.2%})" in printed
    assert noisy.sha256 in printed
    assert "overtaken  2, 3, 5, 6, 7 (own label not the most frequent)" in printed
    row = next(line for line in printed.splitlines() if line.split()[:1] == ["7"])
    assert row.split() == ["7", f"{noisy.transition[7, 7]:.2%}", "1", f"{noisy.transition[7, 1]:.2%}"]


@pytest.mark.parametrize("ending", ["npy", "txt", "csv"])
def test_the_labels_are_written_with_their_description_beside_them(tmp_path, ending):
    out = tmp_path / f"given.{ending}"
    facts = json.loads(run("digits", "pairflip(0.3)", "--out", out, "--json"))
    if ending == "npy":
        labels = np.load(out, allow_pickle=False)
        assert labels.dtype == np.int64
    elif ending == "txt":
        labels = np.array(out.read_text().split(), dtype=int)
    else:
        header, *rows = out.read_text().splitlines()
        assert header == "label,flipped"
        labels, flipped = np.array([row.split(",") for row in rows], dtype=int).T
        assert (flipped == (labels != data.load("digits").train.clean.numpy())).all()
    assert hashlib.sha256(labels.astype(np.uint8).tobytes()).hexdigest() == facts["sha256"]
    assert json.loads((tmp_path / f"given.{ending}.json").read_text()) == facts


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_the_matrix_is_drawn(tmp_path, ending):
    plot = tmp_path / f"T.{ending}"
    run("digits", "symmetric(0.4)", "--plot", plot)
    assert plot.read_bytes()[:5] in (b"\x89PNG\r", b"<?xml", b"%PDF-")
    if ending == "png":
        with Image.open(plot) as image:
            assert min(image.size) > 500
            assert len(np.unique(np.asarray(image.convert("L")))) > 50


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("digits", "symmetric(1.5)"), r"rate must lie in \[0, 1\], got rate=1.5"),
        (("digits", "symmetrical(0.4)"), "did you mean 'symmetric'"),
        (("digitz", "clean"), "digits"),
        (("digits", "human(worst)"), "are labels of cifar10, got data 'digits'"),
        (("digits", "symmetric(0.4)", "--out", "given.xls"), "the ending of given.xls must be one of .npy, .csv, .txt"),
        (("digits", "symmetric(0.4)", "--plot", "T.bmp"), "the ending of T.bmp must be one of .png, .pdf, .svg"),
        (("digits", "symmetric(0.4)", "--seed", "-1"), "seed must be a whole number from 0, got -1"),
    ],
)
def test_what_cannot_be_done_is_refused_before_anything_is_written(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        run(*words)
    assert list(tmp_path.iterdir()) == []


def test_labels_by_people_are_read_from_the_data_root(cifar_root, real_data, tmp_path):
    (tmp_path / "cifar-10-batches-py").symlink_to(cifar_root / "cifar-10-batches-py")
    with pytest.raises(DataMissingError, match="no published labels in"):
        run("cifar10", "human(worst)", "--data-root", tmp_path, "--json")
    (tmp_path / "cifar-n").symlink_to(real_data / "cifar-n")
    (tmp_path / "instance-dependent").symlink_to(real_data / "instance-dependent")
    people = json.loads(run("cifar10", "human(worst)", "--data-root", tmp_path, "--json"))
    fixed = json.loads(run("cifar10", "instance(0.4, convention=jal)", "--data-root", tmp_path, "--json"))
    assert (people["flipped"], fixed["rate"]) == (20104, 0.4)


def test_of_many_classes_those_that_keep_least_are_shown(cifar_root, real_data, tmp_path):
    (tmp_path / "cifar-100-python").symlink_to(cifar_root / "cifar-100-python")
    (tmp_path / "cifar-n").symlink_to(real_data / "cifar-n")
    printed = run("cifar100", "human(noisy)", "--data-root", tmp_path, "--plot", tmp_path / "T.png")
    assert "flipped    20100 of 50000 labels (40.20%)" in printed
    assert "overtaken  59 pine_tree, 74 shrew, 81 streetcar" in printed
    rows = [line.split() for line in printed.splitlines() if "%" in line and "flipped" not in line]
    assert len(rows) == 20
    assert rows[0] == ["4", "beaver", "12.60%", "50", "mouse", "9.00%"]
    with Image.open(tmp_path / "T.png") as image:
        assert len(np.unique(np.asarray(image.convert("L")))) > 50


def test_noise_is_put_on_the_labels_of_own_data_and_said_to_be(tmp_path):
    rows = [f"{i % 7},{i % 5},{'cat' if i % 2 else 'dog'}" for i in range(200)]
    (tmp_path / "my.csv").write_text("\n".join(["a,b,label", *rows]))
    printed = run(tmp_path / "my.csv", "symmetric(0.25)")
    assert "flipped    50 of 200 labels (25.00%)" in printed
    assert "my.csv has no clean labels: the noise was put on the labels it came with" in printed
