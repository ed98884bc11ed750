"""Files are written whole or not at all, whatever call fails and wherever the process dies."""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from noiseproof.errors import DataError, DataMissingError, MachineError
from noiseproof.storage import bounded_read, files
from noiseproof.storage.files import DurabilityUncertain, NotCommitted, NotReadable
from noiseproof.storage.process import this_process
from support.folder_contents import contents

OLD, NEW = b"old" * 1000, b"new" * 5000
CALLS = ("open", "write", "fsync", "fstat", "close", "replace", "link", "unlink", "mkdir")
FAULTS = (errno.ENOSPC, errno.EIO, errno.EINTR, errno.EACCES)


class Faults:
    """The `os` that the file layer sees; lets the n-th call that touches the disk fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[str] = []
        self.fail_at, self.how = -1, Exception()
        monkeypatch.setattr(files, "os", self)

    def __getattr__(self, name: str) -> object:
        real = getattr(os, name)
        return self._guard(name, real) if name in CALLS else real

    def _guard(self, name: str, real: Callable) -> Callable:
        def call(*args, **kwargs):
            self.seen.append(name)
            if len(self.seen) - 1 == self.fail_at:
                if name == "close":
                    real(*args, **kwargs)  # Linux gives the descriptor back even when close reports an error
                raise self.how
            return real(*args, **kwargs)

        return call

    def arm(self, number: int, how: BaseException) -> None:
        self.seen, self.fail_at, self.how = [], number, how


OPERATIONS: dict[str, Callable[[Path], object]] = {
    "replace": lambda path: files.write_atomic(path, NEW),
    "create": lambda path: files.create_once(path, NEW),
    "in a new folder": lambda path: files.create_once(path.parent / "a" / "b" / path.name, NEW),
    "move": lambda path: files.move_aside(path, path.parent / "aside"),
}


def prepare(folder: Path, operation: str) -> Path:
    folder.mkdir()
    path = folder / "file"
    if operation in ("replace", "move"):
        path.write_bytes(OLD)
    return path


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_call_may_fail_and_the_state_is_the_old_or_the_new_one(operation, tmp_path, monkeypatch):
    path = prepare(tmp_path / "reference", operation)
    before = contents(path.parent)
    faults = Faults(monkeypatch)
    OPERATIONS[operation](path)
    calls, after = list(faults.seen), contents(path.parent)
    assert before != after
    assert len(calls) >= 5
    tried = 0
    for number, name in enumerate(calls):
        for how in [*(OSError(n, os.strerror(n)) for n in FAULTS), KeyboardInterrupt()]:
            path = prepare(tmp_path / str(tried), operation)
            faults.arm(number, how)
            raised: BaseException | None = None
            try:
                OPERATIONS[operation](path)
            except (MachineError, KeyboardInterrupt) as error:
                raised = error
            faults.arm(-1, Exception())
            state = contents(path.parent)
            # A failing unlink may leave the second name behind; it is a temporary name of ours or the moved file's.
            kept = {k: v for k, v in state.items() if not k.rpartition("/")[2].startswith(".tmp,")}
            both = {**before, **after}
            assert kept in (before, after, both), (name, how, sorted(state))
            if name != "unlink":
                assert kept == state, f"a temporary file stayed after {name} failed with {how!r}"
            if kept == before:
                assert raised is not None, f"{name} failed with {how!r} and nothing was said"
            if isinstance(raised, NotCommitted) and operation != "move":
                assert kept == before
            if isinstance(raised, DurabilityUncertain) and operation in ("replace", "create"):
                assert kept == after
            tried += 1
    assert tried == 5 * len(calls)


WRITTEN, FLUSHED = ["open", "write", "fsync", "fstat", "close"], ["open", "fsync", "close"]  # a file, a folder


@pytest.mark.parametrize(
    ("operation", "calls"),
    [
        ("replace", [*WRITTEN, "replace", "unlink", *FLUSHED]),
        ("create", [*WRITTEN, "link", "unlink", *FLUSHED]),
        ("in a new folder", ["mkdir", *FLUSHED, "mkdir", *FLUSHED, *WRITTEN, "link", "unlink", *FLUSHED]),
        ("move", ["mkdir", *FLUSHED, "link", "unlink", *FLUSHED, *FLUSHED]),
    ],
)
def test_content_is_flushed_before_it_gets_its_name_and_the_name_before_it_counts(
    operation, calls, tmp_path, monkeypatch
):
    """What a power cut would leave follows from this order; it cannot be tried here."""
    path = prepare(tmp_path / "x", operation)
    faults = Faults(monkeypatch)
    OPERATIONS[operation](path)
    assert faults.seen == calls


def die_at(number: int, operation: str, path: Path) -> None:
    """Run the operation in this process, which ends without any clean-up just before its n-th call."""
    seen = iter(range(10_000))

    def guard(real):
        def call(*args, **kwargs):
            if next(seen) == number:
                os._exit(9)
            return real(*args, **kwargs)

        return call

    for name in CALLS:
        setattr(files.os, name, guard(getattr(os, name)))
    OPERATIONS[operation](path)
    os._exit(0)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_process_may_die_before_any_call_and_the_next_start_finds_old_or_new_and_clears_up(operation, tmp_path):
    fork = multiprocessing.get_context("fork")
    path = prepare(tmp_path / "reference", operation)
    before = contents(path.parent)
    OPERATIONS[operation](path)
    after = contents(path.parent)
    left_behind = 0
    for number in range(100):
        path = prepare(tmp_path / str(number), operation)
        child = fork.Process(target=die_at, args=(number, operation, path))
        child.start()
        child.join()
        left_behind += len(contents(path.parent).keys() - before.keys() - after.keys())
        for folder in [path.parent, *(p for p in path.parent.rglob("*") if p.is_dir())]:
            files.clear_temporaries(folder)
        assert contents(path.parent) in (before, after, {**before, **after})
        if child.exitcode == 0:
            break
    assert child.exitcode == 0
    assert number >= 5
    assert operation == "move" or left_behind >= 3, "no process died while its temporary file was there"


def test_replace_writes_what_the_writer_wrote_and_nothing_if_it_fails(tmp_path):
    path = tmp_path / "new" / "x"
    files.replace(path, lambda file: file.write(b"abc"))
    assert path.read_bytes() == b"abc"

    def fails(file):
        file.write(b"half")
        raise RuntimeError("the writer broke")

    with pytest.raises(RuntimeError):
        files.replace(path, fails)
    assert contents(tmp_path) == {"new/x": b"abc"}


def test_moving_aside_never_replaces(tmp_path):
    for text in ("one", "two", "three"):
        (tmp_path / "record.json").write_text(text)
        files.move_aside(tmp_path / "record.json", tmp_path / "notes")
    assert contents(tmp_path) == {
        "notes/record.json": b"one",
        "notes/record.json.1": b"two",
        "notes/record.json.2": b"three",
    }


def test_a_full_disk_says_how_much_is_needed_and_how_much_there_is(tmp_path, monkeypatch):
    faults = Faults(monkeypatch)
    faults.arm(1, OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(
        NotCommitted, match=r"no space for .*x: need 14\.6 KiB, have .*; what was there before is intact"
    ):
        files.write_atomic(tmp_path / "x", NEW)
    with pytest.raises(NotCommitted, match=r"no space in .*: need 1048576\.0 GiB, have"):
        files.need_space(tmp_path / "not" / "yet", 2**50)
    files.need_space(tmp_path, 1)


def test_room_for_exactly_what_is_needed_is_enough(tmp_path, monkeypatch):
    usage = files.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda place: usage._replace(free=100))
    files.need_space(tmp_path, 100)
    with pytest.raises(NotCommitted, match="need 101 bytes, have 100 bytes"):
        files.need_space(tmp_path, 101)


def test_a_folder_that_cannot_be_made_is_told_with_the_cause(tmp_path, monkeypatch):
    def fails(path: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(files.os, "mkdir", fails)
    with pytest.raises(NotCommitted, match=r"cannot make the folder .*a: Read-only file system"):
        files.make_folder(tmp_path / "a" / "b")


def test_a_file_in_place_of_a_folder_is_refused(tmp_path):
    (tmp_path / "x").write_text("a file")
    with pytest.raises(NotCommitted, match=r"cannot make the folder .*x: "):
        files.write_atomic(tmp_path / "x" / "y", "text")
    with pytest.raises(NotCommitted, match="a file of that name is there"):
        files.make_folder(tmp_path / "x")


def test_only_temporary_files_of_dead_writers_are_cleared(tmp_path):
    me = this_process()
    names = {
        "alive": f".tmp,{me.host},{me.pid},{me.start},{me.boot},1",
        "recycled": f".tmp,{me.host},{me.pid},12345,{me.boot},2",
        "other boot": f".tmp,{me.host},{me.pid},{me.start},another,3",
        "other host": f".tmp,elsewhere,{me.pid},{me.start},{me.boot},4",
        "other container": f".tmp,{me.host},{me.pid},12345,{me.boot},7,5",
        "long ago": f".tmp,{me.host},{me.pid},12345,{me.boot},7,6",
        "not ours": ".tmp,x",
    }
    for name in names.values():
        (tmp_path / name).touch()
    os.utime(tmp_path / names["long ago"], (0, 0))
    removed = files.clear_temporaries(tmp_path)
    assert {p.name for p in removed} == {names["recycled"], names["other boot"], names["long ago"]}
    assert files.clear_temporaries(tmp_path / "absent") == []


def test_reading_refuses_what_we_would_not_have_written(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    assert files.read(tmp_path / "x", at_most=5) == b"12345"
    with pytest.raises(DataError, match="has 5 bytes; at most 4"):
        files.read(tmp_path / "x", at_most=4)
    with pytest.raises(DataMissingError, match="there is no file"):
        files.read(tmp_path / "y", at_most=4)
    (tmp_path / "link").symlink_to("x")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe", "."):
        with pytest.raises(DataError):
            files.read(tmp_path / name, at_most=100)


def test_a_file_may_grow_in_several_sittings_and_takes_its_name_when_it_is_whole(tmp_path):
    part, whole = tmp_path / "new" / "x.part", tmp_path / "new" / "x"
    for piece in (b"first ", b"second"):
        with files.grow(part) as file:
            assert file.tell() == part.stat().st_size
            file.write(piece)
    whole.write_bytes(OLD)
    files.rename(part, whole)
    assert contents(tmp_path) == {"new/x": b"first second"}


def test_a_file_that_cannot_grow_or_be_renamed_is_one_clear_sentence(tmp_path, monkeypatch):
    def fails(*args):
        raise OSError(errno.EIO, "Input/output error")

    def grow() -> None:
        with files.grow(tmp_path / "x") as file:
            file.write(b"kept")

    with monkeypatch.context() as patched:
        patched.setattr(files.os, "fsync", fails)
        with pytest.raises(NotCommitted, match=r"could not write .*x: Input/output error"):
            grow()
    assert contents(tmp_path) == {"x": b"kept"}
    with pytest.raises(NotCommitted, match=r"could not rename .*absent to y: No such file"):
        files.rename(tmp_path / "absent", tmp_path / "y")


def test_a_folder_is_listed_in_the_order_of_names(tmp_path):
    for name in ("b", "a", "B", ".c", "a.b"):
        (tmp_path / name).touch()
    assert files.listing(tmp_path) == [tmp_path / name for name in (".c", "B", "a", "a.b", "b")]
    assert files.listing(tmp_path / "absent") == []
    with pytest.raises(DataError, match=r"cannot read the folder .*a: Not a directory"):
        files.listing(tmp_path / "a")


def test_what_is_removed_may_be_gone_already_and_what_stays_is_told(tmp_path):
    (tmp_path / "x").touch()
    files.remove(tmp_path / "x")
    files.remove(tmp_path / "x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(NotCommitted, match=r"could not remove .*folder: Is a directory"):
        files.remove(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENOMEM, errno.EACCES])
def test_what_cannot_be_read_now_is_neither_missing_nor_damaged(number, tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"12345")

    def fails(*args, **kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(bounded_read.os, "open", fails)
    monkeypatch.setattr(bounded_read.os, "scandir", fails)
    for act in (partial(files.read, tmp_path / "x", at_most=9), partial(files.listing, tmp_path)):
        with pytest.raises(NotReadable, match=os.strerror(number)) as refusal:
            act()
        assert not isinstance(refusal.value, DataError)


def test_a_link_is_followed_where_that_is_asked_for(tmp_path):
    (tmp_path / "x").write_bytes(b"12345")
    (tmp_path / "link").symlink_to("x")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "circle").symlink_to("circle")
    assert files.read(tmp_path / "link", at_most=5, follow=True) == b"12345"
    with pytest.raises(NotReadable, match=r"dangling is a link to nowhere, which is not there"):
        files.read(tmp_path / "dangling", at_most=5, follow=True)
    with pytest.raises(DataError, match="circle"):
        files.read(tmp_path / "circle", at_most=5, follow=True)


def test_a_folder_may_be_nested_deeper_than_functions_may(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a name from here; from the root it would be longer than the system takes
    deep = Path(*["d"] * 1200)
    try:
        assert files.make_folder(deep) == deep
        assert deep.is_dir()
    finally:
        subprocess.run(["rm", "-rf", "d"], check=True)  # pytest's own removal calls itself for each level


def test_the_age_of_a_file_is_that_of_its_last_sign_of_life(tmp_path):
    path = tmp_path / "x"
    path.touch()
    os.utime(path, (0, 0))
    assert files.age(path) > 1e9
    assert files.renew(path)
    assert files.age(path) < 60
    assert [inner.name for inner in tmp_path.iterdir()] == ["x"]
    assert not files.renew(tmp_path / "absent")
    with pytest.raises(NotReadable, match="cannot tell the age of"):
        files.age(tmp_path / "absent")


def test_only_a_file_system_that_cannot_flush_folders_is_believed_without(tmp_path, monkeypatch):
    def refuse(number: int) -> None:
        def fsync(descriptor: int) -> None:
            if stat.S_ISDIR(os.fstat(descriptor).st_mode):
                raise OSError(number, os.strerror(number))

        monkeypatch.setattr(files.os, "fsync", fsync)

    refuse(errno.EINVAL)
    files.write_atomic(tmp_path / "x", OLD)
    refuse(errno.EIO)
    with pytest.raises(DurabilityUncertain, match=r"x is written, but its folder .* \(Input/output error\)"):
        files.write_atomic(tmp_path / "x", NEW)
    assert contents(tmp_path) == {"x": NEW}
