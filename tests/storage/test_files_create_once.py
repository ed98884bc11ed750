"""Of several writers of one name exactly one succeeds, also on disks without links."""

from __future__ import annotations

import errno
import multiprocessing
import os

import pytest

from noiseproof.errors import InputError
from noiseproof.storage import files
from noiseproof.storage.files import NotCommitted
from support.folder_contents import contents


def test_of_many_creators_exactly_one_succeeds_and_its_content_stays(tmp_path):
    fork = multiprocessing.get_context("fork")
    path, results = tmp_path / "record", fork.SimpleQueue()

    def create(number: int) -> None:
        results.put((number, files.create_once(path, f"{number}" * 20_000)))

    children = [fork.Process(target=create, args=(n,)) for n in range(8)]
    for child in children:
        child.start()
    outcome = dict(results.get() for _ in children)
    for child in children:
        child.join()
    winners = [number for number, won in outcome.items() if won]
    assert len(winners) == 1
    assert path.read_text() == f"{winners[0]}" * 20_000
    assert [p.name for p in tmp_path.iterdir()] == ["record"]


def test_create_once_leaves_an_existing_file_as_it_was(tmp_path):
    files.write_atomic(tmp_path / "new", "whole", exist_ok=False)
    assert (tmp_path / "new").read_text() == "whole"
    assert files.create_once(tmp_path / "x", "first")
    assert not files.create_once(tmp_path / "x", "second")
    assert (tmp_path / "x").read_text() == "first"
    with pytest.raises(InputError, match="exists already"):
        files.write_atomic(tmp_path / "x", "third", exist_ok=False)


@pytest.mark.parametrize("refusal", [errno.EPERM, errno.EOPNOTSUPP])
def test_without_hard_links_a_rename_that_replaces_nothing_does_the_same(refusal, tmp_path, monkeypatch):
    def no_links(*args, **kwargs):
        raise OSError(refusal, os.strerror(refusal))

    monkeypatch.setattr(files.os, "link", no_links)
    path = tmp_path / "x"
    assert files.create_once(path, "first")
    assert not files.create_once(path, "second")
    assert contents(tmp_path) == {"x": b"first"}
    assert files.move_aside(path, tmp_path / "aside").read_bytes() == b"first"
    assert contents(tmp_path) == {"aside/x": b"first"}


@pytest.mark.parametrize(("call", "act"), [("link", files.create_once), ("replace", files.write_atomic)])
def test_a_name_that_was_taken_although_the_call_reported_an_error_counts_as_taken(call, act, tmp_path, monkeypatch):
    real = getattr(os, call)

    def works_and_fails(*args, **kwargs):
        real(*args, **kwargs)
        raise OSError(errno.EIO, "reply lost")

    monkeypatch.setattr(files.os, call, works_and_fails)
    assert act(tmp_path / "x", "content") in (True, None)
    assert contents(tmp_path) == {"x": b"content"}


def no_links(*args, **kwargs):
    raise OSError(errno.EPERM, "Operation not permitted")


def test_without_hard_links_a_relative_name_stands_in_the_working_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(files.os, "link", no_links)
    assert files.create_once("x", "first")
    assert not files.create_once("x", "second")
    assert contents(tmp_path) == {"x": b"first"}


def cloud_mount(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a mount that has no links and no renaming that keeps old files, and says EIO."""

    def io_error(*args, **kwargs):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files.os, "link", io_error)
    monkeypatch.setattr(files, "_rename_no_replace", io_error)


def test_on_a_mount_without_links_the_first_file_stays_and_moving_aside_works(tmp_path, monkeypatch):
    cloud_mount(monkeypatch)
    path = tmp_path / "x"
    assert files.create_once(path, "first")
    assert not files.create_once(path, "second")
    assert contents(tmp_path) == {"x": b"first"}
    (tmp_path / "aside").mkdir()
    (tmp_path / "aside" / "x").write_text("older")
    assert files.move_aside(path, tmp_path / "aside").read_bytes() == b"first"
    assert contents(tmp_path) == {"aside/x": b"older", "aside/x.1": b"first"}


def test_on_a_mount_without_links_exactly_one_of_many_creators_succeeds(tmp_path, monkeypatch):
    cloud_mount(monkeypatch)
    test_of_many_creators_exactly_one_succeeds_and_its_content_stays(tmp_path)


def test_on_a_mount_without_links_a_failed_renaming_leaves_nothing(tmp_path, monkeypatch):
    cloud_mount(monkeypatch)

    def fails(*args):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(files.os, "replace", fails)
    with pytest.raises(NotCommitted, match=r"could not write .*x: Input/output error"):
        files.create_once(tmp_path / "x", "first")
    assert contents(tmp_path) == {}
