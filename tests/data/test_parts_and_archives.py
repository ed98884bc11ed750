"""Forms beyond one table or one folder of pictures: parts in files, archives, texts in files, pictures in tables."""

from __future__ import annotations

import io
import json
import os
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noiseproof import data
from noiseproof.data.dataset import Texts
from noiseproof.data.readers import csv_table
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.table_pictures import looks_like_picture
from noiseproof.errors import DataError

ROWS = "".join(f"{i % 7 / 4},{i % 5},{'cat' if i % 2 else 'dog'}\n" for i in range(40))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def png(seed: int) -> bytes:
    memory = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(memory, "PNG")
    return memory.getvalue()


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    _ = path.write_bytes(content) if isinstance(content, bytes) else path.write_text(content)
    return path


def tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def labels_of(found: data.Data) -> list[str]:
    whole = found.everything()
    return [found.classes[label] for label in whole.given.tolist()]


# Parts in files


def test_a_table_a_part_is_read_as_its_parts_and_each_row_knows_its_file(tmp_path):
    for part, count in (("train", 40), ("valid", 12), ("test", 9)):
        write(tmp_path / "own" / f"{part}.csv", "a,b,label\n" + "".join(ROWS.splitlines(True)[:count]))
    found = data.load(tmp_path / "own")
    assert found.reading.samples == {"train": 40, "validation": 12, "test": 9}
    assert found.test.origin.columns()["record"][0] == "test.csv, row 2"


def test_a_part_without_labels_is_left_out_and_said(tmp_path):
    write(tmp_path / "own" / "train.csv", "a,b,label\n" + ROWS)
    write(tmp_path / "own" / "test.csv", "a,b\n1,2\n3,4\n")
    write(tmp_path / "own" / "sample_submission.csv", "id,label\n0,cat\n")
    found = data.load(tmp_path / "own")
    assert len(found.everything()) == 40
    assert [(one.what, one.why) for one in found.reading.skipped] == [
        ("test.csv (2 rows)", "tables have no column 'label'")
    ]


def test_shards_of_a_data_set_are_one_table(tmp_path):
    pd = pytest.importorskip("pandas")
    for name in ("train-00000-of-00002", "train-00001-of-00002", "test-00000-of-00001"):
        frame = pd.DataFrame({"text": [f"{name} says {i}" for i in range(10)], "label": ["a", "b"] * 5})
        (tmp_path / "own" / "data").mkdir(parents=True, exist_ok=True)
        frame.to_parquet(tmp_path / "own" / "data" / f"{name}.parquet")
    assert data.load(tmp_path / "own").reading.samples == {"train": 20, "test": 10}


# Archives


@pytest.mark.parametrize("name", ["own.zip", "own.tar", "own.tar.gz"])
def test_an_archive_of_class_folders_is_read_as_the_folder(tmp_path, name):
    members = {f"pets/{kind}/{i}.png": png(i) for kind in ("cat", "dog") for i in range(5)}
    for inner, content in members.items():
        write(tmp_path / "plain" / inner, content)
    if name.endswith("zip"):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for inner, content in members.items():
                archive.writestr(inner, content)
            archive.writestr("__MACOSX/pets/cat/._0.png", b"x")
    else:
        tar(tmp_path / name, members)
    packed, plain = data.load(tmp_path / name), data.load(tmp_path / "plain")
    assert packed.fingerprint == plain.fingerprint
    assert packed.train.origin.paths == plain.train.origin.paths
    assert packed.train.origin.source == str(tmp_path / name)


def test_an_archive_whose_names_lead_out_of_it_is_refused(tmp_path):
    with pytest.raises(DataError, match="leads out of the archive"):
        data.load(tar(tmp_path / "own.tar", {"a/0.png": png(0), "../b/0.png": png(1)}))
    assert not list(tmp_path.rglob("*.png"))


def test_shards_of_a_webdataset_are_read(tmp_path):
    (tmp_path / "own").mkdir()
    for shard in range(2):
        members = {}
        for i in range(9):
            members[f"{shard}{i:04}.jpg"] = png(10 * shard + i)
            members[f"{shard}{i:04}.cls"] = str(i % 3).encode()
        tar(tmp_path / "own" / f"pets-train-{shard:06}.tar", members)
    found = data.load(tmp_path / "own")
    assert labels_of(found) == [str(i % 3) for _ in range(2) for i in range(9)]
    assert found.everything().origin.columns()["id"][0] == "pets-train-000000.tar/00000.jpg"
    one = data.load(tmp_path / "own" / "pets-train-000001.tar")
    assert len(one.everything()) == 9


