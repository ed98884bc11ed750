"""Data that Python holds: arrays, frames, lists of paths and data sets of other libraries."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from noiseproof import data
from noiseproof.data.dataset import Files, Texts
from noiseproof.errors import DataError, InputError
from support.made_files import CLASSES, COUNT, NUMBERS, TEXTS, labels_of, png

WORDS = ["so good", "so bad", "quite good", "quite bad"] * 5
LABELS = ["+", "-", "+", "-"] * 5


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_arrays_of_any_kind_come_with_their_labels():
    labels = ["b", "a"] * 10
    for inputs, kind in (
        (np.zeros((20, 3)), (torch.float32, 2)),
        (torch.zeros(20, 3, dtype=torch.bfloat16), (torch.float32, 2)),
        ([[1, 2], [3, 4]] * 10, (torch.float32, 2)),
        (np.zeros((20, 8, 8), np.uint8), (torch.uint8, 4)),
        (np.random.default_rng(0).random((20, 8, 8, 3)), (torch.uint8, 4)),
    ):
        found = data.load(inputs, labels)
        assert (found.train.inputs.dtype, found.train.inputs.dim()) == kind
        assert labels_of(found) == labels
    sparse = pytest.importorskip("scipy.sparse")
    assert data.load(sparse.eye(20, format="csr"), labels).everything().inputs.equal(torch.eye(20))
    assert isinstance(data.load(WORDS, LABELS).train.inputs, Texts)
    assert data.load((np.zeros((20, 3)), [True, False] * 10)).classes == ("False", "True")
    with pytest.raises(InputError, match="20 labels are expected"):
        data.load(np.zeros((20, 3)), [0, 1, 2])


def test_a_frame_keeps_its_index_and_its_categories():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"x": np.arange(20.0) % 7, "breed": pd.Categorical(["pug", "cat"] * 10)})
    frame.index = pd.Index([f"dog-{i}" for i in range(20)], name="animal")
    found = data.load(frame, label="breed")
    assert found.everything().origin.columns()["animal"][:2] == ["dog-0", "dog-1"]
    assert labels_of(found) == ["pug", "cat"] * 10
    other = data.load(frame[["x"]], frame["breed"])
    assert labels_of(other) == labels_of(found)


def test_a_hub_data_set_keeps_the_names_of_its_classes():
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    made = datasets.Dataset.from_dict({"text": WORDS, "label": [0, 1] * 10}, features)
    assert labels_of(data.load(made)) == ["neg", "pos"] * 10
    parts = datasets.DatasetDict({"train": made, "test": made.select(range(4))})
    found = data.load(parts)
    assert (len(found.train), len(found.test)) == (20, 4)


def test_arrays_go_by_many_names(tmp_path):
    x, y = np.array(NUMBERS, np.float64), np.array(CLASSES)
    for names in (
        ("train_data", "train_label"),
        ("xtrain", "ytrain"),
        ("feats", "lbls"),
        ("trainImages", "trainLabels"),
    ):
        np.savez(tmp_path / "x.npz", **dict(zip(names, (x, y), strict=True)))
        assert labels_of(data.load(tmp_path / "x.npz")) == CLASSES
    np.savez(tmp_path / "x.npz", feats=x, emb=x, lbls=y)
    with pytest.raises(DataError, match="feats and emb may each be meant"):
        data.load(tmp_path / "x.npz")


def test_python_objects_of_other_libraries_are_tables():
    frame = pd.DataFrame({"text": TEXTS, "label": CLASSES})
    pa = pytest.importorskip("pyarrow")
    for source in (frame.to_dict("records"), frame.to_records(index=False), pa.Table.from_pandas(frame)):
        assert labels_of(data.load(source)) == CLASSES
    bunch = {
        "data": np.array(NUMBERS, np.float64),
        "target": np.arange(COUNT) % 3,
        "target_names": np.array(["a", "b", "c"]),
    }
    assert labels_of(data.load(bunch)) == CLASSES


def test_labels_in_another_order_than_their_samples_are_refused():
    frame = pd.DataFrame(NUMBERS, columns=["w", "h"]).astype(float)
    labels = pd.Series(CLASSES)
    with pytest.raises(InputError, match="another order"):
        data.load(frame, labels.iloc[::-1])


def test_files_are_paths_when_they_are_asked_for():
    names = ["a/1.png", "b/2.png", "c/3.png"]
    files = Files(names)
    assert files == tuple(map(Path, names))
    assert list(files) == list(map(Path, names))
    assert (files[1], files[-1]) == (Path("b/2.png"), Path("c/3.png"))
    assert isinstance(files[1:], Files)
    assert Path("b/2.png") in files
    assert sorted(files, reverse=True)[0] == Path("c/3.png")
    assert (*files,) == tuple(files)
    assert files + (Path("d.png"),) == (*files, Path("d.png"))  # noqa: RUF005
    assert hash(files) == hash(tuple(map(Path, names)))
    assert list(files.take([2, 0])) == [Path("c/3.png"), Path("a/1.png")]


def test_pictures_of_a_hugging_face_data_set_are_read():
    datasets = pytest.importorskip("datasets")
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    pictures = [Image.open(io.BytesIO(png(i))) for i in range(8)]
    made = datasets.Dataset.from_dict({"image": pictures, "label": [0, 1] * 4}, features=datasets.Features(kinds))
    found = data.load(made)
    assert labels_of(found) == ["cat", "dog"] * 4
    shown = [np.asarray(Image.open(path)) for path in found.everything().inputs]
    assert all((a == np.asarray(b)).all() for a, b in zip(shown, pictures, strict=True))
