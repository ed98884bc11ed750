"""`train --stuck-after` ends a training that stands still; one without it is only reported."""

from __future__ import annotations

import multiprocessing
import sys
import time

import pytest
from typer.testing import CliRunner

from noiseproof.cli.app import app
from noiseproof.cli.stuck_training import watched


@pytest.mark.parametrize(
    ("stuck_after", "status", "last"),
    [(0.4, 3, "given up; the same command goes on"), (None, 0, "--stuck-after SECONDS gives it up")],
)
def test_a_training_that_stands_still_is_reported_and_on_request_given_up(tmp_path, stuck_after, status, last):
    said = tmp_path / "said"

    def train() -> None:
        sys.stderr = said.open("w")
        with watched(stuck_after, report_after=0.2):
            while not said.read_text():
                time.sleep(0.05)
            time.sleep(60 if stuck_after else 0)

    child = multiprocessing.get_context("fork").Process(target=train)
    child.start()
    child.join()
    assert child.exitcode == status
    assert said.read_text().startswith("noiseproof: no progress for")
    assert last in said.read_text()


def test_a_learner_on_features_has_a_time_limit_instead(tmp_path):
    table = tmp_path / "d.csv"
    table.write_text("a,label\n" + "".join(f"{i},{i % 2}\n" for i in range(20)))
    done = CliRunner().invoke(app, ["train", str(table), "--out", str(tmp_path / "out"), "--stuck-after", "60"])
    assert "--time-limit" in str(done.exception)
