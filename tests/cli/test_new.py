"""The files that `noiseproof new` writes run as they are."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from noiseproof.cli.app import app
from noiseproof.cli.new import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_part_has_a_template_and_no_file_is_overwritten(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["new", kind, "my-part"])
    (file,) = tmp_path.iterdir()
    assert done.exit_code == 0, done.output
    assert file.name in done.output
    assert "my-part" in file.read_text() or "MyPart" in file.read_text()
    assert not {"NAME", "TITLE"} & set(file.read_text().replace('"', " ").replace("(", " ").split())
    assert CliRunner().invoke(app, ["new", kind, "my-part"]).exit_code != 0


def test_the_method_obeys_the_laws_and_trains(tmp_path):
    def run(*words: str) -> str:
        done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("-m", "noiseproof", "new", "method", "my-method")
    assert "laws" in run("my_method.py")
    command = "train digits --import my_method.py --method my-method(loss=gce,most=0.3) --epochs 1"
    run("-m", "noiseproof", *command.split())
