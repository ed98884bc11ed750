"""Laws of records and of the tables made from them, over records of any content."""

from __future__ import annotations

import csv
import io
import re
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import count
from noiseproof import escaping
from noiseproof.errors import DataError
from noiseproof.experiments import records
from noiseproof.reporting import table_formats
from noiseproof.reporting.aggregate import aggregate
from support.made_records import made

LAWS = settings(max_examples=count(25, 500))
FOLDERS = settings(max_examples=count(8, 200))  # each example writes several records to the disk

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)  # no file holds a lone surrogate
numbers = st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@st.composite
def any_record(draw: st.DrawFn, **run: Any) -> records.Record:
    """Of any run, with any curves, notes and findings."""
    told = {"method": draw(texts), "noise": draw(texts), "settings": draw(st.dictionaries(texts, values, max_size=3))}
    seed, accuracy = draw(st.integers(0, 10**9)), draw(st.floats(0, 100))
    record = made(seed, accuracy=accuracy, **told | run)
    result = {**record["result"], "curves": draw(st.dictionaries(texts, st.lists(st.none() | numbers), max_size=3))}
    found = {"health": draw(st.dictionaries(texts, values, max_size=3)), "seconds": draw(st.floats(0, 1e9))}
    return {**record, "result": result, **found}  # type: ignore[typeddict-item]


some_records = st.lists(any_record(), max_size=4, unique_by=lambda record: record["run_id"])


def folder_of(place: Path, some: list[records.Record]) -> Path:
    (place / "runs").mkdir(parents=True)
    for record in some:
        assert records.write(place, record)
    return place


def backwards(value: Any) -> Any:
    """The same value, every dict filled in the other order."""
    if isinstance(value, dict):
        return {key: backwards(value[key]) for key in reversed(list(value))}
    return [backwards(each) for each in value] if isinstance(value, list) else value


# Records


@LAWS
@given(any_record())
def test_a_record_is_read_as_it_was_written_and_says_the_same_in_any_order_of_its_keys(record):
    with tempfile.TemporaryDirectory() as name:
        records.write(Path(name), record)
        back = records.read(records.location(Path(name), record["run_id"]))
    assert {key: value for key, value in back.items() if key != "sha256"} == record
    assert records.seal(backwards(record)) == records.seal(record) == records.seal(back)
    assert records.run_id(backwards(record["run"])) == record["run_id"]


@LAWS
@given(any_record(), st.data())
def test_a_record_of_which_any_part_was_changed_lost_or_doubled_is_not_read(record, data):
    sound = records.seal(record)
    start = data.draw(st.integers(0, len(sound) - 1))
    end = data.draw(st.integers(start, min(len(sound), start + 20)))
    changed = sound[:start] + data.draw(st.binary(max_size=20)) + sound[end:]
    with tempfile.TemporaryDirectory() as name:
        path = records.location(Path(name), record["run_id"])
        path.parent.mkdir(parents=True)
        path.write_bytes(changed)
        try:
            records.read(path)
        except DataError:
            return
    assert changed == sound


@FOLDERS
@given(some_records, st.randoms(use_true_random=False))
def test_a_folder_holds_what_was_written_in_whatever_order(some, chance):
    shuffled = chance.sample(some, len(some))
    with tempfile.TemporaryDirectory() as name:
        one, other = folder_of(Path(name, "a"), some), folder_of(Path(name, "b"), shuffled)
        reading = records.read_folder(one)
        assert reading == records.read_folder(other)
        assert [record["run_id"] for record in reading.records] == sorted(record["run_id"] for record in some)
        assert not any(records.write(one, {**record, "seconds": 0.125}) for record in some)  # the first result stays
        assert records.read_folder(one) == reading


@FOLDERS
@given(some_records, some_records)
def test_merging_gives_the_union_once_and_ours_where_both_have_a_run(mine, theirs):
    with tempfile.TemporaryDirectory() as name:
        one, other = folder_of(Path(name, "a"), mine), folder_of(Path(name, "b"), theirs)
        ours = {record["run_id"]: record for record in records.read_folder(one).records}
        before = records.read_folder(other)
        merged = records.merge(other, one)
        union = {record["run_id"]: record for record in before.records} | ours
        assert {record["run_id"]: record for record in records.read_folder(one).records} == union
        assert records.read_folder(other) == before
        assert merged.copied == len(union) - len(ours)
        again = records.merge(other, one)
        assert (again.copied, again.present + len(again.differing)) == (0, len(before.records))


