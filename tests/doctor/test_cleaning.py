"""From suspects to a cleaned data set in its own form, and back byte for byte."""

from __future__ import annotations

import gzip
import json
import random

import numpy as np
import pandas as pd
import pytest

from conftest import count
from noiseproof.data import load
from noiseproof.doctor import cleaning
from noiseproof.doctor.cleaning import Decision
from noiseproof.errors import DataError, InputError

DIALECTS = {
    "comma": (",", "\n", "utf-8", False),
    "semicolon": (";", "\r\n", "utf-8-sig", False),
    "tab": ("\t", "\n", "utf-8", False),
    "bar": ("|", "\n", "utf-8", True),
    "quoted utf-16": (",", "\r\n", "utf-16", True),
}
CLASSES = ["cat", "dog", "a, b", 'say "x"']


def table(delimiter=",", end="\n", encoding="utf-8", quote=False, rows=24, seed=1):
    """A CSV with an id, two numbers and a label; and its labels."""
    draw = random.Random(seed)
    labels = [CLASSES[i % 4] for i in range(rows)]

    def field(value):
        text = str(value)
        if quote or any(mark in text for mark in (delimiter, '"', "\n")):
            return '"' + text.replace('"', '""') + '"'
        return text

    lines = [["key", "x", "label", "z"]]
    lines += [[f"k{i}", round(draw.random(), 3), labels[i], draw.randrange(9) + 0.5] for i in range(rows)]
    text = end.join(delimiter.join(map(field, line)) for line in lines) + end
    return text.encode(encoding), labels


def decision(key, given, what, label="", weight=None):
    return Decision({"key": key}, given, what, label, weight, "test", "2026-01-01T00:00:00")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_table_comes_back_in_its_own_dialect_and_the_log_gives_the_bytes_of_the_original(tmp_path, dialect):
    content, labels = table(*DIALECTS[dialect])
    source, out, again = tmp_path / "t.csv", tmp_path / "new.csv", tmp_path / "again.csv"
    source.write_bytes(content)
    decisions = [
        decision("k0", labels[0], "drop"),
        decision("k5", labels[5], "relabel", 'say "x"'),
        decision("k6", labels[6], "keep"),
        decision("k23", labels[23], "drop"),
    ]
    done = cleaning.clean(source, decisions, out, id="key", label="label")
    encoding = DIALECTS[dialect][2]
    lines = content.decode(encoding).splitlines()
    made = out.read_bytes().decode(encoding).splitlines()
    assert made[0] == lines[0]
    assert [line for line in made if line in lines] == [line for i, line in enumerate(lines) if i not in (1, 6, 24)]
    found = load(out, id="key", label="label").everything()
    assert len(found) == 22
    assert found.classes[int(found.given[4])] == 'say "x"'
    assert cleaning.undo(done.log, again).read_bytes() == content


def test_untouched_bytes_stay_whatever_the_decisions(tmp_path):
    """Random decisions about a random table: what is left has its bytes, what is undone is the original."""
    for seed in range(count(10, 60)):
        draw = random.Random(seed)
        content, labels = table(rows=30, seed=seed)
        folder = tmp_path / str(seed)
        folder.mkdir()
        source = folder / "t.csv"
        source.write_bytes(content)
        chosen = draw.sample(range(30), draw.randrange(1, 12))
        kinds = [draw.choice(["drop", "relabel", "weight", "keep"]) for _ in chosen]
        decisions = [
            decision(f"k{i}", labels[i], kind, "dog" if kind == "relabel" else "", 0.25 if kind == "weight" else None)
            for i, kind in zip(chosen, kinds, strict=True)
        ]
        done = cleaning.clean(source, decisions, folder / "new.csv", id="key", label="label")
        lines = (folder / "new.csv").read_text().splitlines()
        dropped = kinds.count("drop")
        assert len(lines) == 31 - dropped
        if "weight" in kinds:
            assert lines[0].endswith(",sample_weight")
            assert sum(line.endswith(",0.25") for line in lines) == kinds.count("weight")
        assert cleaning.undo(done.log, folder / "again.csv").read_bytes() == content


