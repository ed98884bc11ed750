"""What was computed stays: failures make way for results, bad data stop their own runs only, trials are kept."""

from __future__ import annotations

import json
from functools import partial
from importlib import import_module

import numpy as np
import pytest

from noiseproof import data, models, noise, recipes
from noiseproof.errors import DataError
from noiseproof.experiments import changes, grid, record_arrays, records
from noiseproof.experiments.driver import pending, run_all, run_one
from noiseproof.experiments.executors.local import LocalPool
from noiseproof.experiments.specification import Run
from noiseproof.experiments.upgrade import upgrade
from support.made_records import made
from support.made_runs import runs, work

tuning = import_module("noiseproof.selection.tune")  # its package has a function of that name


# Large parts


def large(classes: int = 3000) -> records.Record:
    record = made()
    matrix = np.eye(classes) * 0.75 + np.roll(np.eye(classes), 1, axis=1) * 0.25
    return {**record, "noise": {**record["noise"], "transition": matrix}}


def test_a_record_of_3000_classes_is_read_as_it_was_written_and_stays_small(tmp_path):
    record = large()
    assert records.write(tmp_path, record)
    path = records.location(tmp_path, record["run_id"])
    assert sum(file.stat().st_size for file in path.parent.iterdir()) < 1 << 20
    assert np.array_equal(records.read(path)["noise"]["transition"], record["noise"]["transition"])
    assert records.check(tmp_path) == ()
    assert records.read_folder(tmp_path, whole=False).records[0]["noise"]["transition"] == []


def test_a_part_that_is_missing_or_changed_is_named(tmp_path):
    record = large(300)
    records.write(tmp_path, record)
    path = records.location(tmp_path, record["run_id"])
    (name,) = record_arrays.names(json.loads(path.read_text()))
    raw = bytearray((path.parent / name).read_bytes())
    raw[-1] ^= 1
    (path.parent / name).write_bytes(raw)
    assert "does not match its SHA-256" in records.check(tmp_path)[0].reason
    (path.parent / name).unlink()
    assert "is missing" in records.read_folder(tmp_path).damaged[0].reason


def test_merging_takes_large_parts_along(tmp_path):
    records.write(tmp_path / "theirs", large(300))
    assert records.merge(tmp_path / "theirs", tmp_path / "ours").copied == 1
    assert records.check(tmp_path / "ours") == ()
    (record,) = records.read_folder(tmp_path / "ours").records
    assert np.array_equal(record["noise"]["transition"], large(300)["noise"]["transition"])


def test_a_record_that_could_not_be_read_again_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_LARGEST", 500)
    with pytest.raises(DataError, match="at most 500 are read"):
        records.write(tmp_path, made())
    assert not records.location(tmp_path, made()["run_id"]).exists()


# Failures


def test_merging_prefers_a_result_to_a_failure_from_either_side(tmp_path):
    for ours, theirs in (("failed", "done"), ("done", "failed")):
        folder = tmp_path / ours
        records.write(folder / "a", made(status=ours))
        records.write(folder / "b", made(status=theirs))
        merged = records.merge(folder / "b", folder / "a")
        assert merged.differing == ()
        assert [record["status"] for record in records.read_folder(folder / "a").records] == ["done"]


def test_a_failed_run_is_tried_again_on_request_and_its_record_kept_among_the_notes(tmp_path):
    (run,) = runs(1)
    records.write(tmp_path, made(status="failed"))
    assert run_one(run, tmp_path, partial(work, run))["status"] == "failed"
    assert run_one(run, tmp_path, partial(work, run), retry_failed=True)["status"] == "done"
    assert len(list((records.location(tmp_path, run.run_id).parent / "notes").iterdir())) == 1


# Bad data

BAD = "bad.csv, row 3: no number"


def refuses_some(run: Run, *, progress):
    if run.spec["data"] == "bad.csv":
        raise DataError(BAD)
    return {**made(**run.spec)}


def test_a_bad_data_set_stops_its_own_runs_only(tmp_path):
    mixed = [run for pair in zip(runs(3, data="bad.csv"), runs(3), strict=True) for run in pair]
    summary = run_all(mixed, tmp_path, LocalPool(1), lambda run: partial(refuses_some, run))
    assert [(run.spec["data"], str(error)) for run, error in summary.unfinished] == [("bad.csv", BAD)] * 3
    found = records.read_folder(tmp_path).records
    assert [record["run"]["data"] for record in found] == ["digits"] * 3


