"""Cleaned copies of folders of texts and of linked folders, and sources of which no copy is written."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from noiseproof import data
from noiseproof.doctor import cleaning
from noiseproof.doctor.cleaning import Decision
from noiseproof.errors import InputError


def texts(folder: Path, count: int = 12) -> Path:
    for i in range(count):
        place = folder / ("bad", "good")[i % 2] / f"{i}.txt"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(f"film number {i} was {place.parent.name}")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_of_texts_is_cleaned_and_comes_back(tmp_path):
    source = texts(tmp_path / "films")
    decisions = [
        Decision({"path": "bad/0.txt"}, "bad", "relabel", "good"),
        Decision({"path": "good/1.txt"}, "good", "drop"),
    ]
    done = cleaning.clean(source, decisions, tmp_path / "clean")
    assert (tmp_path / "clean" / "good" / "0.txt").read_text() == "film number 0 was bad"
    assert len(data.load(tmp_path / "clean").everything()) == 11
    cleaning.undo(done.log, tmp_path / "back")
    assert tree(tmp_path / "back") == tree(source)


def test_a_linked_class_is_copied_too(tmp_path):
    store = texts(tmp_path / "store")
    source = texts(tmp_path / "films")
    (store / "bad").rename(store / "dull")
    (source / "dull").symlink_to(store / "dull")
    cleaning.clean(source, [Decision({"path": "good/1.txt"}, "good", "drop")], tmp_path / "clean")
    assert data.load(tmp_path / "clean").reading.counts == {"bad": 6, "dull": 6, "good": 5}


def test_what_cannot_be_written_back_is_refused_with_the_remedy(tmp_path):
    source = texts(tmp_path / "films")
    with zipfile.ZipFile(tmp_path / "films.zip", "w") as archive:
        for name, content in tree(source).items():
            archive.writestr(name, content)
    drop = [Decision({"index": "0"}, "", "drop")]
    with pytest.raises(InputError, match="unpack the archive"):
        cleaning.clean(tmp_path / "films.zip", drop, tmp_path / "clean.zip")
    (tmp_path / "list.txt").write_text("".join(f"{('ham', 'spam')[i % 2]}\tcall {i} now\n" for i in range(20)))
    with pytest.raises(InputError, match="save it as CSV with a header"):
        cleaning.clean(tmp_path / "list.txt", drop, tmp_path / "clean.txt")
    (tmp_path / "parts").mkdir()
    for part in ("train", "test"):
        rows = "".join(f"{i},{('x', 'y')[i % 2]}\n" for i in range(20))
        (tmp_path / "parts" / f"{part}.csv").write_text("a,label\n" + rows)
    with pytest.raises(InputError, match="clean each of them"):
        cleaning.clean(tmp_path / "parts", drop, tmp_path / "clean")