def test_a_packed_table_stays_packed(tmp_path):
    content, labels = table()
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(content))
    done = cleaning.clean(
        tmp_path / "t.csv.gz", [decision("k1", labels[1], "drop")], tmp_path / "n.csv.gz", id="key", label="label"
    )
    assert len(gzip.decompress((tmp_path / "n.csv.gz").read_bytes()).splitlines()) == 24
    assert cleaning.undo(done.log, tmp_path / "o.csv.gz").read_bytes() == (tmp_path / "t.csv.gz").read_bytes()


def test_the_test_part_is_left_alone_unless_asked_for(tmp_path):
    rows = ["id,x,label,split", *(f"i{i},{i % 7},{'ab'[i % 2]},{'test' if i % 3 == 0 else 'train'}" for i in range(30))]
    (tmp_path / "t.csv").write_text("\n".join(rows) + "\n")
    decisions = [Decision({"id": "i0"}, "a", "drop"), Decision({"id": "i1"}, "b", "drop")]
    done = cleaning.clean(tmp_path / "t.csv", decisions, tmp_path / "one.csv")
    assert "i0,0,a,test" in (tmp_path / "one.csv").read_text()
    assert "i1," not in (tmp_path / "one.csv").read_text()
    assert any("i0" in note and "--also-test" in note for note in done.notes)
    cleaning.clean(tmp_path / "t.csv", decisions, tmp_path / "two.csv", also_test=True)
    assert "i0," not in (tmp_path / "two.csv").read_text()