# Texts in files


def test_folders_of_text_files_are_class_folders(tmp_path):
    for part in ("train", "test"):
        for i in range(10):
            write(tmp_path / "own" / part / ("neg", "pos")[i % 2] / f"{i}_7.txt", f"{part} film number {i}")
    write(tmp_path / "own" / "train" / "unsup" / "1_0.txt", "no label")
    write(tmp_path / "own" / "train" / "neg" / "latin.txt", "caf\xe9".encode("latin-1"))
    found = data.load(tmp_path / "own")
    assert isinstance(found.train.inputs, Texts)
    assert found.classes == ("neg", "pos")
    assert found.reading.samples == {"train": 10, "test": 10}
    assert {one.why for one in found.reading.skipped} == {"texts have no label", "texts cannot be decoded"}
    assert found.test.origin.paths[0] == "test/neg/0_7.txt"


def test_a_file_of_texts_beside_one_of_labels(tmp_path):
    write(tmp_path / "own" / "train_text.txt", "".join(f"tweet number {i}\n" for i in range(10)))
    write(tmp_path / "own" / "train_labels.txt", "joy\nanger\n" * 5)
    found = data.load(tmp_path / "own")
    assert labels_of(found) == ["joy", "anger"] * 5
    write(tmp_path / "own" / "train_labels.txt", "joy\nanger\n")
    with pytest.raises(DataError, match=r"train_text\.txt has 10 lines and train_labels\.txt 2"):
        data.load(tmp_path / "own")


def test_lists_in_text_files(tmp_path):
    tabs = write(tmp_path / "sms.txt", "".join(f"{('ham', 'spam')[i % 2]}\tcall number {i} now\n" for i in range(20)))
    assert labels_of(data.load(tabs)) == ["ham", "spam"] * 10
    table = write(tmp_path / "own.txt", "a;b;label\n" + ROWS.replace(",", ";"))
    assert data.load(table).train.inputs.shape[1] == 2
    for i in range(8):
        write(tmp_path / "set" / "images" / f"im {i}.png", png(i))
    write(tmp_path / "set" / "train.txt", "".join(f'"images/im {i}.png" {i % 2}\n' for i in range(8)))
    write(tmp_path / "set" / "synsets.txt", "cat\ndog\n")
    assert labels_of(data.load(tmp_path / "set")) == ["cat", "dog"] * 4


# Pictures in tables


def test_pictures_that_lie_in_a_parquet_file_are_read(tmp_path):
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    pictures = [{"bytes": png(i), "path": f"{i}.png"} for i in range(8)]
    table = pa.table({"image": pictures, "label": ["cat", "dog"] * 4})
    parquet.write_table(table, tmp_path / "own.parquet")
    found = data.load(tmp_path / "own.parquet")
    assert labels_of(found) == ["cat", "dog"] * 4
    whole = found.everything()
    assert [path.read_bytes() for path in whole.inputs] == [each["bytes"] for each in pictures]
    assert whole.origin.columns()["record"] == [f"{i}.png" for i in range(8)]


