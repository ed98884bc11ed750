"""The command line as a user meets it: exit codes, one clear message, no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import noiseproof
from support.commands import run_command


def noiseproof_command(*words: object, cwd=None, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "noiseproof", *map(str, words)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )


def test_it_tells_its_version():
    assert noiseproof_command("--version").stdout == f"noiseproof {noiseproof.__version__}\n"


def test_help_lists_every_command():
    help_text = noiseproof_command("--help").stdout
    for command in (
        "compare", "train", "sweep", "table", "figure", "report", "noise", "theory", "diagnose", "list", "data", "bench"
    ):  # fmt: skip
        assert f" {command} " in help_text


REFUSED = {
    "unknown data": (["compare", "digitz"], "did you mean 'digits'"),
    "missing file": (["compare", "nowhere/data.csv"], "nowhere/data.csv"),
    "unknown noise": (["compare", "digits", "--noise", "symetric(0.4)"], "did you mean 'symmetric'"),
    "rate above 1": (["compare", "digits", "--noise", "symmetric(1.5)"], "rate must lie in [0, 1], got rate=1.5"),
    "rate of no number": (["compare", "digits", "--noise", "symmetric(high)"], "rate"),
    "no rate": (["compare", "digits", "--noise", "symmetric"], "symmetric needs rate"),
    "unknown method": (["compare", "digits", "--methods", "ce,jal-cee"], "jal-ce"),
    "unknown loss parameter": (["compare", "digits", "--methods", "gce(k=2)"], "gce has no parameter 'k'"),
    "no method": (["compare", "digits", "--methods", ""], "method"),
    "seeds": (["compare", "digits", "--seeds", "0"], "seed"),
    "code in a text": (["compare", "digits", "--methods", "__import__('os').system('x')"], "cannot read"),
    "unknown setting": (["compare", "digits", "--set", "train.epoch=3"], "no key 'train.epoch' (there are: epochs"),
    "list": (["list", "lossez"], "did you mean 'losses'"),
    "grid": (["sweep", "table33", "--out", "x"], "table3"),
    "theory": (["theory", "ncee", "--noise", "symmetric(0.8)", "--classes", "10"], "did you mean 'nce'"),
    "table of nothing": (["table", "no-such-folder"], "no-such-folder"),
    "unknown command": (["comprae", "digits"], "No such command"),
    "unknown option": (["compare", "digits", "--nois", "clean"], "No such option"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_gets_one_clear_sentence_and_code_2(case, tmp_path, monkeypatch):
    words, expected = REFUSED[case]
    monkeypatch.chdir(tmp_path)
    code, said = run_command(words)
    assert code == 2, said
    assert expected in " ".join(said.split()), said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []


def test_what_is_wrong_goes_to_stderr():
    done = noiseproof_command("compare", "digits", "--noise", "symetric(0.4)")
    assert "did you mean 'symmetric'" in done.stderr
    assert done.stdout == ""


def test_a_folder_that_cannot_be_written_is_refused_with_code_3(tmp_path):
    (tmp_path / "file").write_text("in the way")
    done = noiseproof_command("compare", "digits", "--out", tmp_path / "file" / "results")
    assert done.returncode == 3
    assert str(tmp_path / "file") in done.stderr
    assert "Traceback" not in done.stderr


def test_debug_shows_the_traceback():
    done = noiseproof_command("--debug", "list", "lossez")
    assert done.returncode == 1
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("what", ["losses", "methods", "noise", "data", "models", "recipes"])
def test_everything_that_exists_is_listed(what):
    rows = json.loads(noiseproof_command("list", what, "--json").stdout)
    assert rows
    assert all(all(isinstance(value, str) for value in row.values()) for row in rows)
    plain = noiseproof_command("list", what, COLUMNS="160").stdout
    assert all(next(iter(row.values())).split("(")[0] in plain for row in rows)


def test_a_reader_that_leaves_early_is_no_error():
    done = subprocess.run(
        f"{sys.executable} -m noiseproof list methods | head -n 1", shell=True, capture_output=True, text=True
    )
    assert done.returncode == 0
    assert "Traceback" not in done.stderr