def test_parquet_keeps_schema_and_compression(tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    labels = pa.array(["cat", "dog"] * 20).dictionary_encode()
    made = pa.table({"x": np.arange(40) % 9 + 0.5, "label": labels, "key": [f"k{i}" for i in range(40)]})
    made = made.replace_schema_metadata({"who": "me"})
    source = tmp_path / "t.parquet"
    parquet.write_table(made, source, compression="zstd")
    decisions = [decision("k0", "cat", "drop"), decision("k3", "dog", "relabel", "cat")]
    done = cleaning.clean(source, decisions, tmp_path / "new.parquet", id="key")
    found = parquet.read_table(tmp_path / "new.parquet")
    assert found.schema.equals(made.schema, check_metadata=True)
    assert len(found) == 39
    assert found.column("label").to_pylist()[2] == "cat"
    assert parquet.ParquetFile(tmp_path / "new.parquet").metadata.row_group(0).column(0).compression == "ZSTD"
    assert cleaning.undo(done.log, tmp_path / "again.parquet").read_bytes() == source.read_bytes()


def test_arrays_lose_the_same_rows_everywhere(tmp_path):
    x, y = np.random.default_rng(0).normal(size=(20, 3)).astype("f4"), np.arange(20) % 2
    np.savez(tmp_path / "a.npz", x_train=x, y_train=y, x_test=x[:4], y_test=y[:4], note=np.arange(7))
    decisions = [Decision({"index": "0"}, "0", "drop"), Decision({"index": "5"}, "1", "relabel", "0")]
    done = cleaning.clean(tmp_path / "a.npz", decisions, tmp_path / "b.npz")
    with np.load(tmp_path / "b.npz") as found:
        assert found["x_train"].shape == (19, 3)
        assert found["y_train"].tolist() == [1, 0, 1, 0, 0, *(y[6:].tolist())]
        assert len(found["x_test"]) == 4
        assert len(found["note"]) == 7
        assert found["y_train"].dtype == y.dtype
    assert cleaning.undo(done.log, tmp_path / "c.npz").read_bytes() == (tmp_path / "a.npz").read_bytes()


@pytest.fixture
def photos(tmp_path):
    from PIL import Image

    draw = np.random.default_rng(0)
    for part, number in (("train", 6), ("test", 2)):
        for name in ("cat", "dog"):
            (tmp_path / "pets" / part / name).mkdir(parents=True)
            for i in range(number):
                pixels = draw.integers(0, 255, (12, 10, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "pets" / part / name / f"{i}.png")
    (tmp_path / "pets" / "LICENSE").write_text("free")
    return tmp_path / "pets"


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.parametrize("link", [False, True])
def test_a_folder_of_photos_comes_back_as_a_folder_and_the_log_gives_the_original(tmp_path, photos, link):
    before = tree(photos)
    train = load(photos).train
    assert train.origin is not None
    paths = {name.removeprefix(f"{photos}/").removeprefix("pets/"): name for name in train.origin.paths}
    dog, cat = paths["train/dog/0.png"], paths["train/cat/3.png"]
    decisions = [Decision({"path": dog}, "dog", "drop"), Decision({"path": cat}, "cat", "relabel", "dog")]
    done = cleaning.clean(photos, decisions, tmp_path / "new", link=link)
    made = tree(tmp_path / "new")
    assert "train/dog/0.png" not in made
    assert "train/cat/3.png" not in made
    assert made["train/dog/3-2.png"] == before["train/cat/3.png"]
    assert made["LICENSE"] == b"free"
    assert {k for k in made if k.startswith("test/")} == {k for k in before if k.startswith("test/")}
    assert tree(photos) == before
    cleaning.undo(done.log, tmp_path / "again")
    assert tree(tmp_path / "again") == before


def test_label_studio_coco_and_cvat_come_back_in_their_own_form(tmp_path):
    tasks = [
        {
            "id": i,
            "data": {"text": f"text number {i} about things"},
            "annotations": [
                {
                    "id": 100 + i,
                    "completed_by": 1,
                    "was_cancelled": False,
                    "result": [
                        {
                            "from_name": "topic",
                            "to_name": "text",
                            "type": "choices",
                            "value": {"choices": ["ab"[i % 2]]},
                        }
                    ],
                }
            ],
        }
        for i in range(12)
    ]
    source = tmp_path / "ls.json"
    source.write_text(json.dumps(tasks, indent=2))
    decisions = [Decision({"id": "0"}, "a", "drop"), Decision({"id": "1"}, "b", "relabel", "a")]
    done = cleaning.clean(source, decisions, tmp_path / "ls-new.json")
    made = json.loads((tmp_path / "ls-new.json").read_text())
    assert [task["id"] for task in made] == list(range(1, 12))
    assert made[0]["annotations"][0]["result"][0]["value"]["choices"] == ["a"]
    assert made[1:] == tasks[2:]
    assert cleaning.undo(done.log, tmp_path / "ls-old.json").read_bytes() == source.read_bytes()
    assert len(load(tmp_path / "ls-new.json").everything()) == 11

    from PIL import Image

    for i in range(12):
        Image.new("RGB", (8, 8), (20 * i, 0, 0)).save(tmp_path / f"{i}.png")
    coco = {
        "info": {"year": 2026},
        "images": [{"id": i, "file_name": f"{i}.png", "width": 8, "height": 8} for i in range(12)],
        "annotations": [{"id": i, "image_id": i, "category_id": 1 + i % 2} for i in range(12)],
        "categories": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}],
    }
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    done = cleaning.clean(tmp_path / "coco.json", decisions, tmp_path / "coco-new.json")
    made = json.loads((tmp_path / "coco-new.json").read_text())
    assert [one["id"] for one in made["images"]] == list(range(1, 12))
    assert made["annotations"][0]["category_id"] == 1
    assert cleaning.undo(done.log, tmp_path / "coco-old.json").read_bytes() == (tmp_path / "coco.json").read_bytes()

    images = "".join(
        f'  <image id="{i}" name="{i}.png" width="8" height="8">\n'
        f'    <tag label="{"ab"[i % 2]}" source="manual"></tag>\n  </image>\n'
        for i in range(12)
    )
    (tmp_path / "annotations.xml").write_text(
        f'<?xml version="1.0"?>\n<annotations>\n  <version>1.1</version>\n{images}</annotations>\n'
    )
    done = cleaning.clean(tmp_path / "annotations.xml", decisions, tmp_path / "new.xml")
    made = (tmp_path / "new.xml").read_text()
    assert 'id="0"' not in made
    assert '<image id="1" name="1.png" width="8" height="8">\n    <tag label="a"' in made
    assert cleaning.undo(done.log, tmp_path / "old.xml").read_bytes() == (tmp_path / "annotations.xml").read_bytes()


