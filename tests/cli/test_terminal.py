"""Output on a terminal: no control sequence of a label or a file name, and signs that an ASCII terminal can show."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from noiseproof.cli import terminal
from support.made_records import made

HOSTILE = "\x1b]0;owned\x07\x1b[31mred\u202e"


def noiseproof(*words: object, **changes: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "noiseproof", *map(os.fspath, words)], capture_output=True, env=os.environ | changes
    )


def test_control_sequences_of_a_file_name_are_shown_and_not_obeyed(tmp_path):
    done = noiseproof("diagnose", tmp_path / f"{HOSTILE}.csv")
    assert done.returncode == 2
    assert b"\x1b" not in done.stderr
    assert b"\x07" not in done.stderr
    assert r"\x1b]0;owned\x07\x1b[31mred\u202e" in done.stderr.decode()


def test_control_sequences_of_a_label_are_shown_and_not_obeyed(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text(f"a,b,label\n1,2,{HOSTILE}\n2,3,blue\n")
    done = noiseproof("diagnose", path)
    assert done.returncode == 2
    assert b"\x1b" not in done.stdout + done.stderr
    assert rb"\x1b[31mred" in done.stderr


def test_everything_printed_is_harmless_and_rich_still_colours(monkeypatch):
    from rich.console import Console

    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", out)
    with terminal.harmless_output():
        print(HOSTILE, "a\tb", end="\r\n")
        sys.stdout.writelines([HOSTILE])
        Console(force_terminal=True, color_system="standard").print("[red]x[/red]")
    out.flush()
    text = out.buffer.getvalue().decode()
    assert text.startswith("\\x1b]0;owned\\x07\\x1b[31mred\\u202e a\tb\r\n\\x1b]0;")
    assert "\x1b[31mx\x1b[0m" in text
    assert sys.stdout is out


@pytest.mark.parametrize("changes", [{"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_an_ascii_terminal_gets_signs_that_it_can_show(tmp_path, changes):
    from noiseproof.experiments import records

    for seed in (1, 2):
        records.write(tmp_path, made(seed, data="données"))
    done = noiseproof("table", tmp_path, PYTHONCOERCECLOCALE="0", **changes)
    assert done.returncode == 0, done.stderr
    assert " +- " in done.stdout.decode("ascii")
    assert rb"donn\xe9es" in done.stdout


def test_a_path_that_is_not_utf_8_is_one_sentence_before_anything_is_computed(tmp_path):
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
    folder.mkdir()
    (folder / "x.csv").write_text("a,label\n" + "1,p\n2,q\n" * 10)
    done = noiseproof("train", folder / "x.csv", "--out", tmp_path / "out")
    assert done.returncode == 2
    assert b"is not UTF-8, so no record could name it; rename it" in done.stderr
    assert b"Traceback" not in done.stderr
    assert b"epoch" not in done.stderr


def test_folders_nested_without_end_are_one_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(1200):
        os.mkdir("d")
        os.chdir("d")
    done = noiseproof("diagnose", tmp_path / "d")
    os.chdir(tmp_path)
    subprocess.run(["rm", "-rf", "d"], check=True)  # pytest's own removal calls itself for each level
    assert done.returncode in (2, 3)
    assert done.stderr.startswith(b"noiseproof: ")
    assert done.stderr.count(b"\n") == 1
    os.chdir(tmp_path)