# Tables


@st.composite
def seeds_of_two_methods(draw: st.DrawFn) -> list[records.Record]:
    """Finished and failed runs of two methods."""
    found = []
    for method in ("ce", "gce"):
        for seed in draw(st.lists(st.integers(0, 99), max_size=5, unique=True)):
            status = draw(st.sampled_from(["done", "done", "failed"]))
            found.append(made(seed, accuracy=draw(st.floats(0, 100)), status=status, method=method, loss=method))
    return found


@LAWS
@given(seeds_of_two_methods())
def test_a_row_is_the_mean_of_the_finished_runs_of_one_method_and_counts_the_others(some):
    for row in aggregate(some):
        own = [record for record in some if record["run"]["method"] == row.method]
        done = [record["result"]["accuracy"] for record in own if record["status"] == "done"]
        assert (row.n, row.n + len(row.failed) + len(row.diverged)) == (len(done), len(own))
        assert row.mean == (fmean(done) if done else None)
        if len(done) > 1:
            assert min(done) - 1e-9 <= row.mean <= max(done) + 1e-9
            assert np.isclose(row.std, np.std(done, ddof=1), rtol=1e-9, atol=1e-9)
    assert sum(row.n + len(row.failed) for row in aggregate(some)) == len(some)


@LAWS
@given(seeds_of_two_methods(), st.randoms(use_true_random=False))
def test_no_number_depends_on_the_order_of_the_records_or_on_failed_runs(some, chance):
    assert table_formats.render(chance.sample(some, len(some)), "csv") == table_formats.render(some, "csv")
    means = {row.method: (row.mean, row.std, row.n) for row in aggregate(some)}
    failed = [made(1000 + n, status="failed", method=method, loss=method) for n, method in enumerate(means)]
    assert {row.method: (row.mean, row.std, row.n) for row in aggregate([*some, *failed])} == means


@LAWS
@given(st.text(max_size=30) | st.text("=+-@\t\r\n',\"", max_size=5))
def test_any_name_is_one_field_of_a_csv_and_no_formula(name):
    record = made(method=name.encode("utf-8", "replace").decode(), loss="ce")
    head, line = csv.reader(io.StringIO(table_formats.render([record], "csv"), newline=""))
    fields = dict(zip(head, line, strict=True))
    name = re.sub(r"\r\n?", "\n", record["run"]["method"])
    assert fields["method"] in (name, f"'{name}")
    assert not re.match(r"[=+\-@\t\r\n＝＋－＠]", fields["method"])


# How LaTeX is given what it would act on: as a command, behind a backslash, in braces.
HARMLESS = r"\\[a-z]+\{[0-9]?\}|\\[{}$&#_%]|\$(\\[a-z]+|-)\$|\{[\[\]*]\}|[-,]\{\}"


@LAWS
@given(st.text(max_size=30) | st.text("|<>[]{}\\`*_$&#%~^-,'\" \n", max_size=12))
def test_any_name_is_plain_text_in_every_form(name):
    unseen = r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]"
    assert not re.search(unseen, escaping.visible(name))
    assert not re.search(r"[<>\"']", escaping.html(name))
    assert not re.search(r"(?<!\\)(\\\\)*[|*_`~$\[\]]", escaping.markdown(name))
    assert not re.search(r"[<>\n]", escaping.markdown(name))
    assert not re.search(r"[\\{}$&#_%~^<>|\"`\[\]*]", re.sub(HARMLESS, "", escaping.latex(name)))


def test_a_record_names_the_versions_that_are_installed_and_no_others(monkeypatch):
    import torch

    def only_torch(name: str) -> str:
        if name != "torch":
            raise records.PackageNotFoundError(name)
        return "9.9"

    assert records.versions()["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    monkeypatch.setattr(records, "version", only_torch)
    assert records.versions().keys() == {"noiseproof", "python", "torch"}
    assert records.versions()["torch"] == "9.9"