def test_a_data_set_that_cannot_be_read_leaves_the_rest_of_a_grid(tmp_path):
    (tmp_path / "bad.csv").write_text("a,label\nx,0\n")
    bad = {}
    made_runs = grid.runs(["digits", str(tmp_path / "bad.csv")], ["clean"], ["ce"], [1], on_bad_data=bad.setdefault)
    assert [run.spec["data"] for run in made_runs] == ["digits"]
    assert list(bad) == [str(tmp_path / "bad.csv")]
    with pytest.raises(DataError):
        grid.runs(["digits", str(tmp_path / "bad.csv")], ["clean"], ["ce"], [1])


# Tuning


def test_a_trial_that_was_kept_is_not_trained_again(tmp_path, monkeypatch):
    digits, recipe = data.load("digits"), recipes.load("digits", {"train.epochs": 1})
    noisy = noise.corrupt(digits.train.given, "symmetric(0.4)", num_classes=10, seed=1)
    first = tuning.tune(digits, noisy, ["ce", "mae"], recipe, keep=tmp_path)
    trained = []
    fit = tuning.fit
    monkeypatch.setattr(tuning, "fit", lambda *args, **named: trained.append(args[2].name) or fit(*args, **named))
    tuning.tune(digits, noisy, ["ce", "mae", "gce"], recipe, keep=tmp_path)
    assert trained == ["gce"]
    assert tuning.tune(digits, noisy, ["ce", "mae"], recipe, keep=tmp_path) == first
    other = noise.corrupt(digits.train.given, "symmetric(0.4)", num_classes=10, seed=2)
    tuning.tune(digits, other, ["ce"], recipe, keep=tmp_path)
    assert trained == ["gce", "ce"]


# Changes and earlier versions


def spec(path: str, digest: str | None, seed: int = 1) -> dict:
    return {**made(seed)["run"], "data": path, **({"content": {"data": digest}} if digest else {})}


def recorded(folder, run: dict, schema: int = 2) -> None:
    records.write(folder, {**made(), "schema": schema, "run": run, "run_id": records.run_id(run)})


def test_the_command_says_what_has_changed_since(tmp_path):
    for seed in (1, 2, 3):
        recorded(tmp_path, spec("d.csv", "a" * 64, seed))
    now = Run(records.canonical(spec("./d.csv", "b" * 64)))
    assert changes.notices([now], tmp_path) == ["./d.csv has changed since the 3 runs recorded here"]
    assert changes.notices([Run(records.canonical(spec("d.csv", "a" * 64)))], tmp_path) == []
    assert changes.notices([now], tmp_path / "absent") == []


def test_records_of_schema_1_are_taken_over_where_their_content_can_be_checked(tmp_path):
    lines = [f"{i % 7},{i % 2 + i / 100},{i % 2}" for i in range(40)]
    for name in ("same.csv", "changed.csv"):
        (tmp_path / name).write_text("a,b,label\n" + "\n".join(lines) + "\n")
        (run,) = grid.runs([str(tmp_path / name)], ["symmetric(0.2)"], ["ce"], [1], overrides={"train.epochs": 1})
        old = {key: value for key, value in run.spec.items() if key != "content"}
        record = {**made(), "schema": 1, "run": old, "run_id": records.run_id(old)}
        found = data.load(str(tmp_path / name))
        records.write(tmp_path, {**record, "data": {"name": name, "fingerprint": found.fingerprint, "notes": []}})
    (tmp_path / "changed.csv").write_text("a,b,label\n" + "\n".join(reversed(lines)) + "\n")
    (run,) = grid.runs(["digits"], ["clean"], ["ce"], [1])
    noted = {"data": {"name": "digits", "fingerprint": data.load("digits").fingerprint, "notes": []}}
    records.write(tmp_path, {**made(), **noted, "schema": 1, "run": run.spec, "run_id": run.run_id})
    done = upgrade(tmp_path)
    assert (done.taken_over, done.unchanged) == (1, 1)
    assert [why.rpartition("/")[2] for _, why in done.left] == ["changed.csv has changed since"]
    (run,) = grid.runs([str(tmp_path / "same.csv")], ["symmetric(0.2)"], ["ce"], [1], overrides={"train.epochs": 1})
    assert records.read(records.location(tmp_path, run.run_id))["schema"] == 2
    assert len(records.read_folder(tmp_path).records) == 3
    assert upgrade(tmp_path).taken_over == 0


def test_a_record_of_other_files_than_the_official_ones_is_none_of_theirs(tmp_path):
    (run,) = runs(1)
    other = {"name": "digits", "fingerprint": "1" * 64, "notes": ["not the official digits files: train"]}
    records.write(tmp_path, {**made(), "schema": 1, "data": other})
    assert pending([run], tmp_path) == ([run], [])


def test_the_same_weights_are_known_by_their_bytes(tmp_path):
    (tmp_path / "w.pt").write_bytes(b"some")
    assert models.weights_content(str(tmp_path / "w.pt"))["weights"][:6] == "a6b46d"