def test_json_lines_keep_their_style(tmp_path):
    lines = [json.dumps({"text": f"größe {i} und mehr", "label": "ab"[i % 2]}, ensure_ascii=False) for i in range(12)]
    (tmp_path / "t.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    decisions = [Decision({"index": "2"}, "a", "drop"), Decision({"index": "3"}, "b", "relabel", "a")]
    done = cleaning.clean(tmp_path / "t.jsonl", decisions, tmp_path / "n.jsonl")
    made = (tmp_path / "n.jsonl").read_text(encoding="utf-8").splitlines()
    assert made == [*lines[:2], lines[3].replace('"b"', '"a"'), *lines[4:]]
    assert cleaning.undo(done.log, tmp_path / "o.jsonl").read_bytes() == (tmp_path / "t.jsonl").read_bytes()


# Refusals, and what saves people


def test_a_label_that_has_changed_since_is_refused_by_row(tmp_path):
    content, _ = table()
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"row 2: its label is 'cat', the decision was made about 'dog'"):
        cleaning.clean(tmp_path / "t.csv", [decision("k0", "dog", "drop")], tmp_path / "n.csv", id="key", label="label")
    assert not (tmp_path / "n.csv").exists()


def test_nothing_is_overwritten_and_nothing_changed_in_place(tmp_path):
    content, labels = table()
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match="exists already"):
        cleaning.clean(
            tmp_path / "t.csv", [decision("k0", labels[0], "drop")], tmp_path / "t.csv", id="key", label="label"
        )
    assert (tmp_path / "t.csv").read_bytes() == content


def test_decisions_about_other_data_are_refused(tmp_path):
    content, _ = table()
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match="none of its 1 rows is about a sample"):
        cleaning.clean(tmp_path / "t.csv", [decision("q", "cat", "drop")], tmp_path / "n.csv", id="key", label="label")
    with pytest.raises(InputError, match="nothing in it says which sample"):
        cleaning.clean(
            tmp_path / "t.csv", [Decision({"who": "k0"}, "cat", "drop")], tmp_path / "n.csv", id="key", label="label"
        )


def issues(tmp_path, text):
    path = tmp_path / "issues.csv"
    path.write_text(text)
    return cleaning.read_issues(path)


def test_issues_that_a_spreadsheet_saved_are_read(tmp_path):
    plain = issues(tmp_path, "id,given,likely,suspicion,is_issue\n1,a,b,0.75,True\n2,a,a,0.5,False\n")
    assert (
        issues(tmp_path, "\ufeffid;given;likely;suspicion;is_issue\r\n2;a;a;0,5;FALSCH\r\n1;a;b;0,75;WAHR\r\n") == plain
    )
    assert issues(tmp_path, "id,given,likely,suspicion,is_issue\n1,a,b,75%,VRAI\n2,a,a,50%,FAUX\n") == plain
    with pytest.raises(DataError, match=r"row 2: suspicion must lie in \[0, 1\], got '7'"):
        issues(tmp_path, "id,given,likely,suspicion\n1,a,b,7\n")


def test_issues_saved_as_a_workbook_are_read(tmp_path):
    pytest.importorskip("openpyxl")
    plain = issues(tmp_path, "id,given,likely,suspicion,is_issue\n1,a,b,0.75,1\n2,a,a,0.5,0\n")
    pd.read_csv(tmp_path / "issues.csv").to_excel(tmp_path / "issues.xlsx", index=False)
    assert cleaning.read_issues(tmp_path / "issues.xlsx") == plain


def test_issues_without_flags_or_likely_labels_act_on_nothing_by_themselves(tmp_path):
    unflagged = issues(tmp_path, "id,given,likely,suspicion\n1,a,b,0.9\n2,a,,0.8\n")
    with pytest.raises(InputError, match=r"no column is_issue.*--score 0.5 or --top N"):
        cleaning.decide(unflagged, "drop")
    decisions, notes = cleaning.decide(unflagged, "relabel", score=0.5)
    assert [one.key["id"] for one in decisions] == ["1"]
    assert notes[0] == "1 suspects without a likely label keep the one that they have"


