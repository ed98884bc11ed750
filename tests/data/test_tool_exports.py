"""Exports of labelling tools: what people answered is read, anything else is refused with the remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from noiseproof import data
from noiseproof.data.dataset import Texts
from noiseproof.errors import DataError
from support.made_files import (
    CLASSES,
    COUNT,
    MESSAGES,
    TEXTS,
    TOPICS,
    as_json,
    json_lines,
    labels_of,
    picture,
    table,
    write,
)

BOTH = {"from_name": "mood", "type": "choices", "value": {"choices": ["a", "b"]}}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


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
    assert labels_of(one) == labels_of(other)
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
    assert labels_of(found) == ["a", "b"] * 10
    assert isinstance(found.train.inputs, Texts)
    assert [item.what for item in found.reading.skipped] == ["task 20 (text number 20)", "record 20"]
    several = [task(i, "ab"[i % 2], "ab"[i % 2], "b") for i in range(20)]
    found = data.load(as_json(tmp_path / "several.json", several))
    assert labels_of(found) == ["a", "b"] * 10
    assert found.annotations.quality.tolist() == [1, 1, 0.5]


def test_label_studios_short_forms_are_its_long_one(tmp_path):
    rows = [
        {"id": i, "text": f"text number {i}", "sentiment": "ab"[i % 2], "annotator": 1, "annotation_id": 5 + i,
         "created_at": "x", "updated_at": "x", "lead_time": 1.5}
        for i in range(20)
    ]  # fmt: skip
    found = data.load(as_json(tmp_path / "min.json", rows))
    assert (labels_of(found), found.reading.columns) == (["a", "b"] * 10, ("text",))
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
    assert labels_of(found) == ["a", "b"] * 10
    assert len(found.reading.skipped) == 2


def test_argilla_takes_submitted_responses_of_either_version(tmp_path):
    nested = [
        {"id": str(i), "fields": {"text": f"text number {i}"}, "suggestions": {"mood": {"value": "c"}},
         "responses": {"mood": [{"value": "ab"[i % 2], "user_id": "u", "status": "submitted"},
                                {"value": "c", "user_id": "v", "status": "draft"}]}}
        for i in range(20)
    ]  # fmt: skip
    assert labels_of(data.load(as_json(tmp_path / "two.json", nested))) == ["a", "b"] * 10
    first = [
        {"text": f"text number {i}", "label": [{"user_id": "u", "value": "ab"[i % 2], "status": "submitted"}]}
        for i in range(20)
    ]
    assert labels_of(data.load(as_json(tmp_path / "one.json", first))) == ["a", "b"] * 10


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


def test_a_ground_truth_manifest_names_the_class_in_its_metadata(tmp_path):
    records = [
        {"source": text, "job": "abc".index(label), "job-metadata": {"class-name": label, "confidence": 0.9}}
        for text, label in zip(TEXTS, CLASSES, strict=True)
    ]
    found = data.load(write(tmp_path / "output.manifest", "\n".join(map(json.dumps, records))))
    assert labels_of(found) == CLASSES
    assert isinstance(found.train.inputs, Texts)


def asked(answers: list[str], label: object = "spam") -> list[dict[str, object]]:
    return [
        {"text": text, "label": label, "answer": answer, "_input_hash": 7 * place, "_task_hash": 13 * place}
        for place, (text, answer) in enumerate(zip(MESSAGES, answers, strict=True))
    ]


def test_answers_about_one_label_are_two_classes(tmp_path):
    answers = [("accept", "reject", "ignore")[place % 3] for place in range(COUNT)]
    found = data.load(json_lines(tmp_path / "spam.jsonl", asked(answers)))
    assert found.classes == ("not spam", "spam")
    assert labels_of(found) == [{"accept": "spam", "reject": "not spam"}[each] for each in answers if each != "ignore"]
    assert [item.why for item in found.reading.skipped] == ["answers are ignored"] * 10


def test_a_rejection_among_several_labels_is_no_label(tmp_path):
    answers = ["reject" if place == 4 else "accept" for place in range(COUNT)]
    records = [{**record, "label": TOPICS[place]} for place, record in enumerate(asked(answers))]
    found = data.load(json_lines(tmp_path / "news.jsonl", records))
    assert len(found.everything()) == COUNT - 1
    assert "not" not in " ".join(found.classes)


def test_predictions_of_argillas_first_version_are_no_labels(tmp_path):
    records = [
        {
            "id": f"u{place}", "text": text, "inputs": {"text": text},
            "annotation": TOPICS[place] if place > 1 else None,
            "prediction": [{"label": "ham", "score": 0.9}], "status": "Discarded" if place == 1 else "Validated",
        }
        for place, text in enumerate(MESSAGES)
    ]  # fmt: skip
    path = tmp_path / "argilla.json"
    path.write_text(json.dumps(records))
    found = data.load(path)
    assert labels_of(found) == TOPICS[2:]
    assert sorted(item.why for item in found.reading.skipped) == ["records have no label", "records were discarded"]


def test_uploads_of_label_studio_are_found_by_their_name(tmp_path):
    rows = [
        [place, f"/data/upload/4/{place}%20a.png", TOPICS[place], 1, place, "2024-01-01T00:00:00Z", 2.5]
        for place in range(COUNT)
    ]
    for place in range(COUNT):
        picture(tmp_path / "photos" / f"{place} a.png")
    header = "id,image,choice,annotator,annotation_id,created_at,lead_time"
    found = data.load(table(tmp_path / "export.csv", header, rows))
    assert labels_of(found) == TOPICS
    assert found.everything().origin.paths[0] == "photos/0 a.png"


@pytest.mark.parametrize(
    ("header", "order"),
    [
        ("INPUT:text\tOUTPUT:result\tGOLDEN:result\tASSIGNMENT:worker_id\tASSIGNMENT:task_id", "tl-wi"),
        ("HITId\tWorkerId\tAssignmentStatus\tInput.text\tAnswer.category.label", "iw-tl"),
        ("task\tworker\tlabel\ttext", "iwlt"),
    ],
)
def test_crowd_platforms_give_an_answer_a_row(tmp_path, header, order):
    rows = []
    for place, text in enumerate(MESSAGES):
        for worker in range(3):
            answer = TOPICS[place] if worker else TOPICS[(place + 1) % COUNT]
            cells = {"t": text, "l": answer, "-": "", "w": f"w{worker}", "i": f"task{place}"}
            rows.append([cells[each] for each in order])
    found = data.load(table(tmp_path / "answers.tsv", header, rows, "\t"))
    assert labels_of(found) == TOPICS
    assert found.everything().origin.keys == tuple(f"task{place}" for place in range(COUNT))
    assert len(found.annotations.annotators) == 3


def test_annotations_of_doccanos_first_version_are_labels(tmp_path):
    records = [
        {
            "id": place,
            "text": text,
            "annotations": [{"label": place % 3, "user": user} for user in (1, 2)][: place % 2 + 1],
        }
        for place, text in enumerate(MESSAGES)
    ]
    found = data.load(json_lines(tmp_path / "doccano.jsonl", records))
    assert labels_of(found) == [str(place % 3) for place in range(COUNT)]
    assert found.annotations.annotators == ("1", "2")


def test_records_behind_one_that_is_left_out_keep_their_place(tmp_path):
    answers = ["ignore" if place in (0, 4) else ("accept", "reject")[place % 2] for place in range(COUNT)]
    origin = data.load(json_lines(tmp_path / "spam.jsonl", asked(answers))).everything().origin
    kept = [place for place, answer in enumerate(answers) if answer != "ignore"]
    assert origin.index.tolist() == kept
    assert origin.rows.tolist() == [place + 1 for place in kept]
    assert origin.keys == tuple(str(7 * place) for place in kept)


def decided(folder: Path, header: str, row: str) -> Path:
    path = folder / "decisions.csv"
    path.write_text(f"{header}\n{row}\n")
    return path


def test_a_new_label_is_written_as_the_answer_that_says_it(tmp_path):
    from noiseproof.doctor.cleaning import clean, read_decisions

    answers = ["ignore" if place == 0 else ("accept", "reject")[place % 2] for place in range(COUNT)]
    source = json_lines(tmp_path / "spam.jsonl", asked(answers))
    review = decided(tmp_path, "_input_hash,given,decision,label", "21,not spam,relabel,spam")  # the fourth record
    clean(source, read_decisions(review), tmp_path / "new.jsonl")
    new = [json.loads(line) for line in (tmp_path / "new.jsonl").read_text().splitlines()]
    assert [record["answer"] for record in new] == [*answers[:3], "accept", *answers[4:]]


def test_a_new_label_is_written_as_a_one_hot_row(tmp_path):
    from noiseproof.doctor.cleaning import clean, read_decisions

    rows = np.eye(3, dtype=np.int64)[np.arange(COUNT) % 3]
    np.savez(tmp_path / "a.npz", x=np.random.default_rng(0).normal(size=(COUNT, 3)), y=rows)
    review = decided(tmp_path, "index,given,decision,label", "4,1,relabel,2")
    clean(tmp_path / "a.npz", read_decisions(review), tmp_path / "b.npz")
    wanted = rows.copy()
    wanted[4] = [0, 0, 1]
    np.testing.assert_array_equal(np.load(tmp_path / "b.npz")["y"], wanted)
