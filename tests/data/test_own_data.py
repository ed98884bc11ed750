"""The user's own data: folders, CSV and .npz give the same split, and every refusal names the rows."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from noiseproof import data
from noiseproof.data.dataset import Origin, Texts, fingerprint
from noiseproof.data.readers.base import Parts
from noiseproof.data.readers.recognition import assemble
from noiseproof.data.reading_account import Reading
from noiseproof.errors import DataError, DataMissingError


def classes_of_pictures(folder: Path, counts: dict[str, int], ending: str = "png") -> Path:
    for number, (name, count) in enumerate(counts.items()):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            Image.new("RGB", (8, 8), (number, i, 0)).save(folder / name / f"{i}.{ending}")
    return folder


# Folders


def test_a_folder_of_class_folders_is_split_by_class(tmp_path):
    root = classes_of_pictures(tmp_path / "pets", {"dog": 10, "cat": 20})
    found = data.load(str(root))
    assert found.classes == ("cat", "dog")
    assert found.test.given.bincount().tolist() == [4, 2]
    assert found.train.given.bincount().tolist() == [16, 8]
    named = [found.classes[label] for label in found.train.given.tolist()]
    assert [path.parent.name for path in found.train.inputs] == named
    assert found.train.clean is None
    assert "holds out a fifth" in found.notes[0]
    assert data.load("pets", root=tmp_path).fingerprint == found.fingerprint


@pytest.mark.parametrize("test", ["test", "val", "validation"])
def test_folders_named_train_and_test_are_the_splits(tmp_path, test):
    classes_of_pictures(tmp_path / "train", {"cat": 3, "dog": 2, "emu": 2})
    classes_of_pictures(tmp_path / test, {"cat": 1, "dog": 1})
    found = data.load(tmp_path)
    assert (len(found.train), found.test.given.tolist(), found.classes) == (7, [0, 1], ("cat", "dog", "emu"))


def test_what_is_no_image_is_left_out_and_counted(tmp_path):
    root = classes_of_pictures(tmp_path / "pets", {"dog": 5, "cat": 5})
    (root / "dog" / "notes.txt").write_text("good dog")
    (root / "dog" / "puppies").mkdir()
    Image.new("RGB", (8, 8)).save(root / "dog" / "puppies" / "x.JPG", "JPEG")
    (root / ".cache").mkdir()
    found = data.load(root)
    assert sum(map(len, (found.train, found.test))) == 11
    assert [(item.what, item.why) for item in found.reading.skipped] == [("dog/notes.txt", "files are no images")]


def test_a_folder_without_images_is_no_class_and_said(tmp_path):
    root = classes_of_pictures(tmp_path / "pets", {"dog": 5, "cat": 5})
    (root / "emu").mkdir()
    found = data.load(root)
    assert found.classes == ("cat", "dog")
    assert "the folder emu holds no images and is no class" in found.reading.notes
    for path in (root / "dog").iterdir():
        path.unlink()
    with pytest.raises(DataError, match="at least two classes are needed, found cat"):
        data.load(root)


# CSV


def test_a_csv_of_features_is_read_exactly(tmp_path):
    draw = np.random.default_rng(0)
    features = draw.normal(size=(40, 3)).astype(np.float32)
    labels = draw.integers(0, 4, 40)
    lines = [",".join([*map(repr, row.tolist()), str(label)]) for row, label in zip(features, labels, strict=True)]
    (tmp_path / "my.csv").write_text("a,b,c,label\n" + "\n".join(lines) + "\n")
    found = data.load(tmp_path / "my.csv")
    whole = torch.cat([found.train.inputs, found.test.inputs])
    assert sorted(map(tuple, whole.tolist())) == sorted(map(tuple, features.tolist()))
    where = {tuple(row): label for row, label in zip(features.tolist(), labels.tolist(), strict=True)}
    assert [where[tuple(row)] for row in found.train.inputs.tolist()] == found.train.given.tolist()
    (tmp_path / "my.csv.gz").write_bytes(gzip.compress((tmp_path / "my.csv").read_bytes()))
    assert data.load(tmp_path / "my.csv.gz").fingerprint == found.fingerprint


def test_columns_may_come_in_any_order_and_split_and_clean_are_taken(tmp_path):
    (tmp_path / "my.csv").write_text(
        "split,label,x,clean\n" + "train,cat,1,cat\ntrain,dog,2,cat\ntest,cat,3,dog\nTrain,dog,4,dog\n",
        encoding="utf-8-sig",
    )
    found = data.load(tmp_path / "my.csv")
    assert found.classes == ("cat", "dog")
    assert found.train.inputs.tolist() == [[1], [2], [4]]
    assert (found.train.given.tolist(), found.train.clean.tolist()) == ([0, 1, 1], [0, 0, 1])
    # what is measured is the truth
    assert (found.test.given.tolist(), found.test.clean.tolist()) == ([1], [1])


def test_a_csv_of_paths_reads_them_beside_it_or_under_the_root(tmp_path):
    pictures = classes_of_pictures(tmp_path / "pictures", {"a": 5, "b": 5})
    rows = "".join(f"{name}/{i}.png,{name}\n" for name in "ab" for i in range(5))
    (pictures / "list.csv").write_text("path,label\n" + rows)
    elsewhere = tmp_path / "lists" / "elsewhere.csv"
    elsewhere.parent.mkdir()
    elsewhere.write_text("path,label\n" + rows)
    beside = data.load(pictures / "list.csv")
    assert {path.parent.name for path in beside.train.inputs} == {"a", "b"}
    assert data.load(elsewhere, root=pictures).fingerprint == beside.fingerprint
    with pytest.raises(DataMissingError, match=r"10 of 10 files are not in .*; row 2: a/0.png"):
        data.load(elsewhere)


def test_a_list_of_paths_and_labels_is_the_csv_of_the_same(tmp_path):
    classes_of_pictures(tmp_path, {"a": 5, "b": 5})
    names = [f"{name}/{i}.png {label}" for label, name in enumerate("ab") for i in range(5)]
    (tmp_path / "list.txt").write_text("\n".join(names) + "\n")
    (tmp_path / "list.csv").write_text("path,label\n" + "\n".join(names).replace(" ", ","))
    assert data.load(tmp_path / "list.txt").fingerprint == data.load(tmp_path / "list.csv").fingerprint


def test_whole_numbers_are_names_in_order_of_value_and_only_those_that_occur(tmp_path):
    (tmp_path / "my.csv").write_text("x,label\n" + "".join(f"{i},{(i % 2) * 8 + 2}\n" for i in range(20)))
    found = data.load(tmp_path / "my.csv")
    assert found.classes == ("2", "10")


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("1,a\nx,b\n", "column 'x': must be finite numbers; row 3: 'x'"),
        ("1,a\ninf,b\n", "column 'x': must be finite numbers; row 3: 'inf'"),
        ("1,a\n2,b,c\n", "row 3: 3 values, the header has 2"),
        ("1,a\n2,\n", "at least two classes are needed, found only a"),
    ],
)
def test_a_wrong_row_is_named(tmp_path, rows, words):
    (tmp_path / "my.csv").write_text("x,label\n" + rows)
    with pytest.raises(DataError, match=re.escape(words)):
        data.load(tmp_path / "my.csv")


def test_a_wrong_value_far_down_is_named_by_its_row(tmp_path):
    rows = [f"{i},{i % 2}" for i in range(9000)]
    rows[8765] = "oops,1"
    (tmp_path / "my.csv").write_text("x,label\n" + "\n".join(rows))
    with pytest.raises(DataError, match="row 8767: 'oops'"):
        data.load(tmp_path / "my.csv")


def test_a_near_miss_of_the_label_column_is_guessed(tmp_path):
    (tmp_path / "my.csv").write_text("x,lable\n1,2\n")
    with pytest.raises(DataError, match=r"needs a column 'label' in its first row, or --label 'lable'"):
        data.load(tmp_path / "my.csv")


# .npz


def test_an_npz_of_features_and_labels_is_taken_as_it_is(tmp_path):
    x, y = np.arange(60.0).reshape(30, 2), np.arange(30) % 3
    np.savez(tmp_path / "own.npz", x=x, y=y, clean=(y + 1) % 3, classes=["red", "green", "blue"])
    found = data.load(tmp_path / "own.npz")
    assert found.classes == ("red", "green", "blue")
    assert torch.equal(found.train.clean, (found.train.given + 1) % 3)
    rows = (found.train.inputs[:, 0] / 2).long()
    assert torch.equal(found.train.given, rows % 3)
    assert torch.equal(found.test.given, found.test.clean)


@pytest.mark.parametrize("shape", [(8, 6, 5), (8, 1, 6, 5), (8, 3, 6, 5), (8, 6, 5, 3), (8, 6, 5, 1)])
def test_images_come_channels_first_whatever_their_layout(tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    np.savez(
        tmp_path / "own.npz", x_train=pixels, y_train=np.arange(8)[:, None] % 2, x_test=pixels, y_test=np.arange(8) % 2
    )
    found = data.load(tmp_path / "own.npz")
    channels = 3 if 3 in shape else 1
    assert found.train.inputs.shape == (8, channels, 6, 5)
    first = {3: pixels[..., None], 4: pixels}[len(shape)]
    first = first if shape[1] == channels and len(shape) == 4 else np.moveaxis(first, -1, 1)
    assert np.array_equal(found.test.inputs.numpy(), first)


KINDS = ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "?"]
SHAPES = [(12,), (12, 1), (12, 2), (1, 12), (11,), (13,), (0,), (), (12, 1, 1), (4, 3)]
VALUES = [(0, 1), (0, 2), (1, 1), (-1, 1), (-100, 1), (0, 127), (0, 5000), (0, 2**31), (np.nan, 1)]


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_any_type_and_shape_are_taken_or_refused_by_one_rule(tmp_path, kind):
    taken = 0
    for shape in SHAPES:
        for low, high in VALUES:
            wide = np.resize(np.array([low, high]), shape)
            with np.errstate(all="ignore"):
                y = wide.astype(kind)
            if not np.array_equal(y.astype(float), wide.astype(float), equal_nan=True):
                continue  # the type cannot hold the value
            np.savez(tmp_path / "own.npz", x=np.zeros((12, 2)), y=y)
            sound = shape in ((12,), (12, 1)) and np.isfinite(low) and low != high
            if sound:
                found = data.load(tmp_path / "own.npz")
                both = torch.cat([found.train.given, found.test.given])
                assert both.bincount().tolist() == np.unique(y, return_counts=True)[1].tolist()
                assert [float(name == "True") if kind == "?" else float(name) for name in found.classes] == [low, high]
                taken += 1
            else:
                with pytest.raises(DataError, match=r"own\.npz"):
                    data.load(tmp_path / "own.npz")
    assert taken >= 2


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"x": np.zeros((4, 2))}, "x needs its labels beside it"),
        ({"z": np.zeros((4, 2))}, "must hold arrays x and y; it has z"),
        (
            {"x": np.zeros((4, 2)), "y": 2 * np.eye(4)},
            "rows of labels must be one-hot or probabilities that add up to 1, got float64 (4, 4); row 0: [2.0, 0.0,",
        ),
        ({"x": np.zeros((4, 5, 2, 2)), "y": np.arange(4)}, "must be features (N, D) or uint8 images"),
        ({"x": np.full((4, 2), 1e300), "y": np.arange(4)}, "numbers must be finite in float32; row 0"),
        ({"x": np.zeros((4, 2)), "y": np.array([0.5, 1, 0, 1])}, "labels must be names or whole numbers; row 0: 0.5"),
        ({"x": np.zeros((40, 2)), "y": np.arange(40)}, "40 different labels for 40 samples are no classes"),
        (
            {"x": np.zeros((4, 2)), "y": np.arange(4), "classes": np.array(["a", "a", "b", "c"])},
            "one different text a class",
        ),
        (
            {"x": np.zeros((4, 2)), "y": np.arange(4), "classes": np.array(["a", "b"])},
            "labels must be integers in 0..1; row 2: 2",
        ),
    ],
)
def test_an_npz_that_does_not_fit_together_says_why(tmp_path, arrays, words):
    np.savez(tmp_path / "own.npz", **arrays)
    with pytest.raises(DataError, match=re.escape(words)):
        data.load(tmp_path / "own.npz")


# Kinds of inputs and their origin


def test_texts_and_frames_are_inputs_too():
    pd = pytest.importorskip("pandas")
    given = torch.tensor([0, 1, 0, 1])
    texts = data.Split(Texts(["a", "b", "c", "d"]), given, None, ("x", "y"))
    assert isinstance(texts.take([3, 0]).inputs, Texts)
    assert texts.take([3, 0]).inputs == ("d", "a")
    frame = data.Split(pd.DataFrame({"n": [1.0, 2, 3, 4], "t": list("abcd")}), given, None, ("x", "y"))
    assert frame.take([3, 0]).inputs.to_dict("list") == {"n": [4, 1], "t": ["d", "a"]}
    assert len({fingerprint(texts), fingerprint(frame), fingerprint(texts.take([1, 0, 2, 3]))}) == 3


def test_what_was_held_out_comes_back_in_its_place_with_its_origin():
    given = torch.tensor([0, 1] * 10)
    origin = Origin("my.csv", np.arange(20), rows=np.arange(2, 22), keys=tuple(f"k{i}" for i in range(20)), key="id")
    whole = data.Split(Texts([str(i) for i in range(20)]), given, None, ("x", "y"), origin)
    found = assemble("my.csv", Parts(whole), Reading("my.csv", "CSV"))
    again = found.everything()
    assert again.inputs == whole.inputs
    assert again.origin.columns() == origin.columns()
    assert all(found.test.origin.keys[i] == f"k{text}" for i, text in enumerate(found.test.inputs))
