"""The only place that writes files: whole or not at all, and on the disk when the call returns.

Every write goes to a temporary file in the same folder, is flushed to the disk, and only then takes its
name: with `os.replace` where the newest content wins, with `os.link` where the first one stays. Nothing rests
on file locks, which some network file systems only pretend to have. After a failure the old file, or none,
is there as before; never a mixture.

Temporary names say who wrote them, so `clear_temporaries` can remove what a killed process left behind.
"""

from __future__ import annotations

import ctypes
import errno
import io
import itertools
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from noiseproof.errors import DataError, DataMissingError, InputError, MachineError
from noiseproof.storage.process import Process, this_process

__all__ = [
    "DurabilityUncertain",
    "NotCommitted",
    "clear_temporaries",
    "create_once",
    "grow",
    "listing",
    "make_folder",
    "move_aside",
    "need_space",
    "read",
    "remove",
    "rename",
    "replace",
    "write_atomic",
]

Name = str | os.PathLike[str]


class NotCommitted(MachineError):
    """The write did not happen; what was there before is intact."""


class DurabilityUncertain(MachineError):
    """The new file is there, but the disk did not confirm it: a power cut now might undo it."""


def write_atomic(path: Name, data: bytes | str, *, exist_ok: bool = True) -> None:
    """Write a whole file; an existing one is replaced, or refused under `exist_ok=False`.

    Raises:
        InputError: the file exists and may not.
        NotCommitted, DurabilityUncertain: the disk failed, before or after the new content took its name.
    """
    path = Path(path)
    if not exist_ok:
        if not create_once(path, data):
            raise InputError(f"{path} exists already; remove it or choose another name")
        return
    with _temporary(path, data) as temporary:
        temporary.take(path, os.replace)
    _sync_folder(path)


def create_once(path: Name, data: bytes | str) -> bool:
    """Write a whole file unless one of that name exists; of several writers exactly one succeeds.

    Returns:
        False if the file existed already; it is left as it was.
    """
    path = Path(path)
    with _temporary(path, data) as temporary:
        try:
            temporary.take(path, _link)
            created = True
        except FileExistsError:
            created = False
    _sync_folder(path)
    return created


def replace(path: Name, writer: Callable[[BinaryIO], object]) -> None:
    """Let `writer` fill a file in memory, which then replaces `path` as in `write_atomic`."""
    memory = io.BytesIO()
    writer(memory)
    write_atomic(path, memory.getvalue())


@contextmanager
def grow(path: Name) -> Iterator[BinaryIO]:
    """A file to be written piece by piece under a name of its own, such as a download that can go on where it stopped.

    It stands at its end, is created if need be, and is flushed to the disk on leaving. `rename` then makes it count.

    Raises:
        NotCommitted: the disk failed; the file holds what was written so far.
    """
    path = Path(path)
    make_folder(path.parent)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        with open(descriptor, "r+b") as file:
            file.seek(0, os.SEEK_END)
            yield file
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise NotCommitted(f"could not write {path}: {error.strerror or type(error).__name__}") from error


def rename(source: Name, target: Name) -> None:
    """Give a finished file its name, replacing what had it."""
    source, target = Path(source), Path(target)
    try:
        os.replace(source, target)
    except OSError as error:
        raise NotCommitted(f"could not rename {source} to {target.name}: {error.strerror}") from error
    _sync_folder(target)


def read(path: Name, *, at_most: int) -> bytes:
    """The bytes of a regular file of at most `at_most` bytes; names of links, pipes and devices are refused.

    Raises:
        DataMissingError, DataError: there is no such file, or it is not one that we would have written.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with open(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise DataError(f"{path} is not a regular file")
            if status.st_size > at_most:
                raise DataError(f"{path} has {status.st_size} bytes; at most {at_most} are read")
            return file.read(status.st_size)
    except FileNotFoundError:
        raise DataMissingError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise DataError(f"cannot read {path}: it is a folder; give a file in it") from None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from None


def listing(folder: Name) -> list[Path]:
    """What lies in a folder, in the order of the names; nothing if there is no such folder.

    Raises:
        DataError: it cannot be read, or is no folder.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
    except FileNotFoundError:
        return []
    except OSError as error:
        raise DataError(f"cannot read the folder {folder}: {error.strerror}") from None
    return [Path(folder, name) for name in names]


def remove(path: Name) -> None:
    """Remove a file that may be gone already.

    Raises:
        NotCommitted: it is still there.
    """
    try:
        with suppress(FileNotFoundError):
            os.unlink(path)
    except OSError as error:
        raise NotCommitted(f"could not remove {path}: {error.strerror}") from error


