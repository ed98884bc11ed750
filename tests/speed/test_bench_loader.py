"""The loader's benchmark: every way of a job is measured beside Pillow at the same job."""

from __future__ import annotations

import json

from noiseproof.speed import loader


def test_the_table_has_pillow_beside_every_way(tmp_path):
    result = loader.run(rounds=1, pictures=512, jpegs=4, output=tmp_path / "loader.json")
    assert json.loads((tmp_path / "loader.json").read_text()) == result
    works = {row["work"] for row in result["rows"]}
    assert len(works) == 5
    for work in works:
        rows = {row["way"]: row for row in result["rows"] if row["work"] == work}
        assert rows["Pillow"]["times_pillow"] == 1
        assert len(rows) >= 2
        for row in rows.values():
            assert 0 < row["lowest"] <= row["images_per_second"] <= row["highest"]
    assert result["goal"] == 300_000
    # far from the goal, and true of any machine: batches beat pictures one by one
    small = next(row for row in result["rows"] if row["way"] == "noiseproof")
    assert small["times_pillow"] > 3