def test_pictures_of_a_hugging_face_data_set_are_read():
    datasets = pytest.importorskip("datasets")
    kinds = {"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])}
    pictures = [Image.open(io.BytesIO(png(i))) for i in range(8)]
    made = datasets.Dataset.from_dict({"image": pictures, "label": [0, 1] * 4}, features=datasets.Features(kinds))
    found = data.load(made)
    assert labels_of(found) == ["cat", "dog"] * 4
    shown = [np.asarray(Image.open(path)) for path in found.everything().inputs]
    assert all((a == np.asarray(b)).all() for a, b in zip(shown, pictures, strict=True))


def test_annotations_of_each_part_lie_beside_its_pictures(tmp_path):
    for part, count in (("train", 8), ("valid", 4)):
        for i in range(count):
            write(tmp_path / "coco" / part / f"{i}.png", png(i))
            write(tmp_path / "marks" / part / f"{i}.png", png(i))
        content = {
            "images": [{"id": i, "file_name": f"{i}.png"} for i in range(count)],
            "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
            "annotations": [{"id": i, "image_id": i, "category_id": i % 2} for i in range(count)],
        }
        write(tmp_path / "coco" / part / "_annotations.coco.json", json.dumps(content))
        marks = "".join(f"{i}.png, {1 - i % 2}, {i % 2}\n" for i in range(count))
        write(tmp_path / "marks" / part / "_classes.csv", "filename, cat, dog\n" + marks)
    for name in ("coco", "marks"):
        found = data.load(tmp_path / name)
        assert found.reading.samples == {"train": 8, "validation": 4}
        assert labels_of(found) == ["cat", "dog"] * 4


# Tables


def test_numbers_with_a_unit_and_a_line_that_names_the_delimiter(tmp_path):
    rows = "".join(f"{i}%;${i},5;{('x', 'y')[i % 2]}\n" for i in range(20))
    found = data.load(write(tmp_path / "own.csv", "sep=;\nshare;price;label\n" + rows))
    np.testing.assert_array_equal(found.everything().inputs[:3], [[0, 0.5], [1, 1.5], [2, 2.5]])
    assert found.everything().origin.rows[0] == 3


def test_a_header_that_comes_again_is_no_sample_and_a_missing_one_is_said(tmp_path):
    twice = data.load(write(tmp_path / "twice.csv", "a,b,label\n" + ROWS + "a,b,label\n" + ROWS))
    assert len(twice.everything()) == 80
    assert [one.what for one in twice.reading.skipped] == ["row 42"]
    large = csv_table.read_csv(tmp_path / "twice.csv", ReadingOptions(), large=0)  # the way of large files
    assert large.count == 80
    with pytest.raises(DataError, match="has no header"):
        data.load(write(tmp_path / "bare.csv", "".join(f"mail {i},{('spam', 'ham')[i % 2]}\n" for i in range(9))))


def test_the_only_column_with_classes_is_the_label_and_two_are_a_question(tmp_path):
    rows = ["temperature,animal,den"] + [f"{i / 7},{('cat', 'dog')[i % 2]},{('n', 's')[i // 2 % 2]}" for i in range(40)]
    one = [row.rpartition(",")[0] for row in rows]
    found = data.load(write(tmp_path / "one.csv", "\n".join(one)))
    assert found.reading.assumed == {"--label": "animal"}
    with pytest.raises(DataError, match="is it 'animal' or 'den'"):
        data.load(write(tmp_path / "two.csv", "\n".join(rows)))


def test_a_permutation_of_row_numbers_is_no_feature(tmp_path):
    order = np.random.default_rng(0).permutation(40)
    rows = "".join(f"{k},{row}\n" for k, row in zip(order, ROWS.splitlines(), strict=True))
    found = data.load(write(tmp_path / "own.csv", "plot,a,b,label\n" + rows))
    assert found.reading.columns == ("a", "b")


def test_a_pipe_among_texts_is_not_waited_for(tmp_path):
    for label in ("ham", "spam"):
        (tmp_path / label).mkdir()
        os.mkfifo(tmp_path / label / "0pipe")
        for number in range(4):
            (tmp_path / label / f"{number}.txt").write_text(f"{label} {number}")
    assert not looks_like_picture(str(tmp_path / "ham" / "0pipe"))
    assert data.load(str(tmp_path)).classes == ("ham", "spam")


@pytest.mark.parametrize(("separator", "mark"), [(";", ","), (",", ".")])
def test_measurements_with_decimals_are_not_taken_for_labels(separator, mark, tmp_path):
    """A column of classes with a name that nobody expects is found beside rounded measurements."""
    rows = [f"P{i:03d}{separator}{i % 30 / 100:.2f}{separator}{'ja' if i % 3 else 'nein'}" for i in range(300)]
    path = tmp_path / "befunde.csv"
    path.write_text("\n".join([separator.join(["Nr.", "Wert", "Befund"]), *(row.replace(".", mark) for row in rows)]))
    found = data.load(str(path))
    assert found.classes == ("ja", "nein")
    assert found.train.inputs.shape[1] == 1
