"""Soft and one-hot labels: read as they are, refused where they are neither, and trained on where that is asked for."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from noiseproof import data, recipes
from noiseproof.data.load import with_options
from noiseproof.data.readers.soft_labels import label_rows
from noiseproof.errors import DataError, InputError
from noiseproof.train import fit

NAMES = ["cat", "dog", "owl"]
COUNT = 60


def labels_of(seed: int = 0) -> np.ndarray:
    """Three classes, each often."""
    return np.random.default_rng(seed).permutation(np.arange(COUNT) % 3)


def inputs_of(labels: np.ndarray) -> np.ndarray:
    rows = np.random.default_rng(1).normal(size=(len(labels), 4)).astype(np.float32)
    rows[np.arange(len(labels)), labels] += 3
    return rows


def soft_of(labels: np.ndarray, share: float = 0.8) -> np.ndarray:
    rows = np.full((len(labels), 3), (1 - share) / 2)
    rows[np.arange(len(labels)), labels] = share
    return rows


LABELS = labels_of()
INPUTS = inputs_of(LABELS)
ONE_HOT = np.eye(3, dtype=np.int64)[LABELS]
SOFT = soft_of(LABELS)


def frame(**more: object) -> pd.DataFrame:
    return pd.DataFrame({**{f"x{place}": column for place, column in enumerate(INPUTS.T)}, **more})


def write(folder: Path, form: str) -> Path:
    """The same soft targets in each form."""
    path = folder / f"soft.{form.partition(' ')[0]}"
    if form == "npz":
        np.savez(path, x=INPUTS, y=SOFT.astype(np.float32))
    elif form == "parquet":
        frame(label=SOFT.tolist()).to_parquet(path)
    elif form == "jsonl":
        frame(label=SOFT.tolist()).to_json(path, orient="records", lines=True)
    elif form == "csv percent":
        frame(**{f"p_{name}": (100 * column).round(1) for name, column in zip(NAMES, SOFT.T, strict=True)}).to_csv(
            path, index=False
        )
    else:
        frame(**{f"p_{name}": column for name, column in zip(NAMES, SOFT.T, strict=True)}).to_csv(path, index=False)
    return path


@pytest.mark.parametrize("form", ["npz", "parquet", "jsonl", "csv", "csv percent"])
def test_soft_labels_are_read_from_every_form(tmp_path, form):
    path = write(tmp_path, form)
    plain, soft = data.load(path), data.load(path, soft=True)
    assert plain.train.soft is None
    assert any("--soft trains on the shares of all classes" in note for note in plain.notes)
    whole = soft.everything()
    assert whole.given.tolist() == LABELS.tolist()
    assert list(soft.classes) == (NAMES if form.startswith("csv") else ["0", "1", "2"])
    torch.testing.assert_close(whole.soft, torch.from_numpy(SOFT).float(), atol=1e-6, rtol=0)
    assert plain.fingerprint != soft.fingerprint
    again = data.load(with_options(str(path), label=plain.reading.assumed.get("--label"), soft=True))
    assert again.fingerprint == soft.fingerprint


@pytest.mark.parametrize("kind", ["int", "float", "bool", "list", "tensor", "sparse", "frame"])
def test_one_hot_rows_are_the_columns_of_the_ones(tmp_path, kind):
    rows = {
        "int": lambda: ONE_HOT,
        "float": lambda: ONE_HOT.astype(np.float32),
        "bool": lambda: ONE_HOT.astype(bool),
        "list": ONE_HOT.tolist,
        "tensor": lambda: torch.from_numpy(ONE_HOT),
        "sparse": lambda: pytest.importorskip("scipy.sparse").csr_matrix(ONE_HOT),
        "frame": lambda: pd.DataFrame(ONE_HOT, columns=NAMES),
    }[kind]()
    found = data.load(INPUTS, rows)
    assert found.everything().given.tolist() == LABELS.tolist()
    assert list(found.classes) == (NAMES if kind == "frame" else ["0", "1", "2"])
    assert found.annotations is None
    assert data.load(frame(), rows).everything().given.tolist() == LABELS.tolist()


def test_a_class_that_no_row_names_is_none():
    wide = np.concatenate([SOFT, np.zeros((COUNT, 2))], axis=1)
    assert data.load(INPUTS, wide).classes == ("0", "1", "2")
    assert data.load(INPUTS, wide[:, [3, 0, 1, 4, 2]]).classes == ("1", "2", "4")


@pytest.mark.parametrize(
    "rows",
    [
        np.random.default_rng(0).integers(0, 3, (COUNT, 5)),  # answers of five annotators
        np.random.default_rng(0).integers(0, 2, (COUNT, 4)) | np.array([1, 1, 0, 0]),  # several labels a sample
        SOFT * 0.9,
        SOFT - 0.2,
        np.where(SOFT > 0.5, np.nan, SOFT),
        np.array([["cat", "dog"]] * COUNT),
    ],
)
def test_rows_that_are_neither_are_refused(rows):
    with pytest.raises(DataError, match="one label a sample"):
        label_rows(rows, "y")


def test_soft_targets_that_are_not_there_are_refused(tmp_path):
    with pytest.raises(DataError, match="one label a sample is no soft target"):
        data.load(INPUTS, LABELS, soft=True)


def annotators(folder: Path, answers: np.ndarray) -> Path:
    path = folder / "wide.csv"
    columns = {f"ann{place}": [NAMES[k] for k in column] for place, column in enumerate(answers.T)}
    frame(**columns).to_csv(path, index=False)
    return path


def test_shares_of_annotators_follow_their_samples(tmp_path):
    answers = np.stack([LABELS, LABELS, np.random.default_rng(2).integers(0, 3, COUNT)], axis=1)
    found = data.load(annotators(tmp_path, answers), soft=True)
    for split in (found.train, found.test):
        index = split.origin.index
        wanted = np.stack([(answers[index] == k).mean(axis=1) for k in range(3)], axis=1)
        torch.testing.assert_close(split.soft, torch.from_numpy(wanted).float())


def curves(found: data.Data, loss: str) -> list[float]:
    return fit(found, None, loss, recipes.load("digits", {"train.epochs": 2}), seed=1).curves["train_loss"]


@pytest.mark.parametrize("loss", ["ce", "gce", "nce + amse(a=30)"])
def test_answers_that_agree_train_as_the_label_does_and_others_do_not(tmp_path, loss):
    path = annotators(tmp_path, np.stack([LABELS] * 3, axis=1))
    assert curves(data.load(path, soft=True), loss) == pytest.approx(curves(data.load(path), loss), rel=1e-5)
    path = annotators(tmp_path, np.stack([LABELS, LABELS, (LABELS + 1) % 3], axis=1))
    assert curves(data.load(path, soft=True), loss) != pytest.approx(curves(data.load(path), loss), rel=1e-3)


def test_methods_and_noise_that_change_labels_refuse_soft_targets(tmp_path):
    from noiseproof import noise

    found = data.load(annotators(tmp_path, np.stack([LABELS] * 3, axis=1)), soft=True)
    with pytest.raises(InputError, match="takes one label a sample; with --soft give a loss"):
        curves(found, "elr(loss=ce)")
    noisy = noise.corrupt(found.train.given, "symmetric(0.2)", num_classes=3, seed=1)
    with pytest.raises(InputError, match="leave --soft out or give --noise clean"):
        fit(found, noisy, "ce", recipes.load("digits", {"train.epochs": 1}), seed=1)


def test_the_classifier_takes_one_hot_and_soft_rows():
    pytest.importorskip("skorch")
    from noiseproof import NoisyLabelClassifier

    def proba(y: object) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = NoisyLabelClassifier(loss="ce", epochs=30, hidden=(8,), lr=0.05, random_state=0)
            return model.fit(INPUTS, y).predict_proba(INPUTS)

    hard = proba(LABELS)
    np.testing.assert_array_equal(proba(ONE_HOT), hard)
    model = NoisyLabelClassifier(loss="ce", epochs=1, lr=0.05).fit(INPUTS, pd.DataFrame(SOFT, columns=["b", "c", "a"]))
    assert list(model.classes_) == ["a", "b", "c"]
    even = proba(np.full((COUNT, 3), 1 / 3) + 1e-6 * (ONE_HOT - 1 / 3))
    assert even.max() < 0.6 < np.median(hard.max(axis=1))  # cross-entropy with even targets is least at even answers