def test_an_id_that_lost_its_zeros_is_the_only_one_it_can_be(tmp_path):
    (tmp_path / "t.csv").write_text("id,x,label\n" + "".join(f"{i:03},{i % 7},{'ab'[i % 2]}\n" for i in range(20)))
    found = cleaning.clean(tmp_path / "t.csv", [Decision({"id": "7"}, "b", "drop")], tmp_path / "n.csv")
    assert found.counts["drop"] == 1
    assert "007" not in (tmp_path / "n.csv").read_text()


def test_a_weighted_table_is_not_learned_from_by_its_weights(tmp_path):
    rows = "".join(f"{i},{i % 7},{'ab'[i % 2]}\n" for i in range(20))
    (tmp_path / "t.csv").write_text("id,x,label\n" + rows)
    cleaning.clean(tmp_path / "t.csv", [Decision({"id": "7"}, "b", "weight", weight=0.25)], tmp_path / "n.csv")
    found = load(tmp_path / "n.csv")
    assert found.reading.columns == ("x",)
    assert found.reading.ignored["sample_weight"] == "made by noiseproof"


def test_nested_labels_and_utf_16_come_back_as_they_were(tmp_path):
    records = [{"id": str(i), "x": i % 7, "answer": {"label": "ab"[i % 2], "by": "ann"}} for i in range(20)]
    source, new = tmp_path / "t.jsonl", tmp_path / "n.jsonl"
    source.write_bytes("".join(json.dumps(record) + "\n" for record in records).encode("utf-16"))
    done = cleaning.clean(source, [Decision({"id": "7"}, "b", "relabel", "a")], new, label="answer.label")
    assert json.loads(new.read_text("utf-16").splitlines()[7])["answer"] == {"label": "a", "by": "ann"}
    assert cleaning.undo(done.log, tmp_path / "back.jsonl").read_bytes() == source.read_bytes()


def test_relabelling_without_a_review_needs_a_threshold_and_says_what_it_costs(tmp_path):
    found = issues(tmp_path, "id,given,likely,suspicion,is_issue\n1,a,b,0.9,True\n2,a,b,0.6,True\n3,b,b,0.1,False\n")
    with pytest.raises(InputError, match="needs a threshold"):
        cleaning.decide(found, "relabel")
    decisions, notes = cleaning.decide(found, "relabel", score=0.5)
    assert [(one.key["id"], one.label) for one in decisions] == [("1", "b"), ("2", "b")]
    assert "about 0 are expected to have been right" in notes[0] or "about 1 " in notes[0]  # 0.1 + 0.4
    weighted, _ = cleaning.decide(found, "weight")
    assert [one.weight for one in weighted] == [0.1, 0.4]
    assert len(cleaning.decide(found, "drop", top=1)[0]) == 1


def test_a_class_that_would_vanish_or_shrink_is_pointed_out():
    from noiseproof.doctor.cleaning.rules import warnings

    new = warnings([Decision({}, "a", "relabel", "Hunt")], ["a", "a", "hunt"])
    assert new == ["'Hunt' is the new label of 1 samples and no class of the data so far; is it spelled right?"]
    labels = ["a"] * 3 + ["b"] * 20 + ["c"] * 100
    decisions = [Decision({}, "a", "drop")] * 3 + [Decision({}, "b", "drop")] * 3 + [Decision({}, "c", "drop")] * 10
    found = warnings(decisions, labels)
    assert len(found) == 2
    assert "class 'a' will be empty" in found[0]
    assert "class 'b' loses 15%" in found[1]


def test_a_log_that_names_files_elsewhere_is_refused(tmp_path, photos):
    done = cleaning.clean(
        photos, [Decision({"path": load(photos).train.origin.paths[0]}, "cat", "drop")], tmp_path / "new"
    )
    content = json.loads(done.log.read_text())
    content["moves"][0]["old"] = "../../escaped"
    done.log.write_text(json.dumps(content))
    with pytest.raises(DataError, match="refused"):
        cleaning.undo(done.log, tmp_path / "again")
