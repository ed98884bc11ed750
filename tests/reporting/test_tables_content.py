"""A table averages what was computed on the same content, and says what else was not alike."""

from __future__ import annotations

import pytest

from noiseproof.experiments import records
from noiseproof.reporting import table_formats
from noiseproof.reporting.aggregate import aggregate
from support.made_records import make_record


def made(seed: int, accuracy: float, content: dict[str, str], **changed):
    record = make_record(seed=seed, accuracy=accuracy, **{k: v for k, v in changed.items() if k != "run"})
    run = {**record["run"], "content": content, **changed.get("run", {})}
    return {**record, "run": run, "run_id": records.run_id(run)}


@pytest.mark.parametrize("key", ["matrix", "method matrix", "labels", "weights", "code loss mine"])
def test_what_differs_in_content_shares_no_mean(key):
    noise = "transition(file='T.csv')" if key == "matrix" else "symmetric(rate=0.4)"
    extra = {"method": "forward(transition=file('T.csv'))"} if key == "method matrix" else {}
    run = {"settings": {**make_record()["run"]["settings"], "model": {"name": "mlp", "weights": "w.pt"}}}
    run["settings"] = {**run["settings"], "method": {**run["settings"]["method"], **extra}}
    found = [made(1, 80.0, {key: "a" * 64}, noise=noise, run=run), made(2, 90.0, {key: "b" * 64}, noise=noise, run=run)]
    assert [(row.n, row.mean) for row in aggregate(found)] in ([(1, 80.0), (1, 90.0)], [(1, 90.0), (1, 80.0)])
    table = table_formats.render(found, "md")
    assert "aaaaaaaa" in table
    assert "bbbbbbbb" in table
    same = [made(1, 80.0, {key: "a" * 64}, noise=noise, run=run), made(2, 90.0, {key: "a" * 64}, noise=noise, run=run)]
    assert [(row.n, row.mean) for row in aggregate(same)] == [(2, 85.0)]


def test_the_same_data_under_two_paths_share_a_mean():
    found = [made(seed, 80.0, {"data": "a" * 64}, run={"data": path}) for seed, path in ((1, "d.csv"), (2, "e.csv"))]
    assert [row.n for row in aggregate(found)] == [2]


def test_versions_and_devices_that_differ_are_said_and_averaged():
    first, second = make_record(seed=1), make_record(seed=2, device="cuda:1 (NVIDIA H200)")
    second["versions"] = {**second["versions"], "torch": "2.14.0"}
    third = make_record(seed=3, device="cuda:0 (NVIDIA H200)")
    (row,) = aggregate([first, second, third])
    assert row.n == 3
    assert row.computed_with["device"] == ("NVIDIA H200", "cpu")
    table = table_formats.render([first, second, third], "md")
    assert "Not all runs were computed alike: device NVIDIA H200 and cpu; torch 2.13.0 and 2.14.0." in table
    assert "computed alike" not in table_formats.render([first], "md")
