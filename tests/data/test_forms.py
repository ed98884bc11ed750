"""The forms that exports have, each as a small file: what they mean is read, what they do not say is asked."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from noiseproof import data
from noiseproof.data.dataset import Texts
from noiseproof.errors import DataError, InputError

WORDS = ["so good", "so bad", "quite good", "quite bad"] * 5
LABELS = ["+", "-", "+", "-"] * 5
TABLE = "text,label\n" + "".join(f"{text},{label}\n" for text, label in zip(WORDS, LABELS, strict=True))


def names_of(found: data.Data) -> list[str]:
    whole = found.everything()
    return [found.classes[label] for label in whole.given.tolist()]


def as_json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


# Containers


@pytest.mark.parametrize("ending", ["gz", "bz2", "xz", "zst", "zip"])
def test_a_compressed_table_is_the_table(tmp_path, ending):
    plain, packed = tmp_path / "plain.csv", tmp_path / f"plain.csv.{ending}"
    plain.write_text(TABLE)
    if ending == "zip":
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("plain.csv", TABLE)
            archive.writestr("__MACOSX/._plain.csv", "x")
    elif ending == "zst":
        pa = pytest.importorskip("pyarrow")
        with pa.CompressedOutputStream(str(packed), "zstd") as stream:
            stream.write(TABLE.encode())
    else:
        compress = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[ending]
        packed.write_bytes(compress(TABLE.encode()))
    assert data.load(packed).fingerprint == data.load(plain).fingerprint


def test_parquet_excel_json_and_a_frame_are_the_same_table(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": np.arange(40) % 7 / 4, "b": np.arange(40) % 5, "kind": [f"k{i % 3}" for i in range(40)]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_csv(tmp_path / "t.tsv", index=False, sep="\t")
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_feather(tmp_path / "t.feather")
    frame.to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    frame.to_json(tmp_path / "t.json")
    frame.to_excel(tmp_path / "t.xlsx", index=False)
    wanted = data.load(tmp_path / "t.csv").fingerprint
    for ending in ("tsv", "parquet", "feather", "jsonl", "json", "xlsx"):
        assert data.load(tmp_path / f"t.{ending}").fingerprint == wanted, ending
    assert data.load(frame).fingerprint == wanted
    assert data.load(frame.to_dict("list")).fingerprint == wanted


def test_rows_are_counted_as_an_editor_does(tmp_path):
    (tmp_path / "t.csv").write_text("# made by hand\nx,label\n1,a\n\n2,b\n" + "3,a\n4,b\n" * 3)
    assert data.load(tmp_path / "t.csv").everything().origin.rows.tolist() == [3, 5, 6, 7, 8, 9, 10, 11]
    (tmp_path / "t.csv").write_text("# made by hand\nx,label\n1,a\n\n2\n")
    with pytest.raises(DataError, match=r"t.csv, row 5: 1 values, the header has 2"):
        data.load(tmp_path / "t.csv")


def test_another_encoding_is_read_by_option_only(tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(b"x,label\n" + "1,café\n2,thé\n".encode("latin-1") * 5)
    with pytest.raises(DataError, match=r"row 2: must be UTF-8 text, .*--encoding"):
        data.load(path)
    assert data.load(path, encoding="latin-1").classes == ("café", "thé")


# Roles of columns


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


@pytest.mark.parametrize(
    ("cells", "delimiter", "wanted"),
    [
        (["1,5", "2", "1.250,25"], ";", [1.5, 2, 1250.25]),
        (["1,500", "2", "3"], ",", [1500, 2, 3]),
        (["1.234", "1,5"], ";", [1234, 1.5]),
        (["True", "False"], ",", [1, 0]),
        (["1 234", "2", "3"], ",", [1234, 2, 3]),
    ],
)
def test_numbers_as_people_write_them(tmp_path, cells, delimiter, wanted):
    path = tmp_path / "t.csv"
    rows = [(f'"{cell}"', "ab"[i % 2]) for i, cell in enumerate(cells * 6)]
    path.write_text(f"x{delimiter}label\n" + "".join(f"{x}{delimiter}{y}\n" for x, y in rows))
    assert data.load(path).everything().inputs[: len(wanted), 0].tolist() == wanted


def test_an_unclear_decimal_mark_is_asked(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("x\tlabel\n" + "1,234\ta\n2,345\tb\n" * 5)
    with pytest.raises(DataError, match="decimal comma or a separator of thousands"):
        data.load(path)


def test_near_equal_names_stay_apart_and_are_pointed_out(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("x,label\n" + "1,Cat\n2,cat\n3,dog\n" * 5)
    found = data.load(path)
    assert found.classes == ("Cat", "cat", "dog")
    assert any("'Cat' and 'cat' differ in case" in note for note in found.reading.notes)


# Several annotators


def test_the_answers_of_annotators_in_columns_and_in_rows_are_the_same():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    answers = np.array(["cat", "dog", "emu"])[rng.integers(0, 3, (60, 4))]
    answers[rng.random(answers.shape) < 0.2] = ""
    answers[:, 0] = "cat"
    wide = pd.DataFrame(
        {"text": [f"item number {i}" for i in range(60)], **{f"ann{a}": answers[:, a] for a in range(4)}}
    )
    long = wide.melt("text", var_name="annotator", value_name="label")
    long = long[long["label"] != ""].reset_index(drop=True)
    one, other = data.load(wide), data.load(long, id="text", text="text")
    assert names_of(one) == names_of(other)
    assert np.allclose(one.annotations.soft, other.annotations.soft)
    assert np.allclose(one.annotations.quality, other.annotations.quality)


def test_majority_and_quality_are_crowd_kits():
    pd = pytest.importorskip("pandas")
    crowdkit = pytest.importorskip("crowdkit.aggregation")
    from noiseproof.data.readers.annotators import from_votes

    votes = np.random.default_rng(1).integers(-1, 3, (200, 5))
    votes[:, 0] = np.maximum(votes[:, 0], 0)
    found = from_votes(votes, ["0", "1", "2"], list("abcde"))
    where = np.argwhere(votes >= 0)
    long = pd.DataFrame({"task": where[:, 0], "worker": where[:, 1], "label": votes[votes >= 0]})
    soft = crowdkit.MajorityVote().fit_predict_proba(long).reindex(columns=[0, 1, 2]).fillna(0)
    assert np.allclose(found.soft, soft.to_numpy())
    clear = (np.sort(found.soft, axis=1)[:, -1] > np.sort(found.soft, axis=1)[:, -2]).tolist()
    majority = crowdkit.MajorityVote().fit_predict(long)
    assert found.consensus[clear].tolist() == majority[clear].tolist()
    assert found.ties == clear.count(False)


# Labelling tools


def task(number: int, *answers: str, cancelled: bool = False, **more: Any) -> dict[str, Any]:
    result = [[{"from_name": "mood", "to_name": "text", "type": "choices", "value": {"choices": [a]}}] for a in answers]
    made = [
        {"id": 10 * number + i, "completed_by": {"id": i}, "result": each, "was_cancelled": cancelled}
        for i, each in enumerate(result)
    ]
    return {"id": number, "data": {"text": f"text number {number}"}, "annotations": made, "predictions": [], **more}


def test_label_studio_drops_cancelled_tasks_and_counts_annotators(tmp_path):
    tasks = [task(i, "ab"[i % 2]) for i in range(20)] + [task(20, "a", cancelled=True), task(21)]
    found = data.load(as_json(tmp_path / "export.json", tasks))
    assert names_of(found) == ["a", "b"] * 10
    assert isinstance(found.train.inputs, Texts)
    assert [item.what for item in found.reading.skipped] == ["task 20 (text number 20)", "record 20"]
    several = [task(i, "ab"[i % 2], "ab"[i % 2], "b") for i in range(20)]
    found = data.load(as_json(tmp_path / "several.json", several))
    assert names_of(found) == ["a", "b"] * 10
    assert found.annotations.quality.tolist() == [1, 1, 0.5]


def test_label_studios_short_forms_are_its_long_one(tmp_path):
    rows = [
        {"id": i, "text": f"text number {i}", "sentiment": "ab"[i % 2], "annotator": 1, "annotation_id": 5 + i,
         "created_at": "x", "updated_at": "x", "lead_time": 1.5}
        for i in range(20)
    ]  # fmt: skip
    found = data.load(as_json(tmp_path / "min.json", rows))
    assert (names_of(found), found.reading.columns) == (["a", "b"] * 10, ("text",))
    pd = pytest.importorskip("pandas")
    pd.DataFrame(rows).to_csv(tmp_path / "min.csv", index=False)
    assert data.load(tmp_path / "min.csv").fingerprint == found.fingerprint


def test_prodigy_keeps_what_was_accepted(tmp_path):
    lines = [
        {"text": f"text number {i}", "accept": ["ab"[i % 2]], "answer": "accept", "_input_hash": i} for i in range(20)
    ]
    lines += [{"text": "no", "accept": ["a"], "answer": "reject", "_input_hash": 20}]
    lines += [{"text": "hm", "accept": [], "answer": "ignore", "_input_hash": 21}]
    path = tmp_path / "prodigy.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    found = data.load(path)
    assert names_of(found) == ["a", "b"] * 10
    assert len(found.reading.skipped) == 2


def test_argilla_takes_submitted_responses_of_either_version(tmp_path):
    nested = [
        {"id": str(i), "fields": {"text": f"text number {i}"}, "suggestions": {"mood": {"value": "c"}},
         "responses": {"mood": [{"value": "ab"[i % 2], "user_id": "u", "status": "submitted"},
                                {"value": "c", "user_id": "v", "status": "draft"}]}}
        for i in range(20)
    ]  # fmt: skip
    assert names_of(data.load(as_json(tmp_path / "two.json", nested))) == ["a", "b"] * 10
    first = [
        {"text": f"text number {i}", "label": [{"user_id": "u", "value": "ab"[i % 2], "status": "submitted"}]}
        for i in range(20)
    ]
    assert names_of(data.load(as_json(tmp_path / "one.json", first))) == ["a", "b"] * 10


BOTH = {"from_name": "mood", "type": "choices", "value": {"choices": ["a", "b"]}}


@pytest.mark.parametrize(
    "content",
    [
        [{"text": f"text {i}", "label": ["a", "b"]} for i in range(20)],
        [task(i) | {"annotations": [{"result": [BOTH]}]} for i in range(3)],
        {"images": [{"id": 1, "file_name": "1.png"}], "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
         "annotations": [{"image_id": 1, "category_id": 1}, {"image_id": 1, "category_id": 2}]},
    ],
)  # fmt: skip
def test_several_labels_an_item_are_refused(tmp_path, content):
    with pytest.raises(DataError, match="has several labels"):
        data.load(as_json(tmp_path / "multi.json", content))


def test_cvat_refuses_entities(tmp_path):
    (tmp_path / "annotations.xml").write_text('<!DOCTYPE a [<!ENTITY x "y">]><annotations/>')
    with pytest.raises(DataError, match="has no DOCTYPE"):
        data.load(tmp_path)


def test_fast_text_lines_are_texts(tmp_path):
    (tmp_path / "t.txt").write_text("".join(f"__label__{'ab'[i % 2]} some text {i}\n" for i in range(20)))
    found = data.load(tmp_path / "t.txt")
    assert (names_of(found), found.train.inputs[0][:9]) == (["a", "b"] * 10, "some text")


# Objects of Python


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
        assert names_of(found) == labels
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
    assert names_of(found) == ["pug", "cat"] * 10
    other = data.load(frame[["x"]], frame["breed"])
    assert names_of(other) == names_of(found)


def test_a_hub_data_set_keeps_the_names_of_its_classes():
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["neg", "pos"])})
    made = datasets.Dataset.from_dict({"text": WORDS, "label": [0, 1] * 10}, features)
    assert names_of(data.load(made)) == ["neg", "pos"] * 10
    parts = datasets.DatasetDict({"train": made, "test": made.select(range(4))})
    found = data.load(parts)
    assert (len(found.train), len(found.test)) == (20, 4)