def make_folder(path: Name) -> Path:
    """The folder, made with its parents if need be, and on the disk.

    Raises:
        NotCommitted: it cannot be made, or is no folder.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return path
        make_folder(path.parent)  # ends at a root or at the working folder, which are there
        with suppress(FileExistsError):  # another process was faster, or it is a file
            os.mkdir(path)
    except OSError as error:
        raise NotCommitted(f"cannot make the folder {path}: {error.strerror}") from None
    if not path.is_dir():
        raise NotCommitted(f"cannot make the folder {path}: a file of that name is there; choose another name")
    _sync_folder(path)
    return path


def move_aside(path: Name, folder: Name) -> Path:
    """Move a file into `folder` under its own name or the first free `NAME.1`, `NAME.2`, ...; nothing is replaced."""
    path, folder = Path(path), make_folder(folder)
    names = itertools.chain([path.name], (f"{path.name}.{number}" for number in itertools.count(1)))
    target = next(target for name in names if _moved(path, target := folder / name))
    _sync_folder(target)
    _sync_folder(path)
    return target


def _moved(path: Path, target: Path) -> bool:
    """Whether the file has another name now; not if somebody else has that name."""
    try:
        _link(path, target)
        with suppress(FileNotFoundError):  # a rename has moved it already
            os.unlink(path)
    except FileExistsError:
        return False
    except OSError as error:
        raise NotCommitted(f"cannot move {path} to {target}: {error.strerror}") from None
    return True


def need_space(folder: Name, size: int) -> None:
    """Refuse early if fewer than `size` bytes are free where `folder` lies (or will lie).

    Raises:
        NotCommitted: there is not enough room.
    """
    existing = next(place for place in [Path(folder).absolute(), *Path(folder).absolute().parents] if place.exists())
    if (free := shutil.disk_usage(existing).free) < size:
        raise NotCommitted(f"no space in {folder}: need {_size(size)}, have {_size(free)}")


def clear_temporaries(folder: Name) -> list[Path]:
    """Remove the temporary files in `folder` whose writers are dead; those of other machines stay.

    Returns:
        What was removed.
    """
    removed = []
    with suppress(OSError, MachineError), os.scandir(folder) as entries:
        for entry in entries:
            if (owner := _owner(entry.name)) and owner.alive() is False:
                with suppress(OSError):
                    os.unlink(entry.path)
                    removed.append(Path(entry.path))
    return removed


# Temporary files

_serial = itertools.count()
_TEMPORARY = re.compile(r"\.tmp,(?P<host>[^,]*),(?P<pid>\d+),(?P<start>\d*),(?P<boot>[^,]*),\d+\Z")


def _temporary_name() -> str:
    me = this_process()
    return f".tmp,{me.host},{me.pid},{me.start},{me.boot},{next(_serial)}"


def _owner(name: str) -> Process | None:
    match = _TEMPORARY.match(name)
    return match and Process(match["host"], int(match["pid"]), match["start"], match["boot"])


class _Temporary:
    """A finished file under a temporary name, and its identity on the disk."""

    def __init__(self, path: Path, data: bytes) -> None:
        self.path, self.data, self.identity = path, data, (0, 0)

    def fill(self) -> None:
        """Write all and flush to the disk."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        try:
            rest = memoryview(self.data)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
            os.fsync(descriptor)  # never tried again on this descriptor: the kernel may have dropped the pages
            status = os.fstat(descriptor)
        except BaseException:
            with suppress(OSError):
                os.close(descriptor)
            raise
        os.close(descriptor)  # a full quota may show only here
        self.identity = (status.st_dev, status.st_ino)

    def take(self, path: Path, how: Callable[[Path, Path], None]) -> None:
        """Give the file the name `path`."""
        try:
            how(self.path, path)
        except OSError as error:
            # A network file system may do the work, lose the reply and then refuse the repetition.
            if _is(path, self.identity):
                return
            if isinstance(error, FileExistsError):
                raise
            raise _not_committed(path, error, self.data) from error


@contextmanager
def _temporary(path: Path, data: bytes | str) -> Iterator[_Temporary]:
    make_folder(path.parent)
    temporary = _Temporary(path.with_name(_temporary_name()), data.encode() if isinstance(data, str) else data)
    try:
        try:
            temporary.fill()
        except OSError as error:
            raise _not_committed(path, error, temporary.data) from error
        yield temporary
    finally:
        with suppress(OSError):  # gone already where it took its name by renaming
            os.unlink(temporary.path)


# Taking the name

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL}


def _is(path: Path, identity: tuple[int, int]) -> bool:
    try:
        status = os.lstat(path)
    except OSError:
        return False
    return (status.st_dev, status.st_ino) == identity


def _link(source: Path, target: Path) -> None:
    """A second name for the file; where there are no hard links, a new name that replaces nothing."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _rename_no_replace(source, target)


def _rename_no_replace(source: Path, target: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOTSUP, "the file system has no hard links and the system no rename that keeps old files")
    here, no_replace = -100, 1
    if libc.renameat2(here, os.fsencode(source), here, os.fsencode(target), no_replace):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def _sync_folder(path: Path) -> None:
    """Flush the folder that holds `path`, so that the name itself survives a power cut."""
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno == errno.EINVAL:  # a file system that cannot flush folders has nothing to flush
            return
        raise DurabilityUncertain(
            f"{path} is written, but its folder could not be flushed to the disk ({error.strerror}); "
            "a power cut might undo it"
        ) from error


# Messages


def _not_committed(path: Path, error: OSError, data: bytes) -> NotCommitted:
    intact = "what was there before is intact"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        with suppress(OSError):
            free = _size(shutil.disk_usage(path.parent).free)
            return NotCommitted(f"no space for {path}: need {_size(len(data))}, have {free}; {intact}")
    return NotCommitted(f"could not write {path}: {error.strerror or type(error).__name__}; {intact}")


def _size(count: int) -> str:
    """In words.

    Example:
        >>> _size(5), _size(2048), _size(3 << 20), _size(5 << 40)
        ('5 bytes', '2.0 KiB', '3.0 MiB', '5120.0 GiB')
    """
    size, units = float(count), iter(["bytes", "KiB", "MiB", "GiB"])
    unit = next(units)
    while size >= 1024 and unit != "GiB":
        size, unit = size / 1024, next(units)
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
