"""Real limits: a disk that is full or read-only, and processes that may not open, write or take any more."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from test_files import NEW, OLD, contents
from test_files_faults import OPERATIONS, Operation, fresh, leftovers, quick

from noiseproof.errors import MachineError, NoiseproofError
from noiseproof.storage import files
from noiseproof.storage.files import NotCommitted
from noiseproof.train import checkpoint
from support.limits import in_a_child

__all__ = ["quick"]

every_operation = pytest.mark.parametrize("name", OPERATIONS)
# A cache that cannot be written is done without, and a place cannot be asked for without writing.
SILENT, ASKS_BY_WRITING = {"cache"}, {"takeover"}


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A real disk of 256 KiB; mounting needs root."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip("cannot mount a small disk here (needs root)")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_really_full_disk_keeps_the_old_file_and_takes_the_new_one_once_there_is_room(small_disk):
    path = small_disk / "x"
    files.write_atomic(path, OLD)
    (small_disk / "filler").write_bytes(b"\0" * 200_000)
    with pytest.raises(NotCommitted, match="no space for"):
        files.write_atomic(path, NEW * 20)
    assert path.read_bytes() == OLD
    assert sorted(p.name for p in small_disk.iterdir()) == ["filler", "x"]
    (small_disk / "filler").unlink()
    files.write_atomic(path, NEW)
    assert path.read_bytes() == NEW


def test_a_read_only_disk_is_one_clear_sentence(small_disk):
    files.write_atomic(small_disk / "x", OLD)
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    with pytest.raises(
        NotCommitted, match=r"could not write .*: Read-only file system; what was there before is intact"
    ):
        files.write_atomic(small_disk / "x", NEW)
    with pytest.raises(NotCommitted, match=r"cannot make the folder .*: Read-only file system"):
        files.write_atomic(small_disk / "new" / "x", NEW)
    assert (small_disk / "x").read_bytes() == OLD


def filled(disk: Path) -> Path:
    """A file that takes what is left of the disk."""
    filler = disk / "filler"
    with open(filler, "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"\0" * 4096)
    assert shutil.disk_usage(disk).free == 0
    return filler


def refused(operation: Operation, folder: Path, name: str, words: str) -> None:
    if name in SILENT:
        operation.act(folder)
        return
    with pytest.raises(MachineError, match=words):
        operation.act(folder)


def outcome(operation: Operation, tmp_path: Path) -> tuple[object, object]:
    """What a reader sees before and after, where nothing fails."""
    old = operation.view(fresh(operation, tmp_path / "old"))
    reference = fresh(operation, tmp_path / "new")
    operation.act(reference)
    return old, operation.view(reference)


@every_operation
def test_a_full_disk_keeps_what_was_there_and_the_next_try_succeeds(name, small_disk, tmp_path, tally):
    operation = OPERATIONS[name]
    old, new = outcome(operation, tmp_path)
    folder = fresh(operation, small_disk / "results")
    filler = filled(small_disk)
    refused(operation, folder, name, r"no space for|No space left on device")
    if name not in ASKS_BY_WRITING:
        assert operation.view(folder) == old
    assert leftovers(folder) == []
    filler.unlink()
    operation.act(folder)
    assert operation.view(folder) == new
    tally("writes met a full, read-only or exhausted machine", 1)


@every_operation
def test_a_read_only_disk_keeps_what_was_there_and_the_next_try_succeeds(name, small_disk, tmp_path, tally):
    operation = OPERATIONS[name]
    old, new = outcome(operation, tmp_path)
    folder = fresh(operation, small_disk / "results")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    refused(operation, folder, name, "Read-only file system")
    if name not in ASKS_BY_WRITING:
        assert operation.view(folder) == old
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    operation.act(folder)
    assert operation.view(folder) == new
    tally("writes met a full, read-only or exhausted machine", 1)


# In a fork of its own


def with_few_descriptors(spare: int, operation: Operation, folder: Path, times: int) -> str:
    """Act where only so many more files may be open; what was said, if anything."""
    lowest = os.dup(0)  # what the next file will get
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + spare, lowest + spare))
    try:
        for _ in range(times):
            operation.act(folder)
    except NoiseproofError as error:
        return str(error)
    return ""


@every_operation
def test_without_descriptors_it_is_refused_and_with_a_few_it_works_as_often_as_asked(name, tmp_path, tally):
    """Eight beyond those in use are enough for ever: none leaks."""
    operation = OPERATIONS[name]
    old, new = outcome(operation, tmp_path)
    folder = fresh(operation, tmp_path / "results")
    said = in_a_child(with_few_descriptors, 0, operation, folder, 1)
    assert "Too many open files" in said or (name in SILENT and said == "")
    if name not in SILENT:
        assert operation.view(folder) == old
    assert in_a_child(with_few_descriptors, 8, operation, folder, 40) == ""
    assert operation.view(folder) == new
    tally("writes met a full, read-only or exhausted machine", 1)


SAVE_LARGE = """
import resource, sys
from pathlib import Path
import torch
from noiseproof.train import checkpoint

curves = {"loss": [1.0, 0.5, 0.25]}
large = checkpoint.State({"seed": 1}, 3, {"curves": curves}, {"model.w": torch.zeros(16 << 20)})
pages = int(Path("/proc/self/statm").read_text().split()[0])
most = pages * resource.getpagesize() + (int(sys.argv[2]) << 20)
resource.setrlimit(resource.RLIMIT_AS, (most, most))
checkpoint.save(Path(sys.argv[1]), large)
"""


@pytest.mark.parametrize("mib", [8, 4096])
def test_without_memory_the_last_checkpoint_stays(mib, tmp_path, tally):
    """Saving 64 MiB with 8 MiB of memory left: safetensors ends the process, and the folder is as it was."""
    operation = OPERATIONS["checkpoint"]
    folder = fresh(operation, tmp_path / "results")
    before = operation.view(folder)
    words = [sys.executable, "-c", SAVE_LARGE, str(folder), str(mib)]
    done = subprocess.run(words, capture_output=True, text=True)
    files.clear_temporaries(folder)
    assert leftovers(folder) == []
    if mib == 4096:
        assert done.returncode == 0, done.stderr
        assert checkpoint.load(folder / "checkpoint-000003.safetensors").tensors["model.w"].shape == (16 << 20,)
    else:
        assert done.returncode != 0
        assert "memory allocation" in done.stderr
        assert operation.view(folder) == before
    tally("writes met a full, read-only or exhausted machine", 1)


def test_a_limit_on_file_size_keeps_the_old_file(tmp_path):
    script = """
import resource, signal, sys
from noiseproof.storage import files
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
files.write_atomic(sys.argv[1], b"old")
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    files.write_atomic(sys.argv[1], b"n" * 100_000)
except files.NotCommitted as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script, tmp_path / "x"], capture_output=True, text=True, check=True)
    assert "could not write" in done.stdout
    assert contents(tmp_path) == {"x": b"old"}
