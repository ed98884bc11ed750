"""Columns of a table: label, inputs, keys and parts, by one guess or a question."""

from __future__ import annotations

import numpy as np
import pytest

from noiseproof import data
from noiseproof.errors import DataError
from support.made_files import CLASSES, COUNT, MESSAGES, NUMBERS, TEXTS, TOPICS, labels_of, table, write

ROWS = "".join(f"{i % 7 / 4},{i % 5},{'cat' if i % 2 else 'dog'}\n" for i in range(40))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_two_columns_that_may_be_the_label_are_a_question(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,label,class\n" + "1,x,u\n2,y,v\n" * 6)
    with pytest.raises(DataError, match="'label' and 'class' may each be the label column; say which with --label"):
        data.load(path)
    assert data.load(path, label="class", drop="label").classes == ("u", "v")


def test_an_id_is_the_key_and_no_feature(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("patient_id,x,label\n" + "".join(f"{i:04},{i % 3},{'ab'[i % 2]}\n" for i in range(20)))
    found = data.load(path)
    assert found.train.inputs.shape[1] == 1
    assert found.everything().origin.columns()["patient_id"][:2] == ["0000", "0001"]
    assert found.reading.ignored["patient_id"] == "an id"


def test_an_unnamed_running_number_is_no_feature_and_said(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("case,x,label\n" + "".join(f"{100 + i},{i % 3},{'ab'[i % 2]}\n" for i in range(20)))
    assert data.load(path).reading.options() == "--id case"


def test_mixed_columns_make_a_frame(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("age,region,seen,label\n" + "31,north,yes,a\n,south,no,b\n44,,yes,a\n52,east,no,b\n" * 4)
    frame = data.load(path).everything().inputs
    assert list(frame.columns) == ["age", "region", "seen"]
    assert frame["age"].isna().sum() == frame["region"].isna().sum() == 4
    assert frame["age"].dtype.kind == "f"


def test_near_equal_names_stay_apart_and_are_pointed_out(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,label\n" + "1,Cat\n2,cat\n3,dog\n" * 5)
    found = data.load(path)
    assert found.classes == ("Cat", "cat", "dog")
    assert any("'Cat' and 'cat' differ in case" in note for note in found.reading.notes)


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


def test_dates_and_constants_beside_texts_are_not_learned_from(tmp_path):
    rows = [
        [4 * (place % 2), 1000 + 7 * place, f"Mon Apr 06 22:{place:02}:45 PDT 2009", "NO_QUERY", f"user{place}", text]
        for place, text in enumerate(MESSAGES)
    ]
    found = data.load(table(tmp_path / "tweets.csv", "target,ids,date,flag,user,text", rows))
    assert found.reading.columns == ("text",)
    assert {"date", "flag", "user"} <= set(found.reading.ignored)


def test_an_unnamed_first_column_holds_names_of_rows_or_is_refused(tmp_path):
    rows = [[f"r{place}", place % 7, TOPICS[place]] for place in range(COUNT)]
    assert labels_of(data.load(table(tmp_path / "r.csv", "x,label", rows))) == TOPICS
    quoted = [[f"'it, {text}'", TOPICS[place]] for place, text in enumerate(MESSAGES)]
    with pytest.raises(DataError, match="row 2: 3 values, the header has 2"):
        data.load(table(tmp_path / "quoted.csv", "text,label", quoted))


def test_codes_of_letters_and_digits_are_ids(tmp_path):
    codes = np.random.default_rng(0).integers(0, 256, (COUNT, 8), np.uint8)
    rows = [
        [bytes(code).hex(), text, TOPICS[place]] for place, (code, text) in enumerate(zip(codes, MESSAGES, strict=True))
    ]
    found = data.load(table(tmp_path / "reviews.csv", "review,comment,label", rows))
    assert found.reading.columns == ("comment",)
    assert found.everything().origin.key == "review"


def test_a_column_that_says_the_label_is_pointed_out(tmp_path):
    rows = [[place % 7, TOPICS[place], TOPICS[place].upper(), "xy"[place % 2]] for place in range(COUNT)]
    found = data.load(table(tmp_path / "leak.csv", "number,label,shown,other", rows))
    notes = [note for note in found.notes if "says the label" in note]
    assert len(notes) == 1
    assert "'shown' says the label" in notes[0]


def test_the_only_column_with_classes_is_the_label_and_two_are_a_question(tmp_path):
    rows = ["temperature,animal,den"] + [f"{i / 7},{('cat', 'dog')[i % 2]},{('n', 's')[i // 2 % 2]}" for i in range(40)]
    one = [row.rpartition(",")[0] for row in rows]
    found = data.load(write(tmp_path / "one.csv", "\n".join(one)))
    assert found.reading.assumed == {"--label": "animal"}
    with pytest.raises(DataError, match="is it 'animal' or 'den'"):
        data.load(write(tmp_path / "two.csv", "\n".join(rows)))


def test_words_are_named_before_codes_where_the_label_is_asked_for(tmp_path):
    rows = ["batch,den,animal,weight"]
    rows += [f"B{i % 7},T{i % 4},{('cat', 'dog')[i // 2 % 2]},{i / 7}" for i in range(40)]
    with pytest.raises(DataError, match=r"is it 'animal' or 'den' or 'batch'\?"):
        data.load(write(tmp_path / "own.csv", "\n".join(rows)))


def test_a_permutation_of_row_numbers_is_no_feature(tmp_path):
    order = np.random.default_rng(0).permutation(40)
    rows = "".join(f"{k},{row}\n" for k, row in zip(order, ROWS.splitlines(), strict=True))
    found = data.load(write(tmp_path / "own.csv", "plot,a,b,label\n" + rows))
    assert found.reading.columns == ("a", "b")
