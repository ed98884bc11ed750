"""A process is told apart from every other one, also from a later one of the same number."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from noiseproof.errors import MachineError
from noiseproof.storage import files, process
from noiseproof.storage.process import Process, this_process


def test_a_process_is_alive_until_it_ends_even_while_nobody_has_asked_for_its_end():
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    me = this_process()
    start = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()[19]
    named = Process(me.host, child.pid, start, me.boot)
    assert named.alive() is True
    assert Process("elsewhere", child.pid, start, me.boot).alive() is None
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
    assert named.alive() is False
    child.communicate()
    assert named.alive() is False


@pytest.fixture
def without_proc(tmp_path, monkeypatch):
    """As on a system that has no /proc."""
    monkeypatch.setattr(process, "Path", lambda name: tmp_path / f"no{name}")
    process._named.cache_clear()
    yield
    process._named.cache_clear()


def test_where_the_system_tells_no_start_a_process_lives_while_its_number_answers(without_proc, monkeypatch):
    me = this_process()
    assert (me.pid, me.start, me.boot) == (os.getpid(), "", "")
    assert me.alive() is True
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert Process(me.host, child.pid, "", "").alive() is False

    def forbidden(pid: int, signal: int) -> None:
        assert signal == 0
        raise PermissionError

    monkeypatch.setattr(process.os, "kill", forbidden)
    assert Process(me.host, 1, "", "").alive() is True


def test_a_process_that_cannot_be_looked_at_is_neither_dead_nor_alive(tmp_path, monkeypatch):
    me = this_process()

    def fails(path: Path) -> str:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(Path, "read_text", fails)
    with pytest.raises(MachineError, match=rf"cannot tell whether process {me.pid} lives: Too many open files"):
        me.alive()
    left = tmp_path / f".tmp,{me.host},{me.pid},{me.start},{me.boot},1"
    left.touch()
    assert files.clear_temporaries(tmp_path) == []


def test_a_process_of_another_container_or_out_of_sight_is_neither_dead_nor_alive(monkeypatch):
    me = this_process()
    assert Process(me.host, me.pid, me.start, me.boot, "7").alive() is None
    assert Process("elsewhere", me.pid, me.start, me.boot, me.namespace).alive() is None
    read = Path.read_text

    def hidden(path: Path, *args: object) -> str:
        if path.name == "stat" and path.parent.name != "self":
            raise FileNotFoundError  # as under hidepid
        return read(path, *args)

    def forbidden(pid: int, signal: int) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", hidden)
    monkeypatch.setattr(process.os, "kill", forbidden)
    assert Process(me.host, 1, "12", me.boot, me.namespace).alive() is None


def test_the_children_of_a_process_import_nothing_from_the_working_folder(tmp_path):
    (tmp_path / "queue.py").write_text("raise SystemExit('code of the working folder ran')")
    words = [sys.executable, "-c", "import queue"]
    assert subprocess.run(words, cwd=tmp_path, env=process.safe_environment()).returncode == 0
