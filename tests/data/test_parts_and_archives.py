"""Parts in files of their own, archives, shards, and texts beside labels."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path

import pytest

from noiseproof import data
from noiseproof.errors import DataError
from support.made_files import CLASSES, COUNT, NUMBERS, TEXTS, labels_of, png, sample_lines, write

ROWS = "".join(f"{i % 7 / 4},{i % 5},{'cat' if i % 2 else 'dog'}\n" for i in range(40))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.parametrize("names", [("ECG_TRAIN.csv", "ECG_TEST.csv"), ("mnist-train.csv", "mnist-test.csv")])
def test_names_of_parts_may_share_other_words(tmp_path, names):
    for name in names:
        write(tmp_path / name, "w,label\n" + sample_lines("A,L"))
    found = data.load(tmp_path)
    assert found.reading.samples == {"train": COUNT, "test": COUNT}
    json_parts = {"train": [{"text": text, "label": label} for text, label in zip(TEXTS, CLASSES, strict=True)]}
    made = write(tmp_path / "parts.json", json.dumps({**json_parts, "test": json_parts["train"][:6]}))
    assert data.load(made).reading.samples == {"train": COUNT, "test": 6}


def test_a_part_in_two_forms_is_read_once(tmp_path):
    write(tmp_path / "train.csv", "w,label\n" + sample_lines("A,L"))
    write(
        tmp_path / "train.json",
        json.dumps([{"w": float(a), "label": label} for label, (a, _) in zip(CLASSES, NUMBERS, strict=True)]),
    )
    found = data.load(tmp_path)
    assert len(found.everything()) == COUNT
    assert [item.what for item in found.reading.skipped] == ["train.json"]


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


def tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


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
