"""A record is written once, verified whenever it is read, and never hides another one."""

from __future__ import annotations

import hashlib
import json
import math
import random
import shutil

import pytest

from conftest import count
from noiseproof.cli import main
from noiseproof.errors import DataError, DataMissingError
from noiseproof.experiments import records
from noiseproof.storage import files
from support.made_records import made

AGAIN = "its grid, run again, computes it anew"


def test_what_is_written_is_read(tmp_path):
    for record in (made(), made(2, status="failed"), made(3, noise="human(worst)")):
        assert records.write(tmp_path, record)
        read = records.read(records.location(tmp_path, record["run_id"]))
        assert {**read, "sha256": None} == {**record, "sha256": None}


def test_the_hash_covers_the_canonical_text_without_itself(tmp_path):
    records.write(tmp_path, made())
    raw = records.location(tmp_path, made()["run_id"]).read_text()
    content = json.loads(raw)
    stated = content.pop("sha256")
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n"
    assert hashlib.sha256(text.encode()).hexdigest() == stated


def test_the_second_result_of_a_run_is_discarded(tmp_path):
    assert records.write(tmp_path, made(accuracy=90.0))
    assert not records.write(tmp_path, made(accuracy=91.0))
    (only,) = records.read_folder(tmp_path).records
    assert only["result"]["accuracy"] == 90.0


def test_every_single_flipped_bit_is_found(tmp_path):
    record = made()
    records.write(tmp_path, record)
    path = records.location(tmp_path, record["run_id"])
    raw = path.read_bytes()
    bits = range(8 * len(raw))
    missed = []
    for bit in random.Random(0).sample(bits, min(len(bits), count(2000, 8000))):
        damaged = bytearray(raw)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            records.read(path)
            missed.append(bit)
        except DataError:
            pass
    assert missed == []


@pytest.mark.parametrize("keep", [0, 1, 40, 600, -1])
def test_a_truncated_record_is_found(tmp_path, keep):
    record = made()
    records.write(tmp_path, record)
    path = records.location(tmp_path, record["run_id"])
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match="does not match its SHA-256"):
        records.read(path)


def resealed(record, **changes):
    return records.seal({**record, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schema": 3}, "it has schema 3; this noiseproof reads schemas up to 2: update noiseproof"),
        ({"schema": 3, "new": []}, "it has schema 3"),
        ({"status": "great"}, "status: input should be 'done', 'diverged' or 'failed'"),
        ({"extra": 1}, "extra: extra inputs are not permitted"),
        ({"seconds": "long"}, "seconds: input should be a valid number"),
        ({"seconds": None}, "seconds: input should be a valid number"),
        ({"run_id": "0" * 64}, "it is the record of run 000000000000, in the folder of another"),
        ({"run": {**made()["run"], "seed": 7}}, "its run does not have the name it says"),
    ],
)
def test_a_well_sealed_record_that_is_wrong_is_refused_by_name(tmp_path, changes, words):
    record = made()
    path = records.location(tmp_path, record["run_id"])
    files.write_atomic(path, resealed(record, **changes))
    with pytest.raises(DataError) as refusal:
        records.read(path)
    assert words in str(refusal.value)


def test_a_record_with_a_missing_entry_or_in_a_foreign_folder_is_refused(tmp_path):
    record = made()
    whole = records.location(tmp_path, "0" * 64)
    files.write_atomic(whole, records.seal(record))
    with pytest.raises(DataError, match="in the folder of another"):
        records.read(whole)
    path = records.location(tmp_path, record["run_id"])
    files.write_atomic(path, records.seal({k: v for k, v in record.items() if k != "result"}))
    with pytest.raises(DataError, match="result: field required"):
        records.read(path)


