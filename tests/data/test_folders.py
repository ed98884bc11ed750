"""Folders of pictures and texts, with or without a table of their labels; wrong folders are refused at once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from noiseproof import data
from noiseproof.data.dataset import Files, Texts
from noiseproof.data.readers import listing
from noiseproof.data.readers.table_pictures import looks_like_picture
from noiseproof.errors import DataError
from support.made_files import CLASSES, COUNT, MESSAGES, TOPICS, labels_of, picture, png, table, write

FORMATS = {"jp2": "JPEG2000", "avif": "AVIF", "heic": "HEIF", "tiff": "TIFF", "jfif": "JPEG"}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_capitals_of_pictures_names_do_not_matter_where_one_fits(tmp_path):
    for place in range(COUNT):
        picture(tmp_path / f"IMG_{place}.PNG")
    rows = "".join(f"img_{place}.png,{label}\n" for place, label in enumerate(CLASSES))
    assert labels_of(data.load(write(tmp_path / "x.csv", "file,label\n" + rows))) == CLASSES


def test_names_of_pictures_beside_a_table_are_pictures(tmp_path):
    rows = []
    for place, label in enumerate(CLASSES):
        picture(tmp_path / "train_images" / f"f{place:03}c.png")
        rows.append(f"f{place:03}c,{place % 7},{label}")
    found = data.load(
        write(tmp_path / "train.csv", "id_code,age,diagnosis\n" + "\n".join(rows) + "\n"), label="diagnosis"
    )
    assert isinstance(found.train.inputs, Files)
    assert found.reading.ignored["age"] == "the pictures are the inputs"


@pytest.mark.parametrize("ending", ["", ".png"])
def test_lists_of_the_parts_beside_class_folders_are_followed(tmp_path, ending):
    parts: dict[str, list[str]] = {"train": [], "test": []}
    for place, label in enumerate(CLASSES):
        picture(tmp_path / "images" / label / f"{place}.png")
        parts["test" if place % 5 == 0 else "train"].append(f"{label}/{place}{ending}")
    for part, names in parts.items():
        write(tmp_path / "meta" / f"{part}.txt", "\n".join(names) + "\n")
    found = data.load(tmp_path)
    assert found.reading.samples == {"train": 24, "test": 6}
    assert found.train.classes == ("a", "b", "c")


def test_notes_and_annotations_beside_the_folder_of_pictures_are_said(tmp_path):
    for place, label in enumerate(CLASSES):
        picture(tmp_path / "images" / label / f"{place}.png")
    write(tmp_path / "annotations" / "README", "made by us")
    write(tmp_path / "names of the classes.txt", "a\nb\nc\n")
    found = data.load(tmp_path)
    assert labels_of(found) == sorted(CLASSES)
    assert any("not read: annotations" in note for note in found.reading.notes)


def test_a_number_of_a_text_is_not_the_name_of_a_picture_beside_it(tmp_path):
    for place in range(COUNT):
        picture(tmp_path / f"{place}.png")
    rows = [[place, text, TOPICS[place]] for place, text in enumerate(MESSAGES)]
    found = data.load(table(tmp_path / "texts.csv", "id,text,label", rows))
    assert found.reading.columns == ("text",)


@pytest.mark.parametrize("ending", FORMATS)
def test_pictures_of_rarer_forms_are_read(tmp_path, ending):
    Image.init()
    if ending == "heic":
        pytest.importorskip("pillow_heif", reason="pillow-heif is not installed").register_heif_opener()
    if FORMATS[ending] not in Image.SAVE:
        pytest.skip(f"this Pillow cannot write {FORMATS[ending]}")
    for label in ("a", "b"):
        for place in range(5):
            picture(tmp_path / label / f"{place}.{ending}", format=FORMATS[ending])
    (tmp_path / "a" / f"broken.{ending}").write_bytes((tmp_path / "a" / f"0.{ending}").read_bytes()[:60])
    found = data.load(tmp_path)
    assert len(found.everything()) == 10
    assert [item.what for item in found.reading.skipped] == [f"a/broken.{ending}"]


def test_a_whole_disk_is_refused_at_once():
    with pytest.raises(DataError, match="is a whole disk, not a data set; give the folder"):
        data.load(Path("/"))


@pytest.mark.parametrize("with_picture", [True, False])
def test_a_folder_of_other_things_is_refused_before_all_is_listed(tmp_path, monkeypatch, with_picture):
    monkeypatch.setattr(listing, "_MOST_OTHERS", 20)
    opened: list[str] = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: opened.append(path) or scandir(path))
    for place in range(40):
        home = tmp_path / f"project{place:02}"
        home.mkdir()
        for number in range(5):
            (home / f"{number}.log").touch()
    if with_picture:
        picture(tmp_path / "project00" / "logo.png")
    with pytest.raises(
        DataError, match=r"more than 20 files and folders that are no pictures, and [01] pictures so far"
    ):
        data.load(tmp_path)
    assert sum("project3" in path for path in opened) <= 10  # listed once, as the top looks for parts, not again


def test_a_closed_folder_stops_nothing(tmp_path, monkeypatch):
    scandir = os.scandir

    def refusing(path: str) -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    for label in ("a", "b"):
        for place in range(5):
            picture(tmp_path / label / f"{place}.png")
    (tmp_path / "b" / "closed").mkdir()
    found = data.load(tmp_path)
    assert [(item.what, item.why) for item in found.reading.skipped] == [("b/closed/", "folders cannot be opened")]


def test_a_table_of_the_pictures_in_folders_is_the_source_of_labels(tmp_path):
    for place in range(COUNT):
        picture(tmp_path / f"part_{place % 2}" / f"ISIC_{place:05}.png")
    rows = [[f"lesion{place // 2}", f"ISIC_{place:05}", TOPICS[place]] for place in range(COUNT)]
    table(tmp_path / "metadata_1.csv", "lesion_id,image_id,diagnosis", rows)
    found = data.load(tmp_path)
    assert labels_of(found) == TOPICS
    rows = [[*row, "mf"[place % 2]] for place, row in enumerate(rows)]
    table(tmp_path / "metadata_1.csv", "lesion_id,image_id,dx,gender", rows)
    with pytest.raises(DataError, match="'dx'"):
        data.load(tmp_path)  # a question, not the folders for classes
    assert labels_of(data.load(tmp_path, label="dx")) == TOPICS


def test_class_folders_stay_the_classes_where_a_table_repeats_them(tmp_path):
    rows = []
    for place in range(COUNT):
        path = picture(tmp_path / TOPICS[place] / f"{place}.png")
        rows.append([path.relative_to(tmp_path), TOPICS[place], 8])
    table(tmp_path / "listing.csv", "path,class,width", rows)
    found = data.load(tmp_path)
    assert found.reading.form == "class folders"
    assert sorted(labels_of(found)) == sorted(TOPICS)


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


def test_a_pipe_among_texts_is_not_waited_for(tmp_path):
    for label in ("ham", "spam"):
        (tmp_path / label).mkdir()
        os.mkfifo(tmp_path / label / "0pipe")
        for number in range(4):
            (tmp_path / label / f"{number}.txt").write_text(f"{label} {number}")
    assert not looks_like_picture(str(tmp_path / "ham" / "0pipe"))
    assert data.load(str(tmp_path)).classes == ("ham", "spam")
