"""An hour of coverage-guided fuzzing of the pickle reader, N hours in `./test --campaign N`."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from conftest import ROOT

HOURS = int(os.environ.get("NOISEPROOF_CAMPAIGN") or 0)


@pytest.mark.campaign
@pytest.mark.skipif(not HOURS, reason="takes an hour; runs in ./test --campaign N")
def test_no_input_that_reaches_something_new_breaks_the_pickle_reader(tmp_path, tally):
    pytest.importorskip("atheris", reason="pip install atheris (Linux, CPython up to 3.13)")
    words = [
        sys.executable,
        ROOT / "tests" / "campaigns" / "fuzz_pickle.py",
        tmp_path / "corpus",
        f"-max_total_time={3600 * HOURS}",
    ]
    done = subprocess.run(words, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    runs, seconds = map(int, re.findall(r"Done (\d+) runs in (\d+) second", done.stderr)[-1])
    assert seconds >= 3600 * HOURS
    assert len(list((tmp_path / "corpus").iterdir())) > 100, "the fuzzer saw no coverage"
    tally("inputs of the coverage-guided fuzzer on the pickle reader", runs)
