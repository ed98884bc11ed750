"""Exports of labelling tools and wrong folders: read as their users expect, or refused with the remedy."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from noiseproof import data
from noiseproof.data.dataset import Files
from noiseproof.data.readers import listing
from noiseproof.errors import DataError

COUNT = 30
CLASSES = [("spam", "ham", "news")[place % 3] for place in range(COUNT)]
TEXTS = [f"message number {place} says {CLASSES[place]} or something else" for place in range(COUNT)]


def lines(path: Path, records: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def table(path: Path, header: str, rows: list[list[object]], mark: str = ",") -> Path:
    path.write_text(header + "\n" + "".join(mark.join(map(str, row)) + "\n" for row in rows))
    return path


def picture(path: Path, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), hash(path.name) % 200, np.uint8)).save(path, **options)
    return path


def labels_of(found: data.Data) -> list[str]:
    whole = found.everything()
    return [found.classes[label] for label in whole.given.tolist()]


# Prodigy


def asked(answers: list[str], label: object = "spam") -> list[dict[str, object]]:
    return [
        {"text": text, "label": label, "answer": answer, "_input_hash": 7 * place, "_task_hash": 13 * place}
        for place, (text, answer) in enumerate(zip(TEXTS, answers, strict=True))
    ]


def test_answers_about_one_label_are_two_classes(tmp_path):
    answers = [("accept", "reject", "ignore")[place % 3] for place in range(COUNT)]
    found = data.load(lines(tmp_path / "spam.jsonl", asked(answers)))
    assert found.classes == ("not spam", "spam")
    assert labels_of(found) == [{"accept": "spam", "reject": "not spam"}[each] for each in answers if each != "ignore"]
    assert [item.why for item in found.reading.skipped] == ["answers are ignored"] * 10


def test_a_rejection_among_several_labels_is_no_label(tmp_path):
    answers = ["reject" if place == 4 else "accept" for place in range(COUNT)]
    records = [{**record, "label": CLASSES[place]} for place, record in enumerate(asked(answers))]
    found = data.load(lines(tmp_path / "news.jsonl", records))
    assert len(found.everything()) == COUNT - 1
    assert "not" not in " ".join(found.classes)


# Argilla, Label Studio, Toloka, Mechanical Turk


def test_predictions_of_argillas_first_version_are_no_labels(tmp_path):
    records = [
        {
            "id": f"u{place}", "text": text, "inputs": {"text": text},
            "annotation": CLASSES[place] if place > 1 else None,
            "prediction": [{"label": "ham", "score": 0.9}], "status": "Discarded" if place == 1 else "Validated",
        }
        for place, text in enumerate(TEXTS)
    ]  # fmt: skip
    path = tmp_path / "argilla.json"
    path.write_text(json.dumps(records))
    found = data.load(path)
    assert labels_of(found) == CLASSES[2:]
    assert sorted(item.why for item in found.reading.skipped) == ["records have no label", "records were discarded"]


def test_uploads_of_label_studio_are_found_by_their_name(tmp_path):
    rows = [
        [place, f"/data/upload/4/{place}%20a.png", CLASSES[place], 1, place, "2024-01-01T00:00:00Z", 2.5]
        for place in range(COUNT)
    ]
    for place in range(COUNT):
        picture(tmp_path / "photos" / f"{place} a.png")
    header = "id,image,choice,annotator,annotation_id,created_at,lead_time"
    found = data.load(table(tmp_path / "export.csv", header, rows))
    assert labels_of(found) == CLASSES
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
    for place, text in enumerate(TEXTS):
        for worker in range(3):
            answer = CLASSES[place] if worker else CLASSES[(place + 1) % COUNT]
            cells = {"t": text, "l": answer, "-": "", "w": f"w{worker}", "i": f"task{place}"}
            rows.append([cells[each] for each in order])
    found = data.load(table(tmp_path / "answers.tsv", header, rows, "\t"))
    assert labels_of(found) == CLASSES
    assert found.everything().origin.keys == tuple(f"task{place}" for place in range(COUNT))
    assert len(found.annotations.annotators) == 3


# Texts among other columns


def test_dates_and_constants_beside_texts_are_not_learned_from(tmp_path):
    rows = [
        [4 * (place % 2), 1000 + 7 * place, f"Mon Apr 06 22:{place:02}:45 PDT 2009", "NO_QUERY", f"user{place}", text]
        for place, text in enumerate(TEXTS)
    ]
    found = data.load(table(tmp_path / "tweets.csv", "target,ids,date,flag,user,text", rows))
    assert found.reading.columns == ("text",)
    assert {"date", "flag", "user"} <= set(found.reading.ignored)


def test_texts_with_commas_are_no_numbers_in_json(tmp_path):
    records = [
        {"title": f"Title, {place}", "body": text, "words": place, "label": CLASSES[place]}
        for place, text in enumerate(TEXTS)
    ]
    assert labels_of(data.load(lines(tmp_path / "news.jsonl", records))) == CLASSES


def test_a_number_of_a_text_is_not_the_name_of_a_picture_beside_it(tmp_path):
    for place in range(COUNT):
        picture(tmp_path / f"{place}.png")
    rows = [[place, text, CLASSES[place]] for place, text in enumerate(TEXTS)]
    found = data.load(table(tmp_path / "texts.csv", "id,text,label", rows))
    assert found.reading.columns == ("text",)


# Pictures


FORMATS = {"jp2": "JPEG2000", "avif": "AVIF", "heic": "HEIF", "tiff": "TIFF", "jfif": "JPEG"}


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


# Wrong folders


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


# Guesses that would succeed wrongly


def test_a_table_of_the_pictures_in_folders_is_the_source_of_labels(tmp_path):
    for place in range(COUNT):
        picture(tmp_path / f"part_{place % 2}" / f"ISIC_{place:05}.png")
    rows = [[f"lesion{place // 2}", f"ISIC_{place:05}", CLASSES[place]] for place in range(COUNT)]
    table(tmp_path / "metadata_1.csv", "lesion_id,image_id,diagnosis", rows)
    found = data.load(tmp_path)
    assert labels_of(found) == CLASSES
    rows = [[*row, "mf"[place % 2]] for place, row in enumerate(rows)]
    table(tmp_path / "metadata_1.csv", "lesion_id,image_id,dx,gender", rows)
    with pytest.raises(DataError, match="'dx'"):
        data.load(tmp_path)  # a question, not the folders for classes
    assert labels_of(data.load(tmp_path, label="dx")) == CLASSES


def test_class_folders_stay_the_classes_where_a_table_repeats_them(tmp_path):
    rows = []
    for place in range(COUNT):
        path = picture(tmp_path / CLASSES[place] / f"{place}.png")
        rows.append([path.relative_to(tmp_path), CLASSES[place], 8])
    table(tmp_path / "listing.csv", "path,class,width", rows)
    found = data.load(tmp_path)
    assert found.reading.form == "class folders"
    assert sorted(labels_of(found)) == sorted(CLASSES)


def test_an_unnamed_first_column_holds_names_of_rows_or_is_refused(tmp_path):
    rows = [[f"r{place}", place % 7, CLASSES[place]] for place in range(COUNT)]
    assert labels_of(data.load(table(tmp_path / "r.csv", "x,label", rows))) == CLASSES
    quoted = [[f"'it, {text}'", CLASSES[place]] for place, text in enumerate(TEXTS)]
    with pytest.raises(DataError, match="row 2: 3 values, the header has 2"):
        data.load(table(tmp_path / "quoted.csv", "text,label", quoted))


def test_codes_of_letters_and_digits_are_ids(tmp_path):
    codes = np.random.default_rng(0).integers(0, 256, (COUNT, 8), np.uint8)
    rows = [
        [bytes(code).hex(), text, CLASSES[place]] for place, (code, text) in enumerate(zip(codes, TEXTS, strict=True))
    ]
    found = data.load(table(tmp_path / "reviews.csv", "review,comment,label", rows))
    assert found.reading.columns == ("comment",)
    assert found.everything().origin.key == "review"


def test_a_column_that_says_the_label_is_pointed_out(tmp_path):
    rows = [[place % 7, CLASSES[place], CLASSES[place].upper(), "xy"[place % 2]] for place in range(COUNT)]
    found = data.load(table(tmp_path / "leak.csv", "number,label,shown,other", rows))
    notes = [note for note in found.notes if "says the label" in note]
    assert len(notes) == 1
    assert "'shown' says the label" in notes[0]


def test_annotations_of_doccanos_first_version_are_labels(tmp_path):
    records = [
        {
            "id": place,
            "text": text,
            "annotations": [{"label": place % 3, "user": user} for user in (1, 2)][: place % 2 + 1],
        }
        for place, text in enumerate(TEXTS)
    ]
    found = data.load(lines(tmp_path / "doccano.jsonl", records))
    assert labels_of(found) == [str(place % 3) for place in range(COUNT)]
    assert found.annotations.annotators == ("1", "2")


def test_an_unknown_delimiter_is_asked_for(tmp_path):
    path = table(
        tmp_path / "caret.csv", "a^b^label", [[place, place % 5, CLASSES[place]] for place in range(COUNT)], "^"
    )
    with pytest.raises(DataError, match=r"separated by '\^'\? then add --delimiter '\^'"):
        data.load(path)
    assert labels_of(data.load(path, delimiter="^")) == CLASSES


def test_records_behind_one_that_is_left_out_keep_their_place(tmp_path):
    answers = ["ignore" if place in (0, 4) else ("accept", "reject")[place % 2] for place in range(COUNT)]
    origin = data.load(lines(tmp_path / "spam.jsonl", asked(answers))).everything().origin
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
    source = lines(tmp_path / "spam.jsonl", asked(answers))
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
