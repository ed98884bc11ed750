"""A record or checkpoint that cannot be read now stops the work; it is not taken for a damaged or a missing one."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from test_sweep_driver import Scripted, value

from noiseproof.errors import MachineError
from noiseproof.experiments import records
from noiseproof.experiments.driver import pending, run_all, run_one
from noiseproof.storage import bounded_read
from noiseproof.storage.bounded_read import NotReadable
from noiseproof.train import checkpoint
from support.made_runs import calling, runs, work

NUMBERS = [errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENOMEM, errno.EACCES]


@contextmanager
def unreadable(name: str, number: int) -> Iterator[None]:
    """Files of this name cannot be opened."""
    real = os.open

    def fails(path: object, *args: object, **named: object) -> int:
        if str(path).endswith(name):
            raise OSError(number, os.strerror(number))
        return real(path, *args, **named)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(bounded_read.os, "open", fails)
        yield


def kept(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*.json") if path.is_file()}


@pytest.mark.parametrize("number", NUMBERS)
def test_a_record_that_cannot_be_read_now_stops_and_stays(tmp_path, number):
    (run,) = runs(1)
    call = calling(work)(run)
    run_one(run, tmp_path, call)
    before = kept(tmp_path)
    with unreadable("record.json", number):
        for act in (
            lambda: run_one(run, tmp_path, call),
            lambda: run_all([run], tmp_path, Scripted(value), calling(work)),
            lambda: pending([run], tmp_path),
            lambda: records.read_folder(tmp_path),
            lambda: records.merge(tmp_path, tmp_path / "other"),
        ):
            with pytest.raises(NotReadable, match=os.strerror(number)):
                act()
    assert kept(tmp_path) == before
    assert pending([run], tmp_path)[0] == []


@pytest.mark.parametrize("number", NUMBERS)
def test_a_checkpoint_that_cannot_be_read_now_stops_and_stays(tmp_path, number):
    tensors = {"model.w": torch.ones(3)}
    for epoch in (1, 2):
        checkpoint.save(tmp_path, checkpoint.State({"seed": 1}, epoch, {"curves": {}}, tensors))
    before = sorted(path.name for path in tmp_path.iterdir())
    with unreadable(".safetensors", number), pytest.raises(MachineError, match=os.strerror(number)):
        checkpoint.newest(tmp_path, {"seed": 1}, tensors)
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_a_lack_of_memory_is_no_damage_of_a_checkpoint(tmp_path, monkeypatch):
    tensors = {"model.w": torch.ones(3)}
    checkpoint.save(tmp_path, checkpoint.State({"seed": 1}, 1, {"curves": {}}, tensors))

    def lacks(content: bytes) -> None:
        raise MemoryError

    monkeypatch.setattr(checkpoint.safetensors.torch, "load", lacks)
    with pytest.raises(MemoryError):
        checkpoint.newest(tmp_path, {"seed": 1}, tensors)
    assert [path.suffix for path in tmp_path.iterdir()] == [".safetensors"]


def test_a_record_that_is_a_link_is_read_and_stays_a_link(tmp_path):
    (run,) = runs(1)
    record = run_one(run, tmp_path / "out", calling(work)(run))
    path, store = records.location(tmp_path / "out", run.run_id), tmp_path / "store"
    path.rename(store)
    path.symlink_to(store)
    assert pending([run], tmp_path / "out") == ([], [record])
    assert records.read_folder(tmp_path / "out").records == (record,)
    assert path.is_symlink()
    store.unlink()
    with pytest.raises(NotReadable, match=r"record.json is a link to .*store, which is not there"):
        pending([run], tmp_path / "out")
