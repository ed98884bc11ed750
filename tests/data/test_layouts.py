"""Layouts of other programs and archives: read as their users expect, or refused with what to type."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from noiseproof import data
from noiseproof.data.dataset import Files, Texts
from noiseproof.errors import DataError, InputError

COUNT = 30
CLASSES = tuple("abc"[place % 3] for place in range(COUNT))
NUMBERS = [(f"{place % 7 / 4 + 1:g}", f"{place * place % 11 / 2 + 0.5:g}") for place in range(COUNT)]
TEXTS = [f"message {place} says hello to you" for place in range(COUNT)]

WEKA = "% made by hand\n@RELATION r\n@ATTRIBUTE w NUMERIC\n@ATTRIBUTE label {a,b,c}\n@DATA\n"
KEEL = "@relation r\n@attribute w real [0.0, 9.0]\n@attribute kind {a, b, c}\n@inputs w\n@outputs kind\n@data\n"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4), (len(path.name), 90, 90)).save(path)


def write(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode(encoding))
    return path


def labels_of(found: data.Data) -> tuple[str, ...]:
    split = found.everything()
    return tuple(split.classes[label] for label in split.given.tolist())


def lines(pattern: str) -> str:
    """A line a sample: `A`, `B` its numbers, `L` its label, `T` its text, `I` its position."""
    made = []
    for place, (label, text, (a, b)) in enumerate(zip(CLASSES, TEXTS, NUMBERS, strict=True)):
        values = {"A": a, "B": b, "L": label, "T": text, "I": str(place)}
        made.append("".join(values.get(each, each) for each in pattern))
    return "\n".join(made) + "\n"


# Tables


@pytest.mark.parametrize(
    ("name", "content", "columns"),
    [
        ("report.csv", "Run 7,,\n,,\nw,h,label\n" + lines("A,B,L"), ("w", "h")),
        ("device.csv", "Device: X100\nDate: 2024-01-01\n\nw;h;label\n" + lines("A;B;L"), ("w", "h")),
        ("longer-header.csv", "w,h,label,\n" + lines("A,B,L"), ("w", "h")),
        ("r.txt", '"w" "h" "label"\n' + lines('"I" A B "L"'), ("w", "h")),
        ("weka.arff", WEKA + lines("A,L"), ("w",)),
        ("keel.dat", KEEL + lines("A, L"), ("w",)),
        ("lists.csv", "vector,label\n" + lines('"[A, B]",L'), ("vector[0]", "vector[1]")),
        ("copies.csv", "w,target,target_name\n" + lines("A,L,kind L"), ("w",)),
        ("weights.csv", "w,label,sample_weight\n" + lines("A,L,0.B"), ("w",)),
        ("labels.csv", "w,étiquette\n" + lines("A,L"), ("w",)),
        ("answers.csv", "w,rater_1,rater_2,gold\n" + lines("A,L,L,L"), ("w",)),
    ],
)  # fmt: skip
def test_tables_of_reports_and_other_programs_are_read(tmp_path, name, content, columns):
    found = data.load(write(tmp_path / name, content))
    assert labels_of(found) == CLASSES
    assert found.reading.columns == columns


def test_rows_above_the_header_count_and_are_said(tmp_path):
    found = data.load(write(tmp_path / "report.csv", "Run 7,,\n,,\nw,h,label\n" + lines("A,B,L")))
    assert found.everything().origin.rows[0] == 4
    assert [item.what for item in found.reading.skipped] == ["row 1"]


def test_quotes_behind_backslashes_belong_to_the_text(tmp_path):
    found = data.load(write(tmp_path / "dump.csv", "text,label\n" + lines('"he said \\"T\\"",L')))
    assert found.everything().inputs[0] == f'he said "{TEXTS[0]}"'


def test_lists_of_numbers_that_were_cut_short_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"cut short with '\.\.\.'.*--drop 'vector'"):
        data.load(write(tmp_path / "cut.csv", "vector,label\n" + lines('"[A 2 ... B]",L')))


@pytest.mark.parametrize("name", ["a9a", "heart.txt", "plain.svmlight"])
def test_svmlight_lines_keep_the_texts_of_their_labels(tmp_path, name):
    marks = "".join(
        f"{'+1' if label == 'a' else '-1'} 1:{a} 3:{b} # note\n" for label, (a, b) in zip(CLASSES, NUMBERS, strict=True)
    )
    found = data.load(write(tmp_path / name, marks))
    assert labels_of(found) == tuple("+1" if label == "a" else "-1" for label in CLASSES)
    assert found.everything().inputs[0].tolist() == [float(NUMBERS[0][0]), 0.0, float(NUMBERS[0][1])]
    assert found.everything().origin.rows.tolist() == list(range(1, COUNT + 1))
    with pytest.raises(DataError, match=r"row 2.*several labels"):
        data.load(write(tmp_path / name, marks.replace("\n-1", "\n1,2", 1)))


@pytest.mark.parametrize("ending", [".mat", ".npy", ".pkl", ".h5", ".dta", ".sav", ".rds", ".xls", ".db", ".pt"])
def test_forms_that_are_not_read_say_what_to_type(tmp_path, ending):
    with pytest.raises(DataError, match=r"not read; .*(type in|save it as)"):
        data.load(write(tmp_path / f"x{ending}", "?"))


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


# Parts


@pytest.mark.parametrize(
    ("column", "train", "test"),
    [
        ("is_train", "1", "0"),
        ("isTest", "False", "True"),
        ("train", "1", "0"),
        ("Usage", "Training", "PublicTest"),
        ("set", "Entrenamiento", "Prueba"),
        ("部分", "训练集", "测试集"),
    ],
)
def test_a_column_that_marks_the_parts_is_no_feature(tmp_path, column, train, test):
    rows = [
        f"{a},{label},{test if place % 5 == 0 else train}"
        for place, (label, (a, _)) in enumerate(zip(CLASSES, NUMBERS, strict=True))
    ]
    found = data.load(write(tmp_path / "x.csv", f"w,label,{column}\n" + "\n".join(rows) + "\n"))
    assert (found.reading.columns, len(found.train), len(found.test)) == (("w",), 24, 6)


@pytest.mark.parametrize("names", [("ECG_TRAIN.csv", "ECG_TEST.csv"), ("mnist-train.csv", "mnist-test.csv")])
def test_names_of_parts_may_share_other_words(tmp_path, names):
    for name in names:
        write(tmp_path / name, "w,label\n" + lines("A,L"))
    found = data.load(tmp_path)
    assert found.reading.samples == {"train": COUNT, "test": COUNT}
    json_parts = {"train": [{"text": text, "label": label} for text, label in zip(TEXTS, CLASSES, strict=True)]}
    made = write(tmp_path / "parts.json", json.dumps({**json_parts, "test": json_parts["train"][:6]}))
    assert data.load(made).reading.samples == {"train": COUNT, "test": 6}


def test_a_part_in_two_forms_is_read_once(tmp_path):
    write(tmp_path / "train.csv", "w,label\n" + lines("A,L"))
    write(
        tmp_path / "train.json",
        json.dumps([{"w": float(a), "label": label} for label, (a, _) in zip(CLASSES, NUMBERS, strict=True)]),
    )
    found = data.load(tmp_path)
    assert len(found.everything()) == COUNT
    assert [item.what for item in found.reading.skipped] == ["train.json"]


# Answers of several people


def test_reviews_of_products_are_no_answers_about_them(tmp_path):
    rows = "".join(
        f"u{place % 4},p{place % 5},{text},{label}\n"
        for place, (text, label) in enumerate(zip(TEXTS, CLASSES, strict=True))
    )
    found = data.load(write(tmp_path / "reviews.csv", "user_id,product_id,review,sentiment\n" + rows))
    assert labels_of(found) == CLASSES


def test_answers_without_the_items_are_refused(tmp_path):
    rows = "".join(f"{place},r{person},{label}\n" for place, label in enumerate(CLASSES) for person in range(3))
    with pytest.raises(DataError, match=r"nothing is left to learn from .*item: an id"):
        data.load(write(tmp_path / "answers.csv", "item,rater,answer\n" + rows))


def test_columns_that_add_up_to_one_are_asked_about(tmp_path):
    shares = "".join(f"{a},{place % 5 / 4},{1 - place % 5 / 4}\n" for place, (a, _) in enumerate(NUMBERS))
    made = write(tmp_path / "soft.csv", "w,yes,no\n" + shares)
    with pytest.raises(DataError, match="probabilities of the classes: --label yes,no"):
        data.load(made)
    assert data.load(made, label="yes,no").train.classes == ("no", "yes")


def test_several_labels_of_fast_text_are_refused(tmp_path):
    with pytest.raises(DataError, match="line 1: has several labels"):
        data.load(write(tmp_path / "x.txt", lines("__label__L __label__x T")))


# Pictures


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
    assert labels_of(found) == tuple(sorted(CLASSES))
    assert any("not read: annotations" in note for note in found.reading.notes)


def test_a_ground_truth_manifest_names_the_class_in_its_metadata(tmp_path):
    records = [
        {"source": text, "job": "abc".index(label), "job-metadata": {"class-name": label, "confidence": 0.9}}
        for text, label in zip(TEXTS, CLASSES, strict=True)
    ]
    found = data.load(write(tmp_path / "output.manifest", "\n".join(map(json.dumps, records))))
    assert labels_of(found) == CLASSES
    assert isinstance(found.train.inputs, Texts)


# Objects of Python


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


def test_the_columns_of_excel_stand_below_a_title_on_the_sheet_with_the_table(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active["A1"] = "read me"
    sheet = book.create_sheet("data")
    for row in (
        ["Run 7"],
        [],
        ["w", "h", "label"],
        *([float(a), float(b), label] for label, (a, b) in zip(CLASSES, NUMBERS, strict=True)),
    ):
        sheet.append(row)
    memory = io.BytesIO()
    book.save(memory)
    (tmp_path / "x.xlsx").write_bytes(memory.getvalue())
    found = data.load(tmp_path / "x.xlsx")
    assert labels_of(found) == CLASSES
    assert {item.what for item in found.reading.skipped} == {"Sheet", "row 1"}


def test_the_columns_of_excel_stand_below_merged_names_of_groups(tmp_path):
    openpyxl = pytest.importorskip("openpyxl")
    sheet = (book := openpyxl.Workbook()).active
    for row in (
        ["Report of the year"],
        [],
        ["Size", None, "Verdict", None],
        ["w", "h", "label", "by"],
        *([float(a), float(b), label, "ann"] for label, (a, b) in zip(CLASSES, NUMBERS, strict=True)),
    ):
        sheet.append(row)
    for cells in ("A1:D1", "A3:B3", "C3:D3"):
        sheet.merge_cells(cells)
    memory = io.BytesIO()
    book.save(memory)
    (tmp_path / "x.xlsx").write_bytes(memory.getvalue())
    found = data.load(tmp_path / "x.xlsx", drop=("by",))
    assert labels_of(found) == CLASSES
    assert found.everything().origin.rows[0] == 5