def test_numbers_that_are_not_finite_cannot_be_recorded(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        records.write(tmp_path, made(accuracy=math.nan))
    assert records.read_folder(tmp_path).records == ()


def test_deep_or_huge_texts_are_refused_and_not_followed(tmp_path, monkeypatch):
    record = made()
    path = records.location(tmp_path, record["run_id"])
    deep: list = []
    for _ in range(500):
        deep = [deep]
    files.write_atomic(path, resealed(record, health={"deep": deep}))
    with pytest.raises(DataError, match="recursion"):
        records.read(path)
    monkeypatch.setattr(records, "_LARGEST", 100)
    with pytest.raises(DataError, match="at most 100 are read"):
        records.read(path)


def test_a_damaged_record_is_named_and_hides_no_other(tmp_path):
    for seed in range(5):
        records.write(tmp_path, made(seed))
    broken = records.location(tmp_path, made(3)["run_id"])
    broken.write_text("{}")
    (tmp_path / "runs" / "begun").mkdir()  # a run that has not finished is no damage
    reading = records.read_folder(tmp_path)
    assert sorted(r["run"]["seed"] for r in reading.records) == [0, 1, 2, 4]
    assert [d.path for d in reading.damaged] == [broken]
    assert str(records.check(tmp_path)[0]) == f"{broken}: its content does not match its SHA-256; {AGAIN}"


def test_the_order_of_writing_leaves_no_trace(tmp_path):
    made_up = [made(seed) for seed in range(20)]
    for folder, order in (("a", made_up), ("b", made_up[::-1])):
        for record in order:
            records.write(tmp_path / folder, record)
    assert records.read_folder(tmp_path / "a") == records.read_folder(tmp_path / "b")


def test_a_folder_that_is_not_there_is_missing_and_an_empty_one_is_empty(tmp_path):
    with pytest.raises(DataMissingError, match="there is no folder"):
        records.read_folder(tmp_path / "absent")
    assert records.read_folder(tmp_path) == records.Reading((), ())


def test_merging_copies_what_is_absent_and_reports_what_differs(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for seed in (1, 2, 3):
        records.write(ours, made(seed))
    for record in (made(3), made(2, accuracy=50.0), made(4), made(5)):
        records.write(theirs, record)
    records.location(theirs, made(5)["run_id"]).write_text("damaged")
    merged = records.merge(theirs, ours)
    assert (merged.copied, merged.present) == (1, 1)
    assert merged.differing == (records.location(ours, made(2)["run_id"]),)
    assert [d.path for d in merged.damaged] == [records.location(theirs, made(5)["run_id"])]
    seeds = {r["run"]["seed"]: r["result"]["accuracy"] for r in records.read_folder(ours).records}
    assert seeds == {1: 90.0, 2: 90.0, 3: 90.0, 4: 90.0}
    again = records.merge(theirs, ours)
    assert (again.copied, again.present) == (0, 2)


def test_merging_takes_along_what_a_run_kept_and_leaves_the_other_folder_as_it_was(tmp_path):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    records.write(theirs, made(1))
    records.location(theirs, made(1)["run_id"]).with_name("outputs.safetensors").write_bytes(b"scores")
    before = {path: path.stat().st_mtime_ns for path in theirs.rglob("*")}
    assert records.merge(theirs, ours).copied == 1
    assert records.location(ours, made(1)["run_id"]).with_name("outputs.safetensors").read_bytes() == b"scores"
    assert {path: path.stat().st_mtime_ns for path in theirs.rglob("*")} == before


def command(monkeypatch, capsys, *words: object) -> tuple[object, str, str]:
    monkeypatch.setattr("sys.argv", ["noiseproof", "records", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    return end.value.code or 0, *capsys.readouterr()


def test_the_command_line_checks_and_merges(tmp_path, monkeypatch, capsys):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for record in (made(1), made(2), made(3, status="failed")):
        records.write(ours, record)
    for record in (made(2, accuracy=50.0), made(4), made(5)):
        records.write(theirs, record)
    code, out, err = command(monkeypatch, capsys, "check", ours)
    assert (code, out, err) == (0, f"{ours}: 3 records are whole (1 failed, 2 done)\n", "")
    damaged, differing = (records.location(folder, made(seed)["run_id"]) for folder, seed in ((theirs, 5), (ours, 2)))
    damaged.write_text("{}")
    code, out, err = command(monkeypatch, capsys, "merge", theirs, ours)
    assert (code, err) == (2, "")
    assert f"! left out {damaged}: its content does not match its SHA-256; {AGAIN}\n" in out
    assert f"! {differing}: the other folder has another result of this run; this one stays\n" in out
    assert f"{ours}: 1 records copied, 0 were there already\n" in out
    code, out, _ = command(monkeypatch, capsys, "check", theirs)
    assert code == 2
    assert out.splitlines()[0] == f"! {damaged}: its content does not match its SHA-256; {AGAIN}"
    assert "1 damaged; the same sweep moves them aside and computes their runs again" in out
    code, out, err = command(monkeypatch, capsys, "check", tmp_path / "absent")
    assert (code, out) == (2, "")
    assert "there is no folder" in err


def test_records_survive_copying_the_folder(tmp_path):
    for seed in range(3):
        records.write(tmp_path / "a", made(seed))
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert records.read_folder(tmp_path / "a") == records.read_folder(tmp_path / "b")


@pytest.fixture
def cached(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "_WORTH_A_CACHE", 2)
    for seed in range(6):
        records.write(tmp_path, made(seed))
    records.read_folder(tmp_path, whole=False)
    assert (tmp_path / "records.cache").is_file()
    return tmp_path


def test_the_short_form_is_the_record_without_its_curves_and_matrix_from_the_cache_or_not(cached):
    def short(record):
        result, noise = {**record["result"], "curves": {}}, {**record["noise"], "transition": []}
        return {**record, "result": result, "noise": noise}

    expected = tuple(short(record) for record in records.read_folder(cached).records)
    warm = records.read_folder(cached, whole=False)
    (cached / "records.cache").unlink()
    cold = records.read_folder(cached, whole=False)
    assert warm == cold == records.Reading(expected, ())


def test_a_cache_that_says_other_than_the_records_is_not_believed(cached):
    true = records.read_folder(cached, whole=False)
    rows = records._read_cache(cached)
    for digest, entry in rows.values():
        entry["result"]["accuracy"] = 99.9
        assert len(digest) == 64
    records._write_cache(cached, rows)
    assert records._read_cache(cached) == rows
    assert records.read_folder(cached, whole=False) == true
    assert records._read_cache(cached) != rows


def test_an_untouched_cache_spares_reading_the_records_anew(cached, monkeypatch):
    true = records.read_folder(cached, whole=False)
    monkeypatch.setattr(records, "_checked", None)
    assert records.read_folder(cached, whole=False) == true


def test_the_cache_never_hides_a_change(cached):
    paths = [records.location(cached, made(seed)["run_id"]) for seed in range(3)]
    paths[0].unlink()
    raw = bytearray(paths[1].read_bytes())
    raw[100] ^= 1
    paths[1].write_bytes(raw)
    records.write(cached, made(9))
    reading = records.read_folder(cached, whole=False)
    assert sorted(r["run"]["seed"] for r in reading.records) == [2, 3, 4, 5, 9]
    assert [d.path for d in reading.damaged] == [paths[1]]


def test_a_damaged_cache_is_not_used(cached):
    before = records.read_folder(cached, whole=False)
    path = cached / "records.cache"
    raw = path.read_bytes()
    forged = b'{"0":["1",{"status":"done"}]}'  # whoever can compute a hash can seal anything
    sealed = hashlib.sha256(forged).hexdigest().encode() + b"\n" + forged
    for bad in (b"", b"{}", raw[:-1], raw.replace(b"90.0", b"99.0"), b"\xff" * 100, sealed):
        path.write_bytes(bad)
        assert records.read_folder(cached, whole=False) == before
        assert path.read_bytes() == raw


def test_a_folder_that_may_only_be_read_is_read(cached, monkeypatch):
    (cached / "records.cache").unlink()

    def refuse(*args, **kwargs):
        raise files.NotCommitted("read-only")

    monkeypatch.setattr(files, "write_atomic", refuse)
    assert len(records.read_folder(cached, whole=False).records) == 6
