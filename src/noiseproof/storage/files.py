"""The only place that writes files: whole or not at all, and on the disk when the call returns.

Every write goes to a temporary file in the same folder, is flushed to the disk, and only then takes its
name: with `os.replace` where the newest content wins, with `os.link` (or what stands in for it on mounts without links)
where the first one stays. Nothing rests on file locks, which some network file systems only pretend to have. After a
failure the old file, or none, is there as before; never a mixture.

Temporary names say who wrote them, so `clear_temporaries` can remove what a killed process left behind.
"""

from __future__ import annotations

import ctypes
import errno
import io
import itertools
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO

from noiseproof.errors import InputError, MachineError
from noiseproof.humanize import byte_text
from noiseproof.storage.bounded_read import NotReadable, listing, read
from noiseproof.storage.temporaries import clear_temporaries, temporary_name

__all__ = [
    "DurabilityUncertain",
    "NotCommitted",
    "NotReadable",
    "age",
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
    "renew",
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


def renew(path: Name) -> bool:
    """Give a file the present time as a sign of life.

    Returns:
        False where that does not work: the file is gone, or its file system keeps no times.
    """
    try:
        os.utime(path)
    except OSError:
        return False
    return True


def age(path: Name) -> float:
    """Seconds since a file was written or renewed, by the clock of the disk that it lies on."""
    with _temporary(Path(path), b"") as probe:
        try:
            return max(0.0, os.stat(probe.path).st_mtime - os.stat(path).st_mtime)
        except OSError as error:
            raise NotReadable(f"cannot tell the age of {path}: {error.strerror}") from None


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
    for folder in [*reversed(path.parents), path]:
        try:
            if folder.is_dir():
                continue
            with suppress(FileExistsError):  # another process was faster, or it is a file
                os.mkdir(folder)
        except OSError as error:
            raise NotCommitted(f"cannot make the folder {folder}: {error.strerror}") from None
        if not folder.is_dir():
            raise NotCommitted(f"cannot make the folder {folder}: a file of that name is there; choose another name")
        _sync_folder(folder)
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
    """True if the file has another name now; not if another file has that name."""
    try:
        try:
            _link(path, target)
        except FileExistsError:
            if not _is(target, _identity(path)):  # else it is linked, only the reply was lost
                return False
        with suppress(FileNotFoundError):  # a rename has moved it already
            os.unlink(path)
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
        raise NotCommitted(f"no space in {folder}: need {byte_text(size)}, have {byte_text(free)}")


# Temporary files


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
    temporary = _Temporary(path.with_name(temporary_name()), data.encode() if isinstance(data, str) else data)
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

# Cloud mounts answer EIO where the service behind them has no links.
_UNSUPPORTED = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EINVAL, errno.EIO}


def _identity(path: Path) -> tuple[int, int]:
    status = os.lstat(path)
    return status.st_dev, status.st_ino


def _is(path: Path, identity: tuple[int, int]) -> bool:
    try:
        return _identity(path) == identity
    except OSError:
        return False


def _link(source: Path, target: Path) -> None:
    """Give the file the name `target`, which nobody may have: by a link, or by the renaming that replaces nothing.

    Where a mount has neither, an empty file claims the name, and only who made it may replace it. A process that dies
    in between leaves the empty file, which every reader takes for a damaged one.
    """
    ways = (partial(os.link, follow_symlinks=False), _rename_no_replace, _claim_and_rename)
    for way in ways:
        try:
            return way(source, target)
        except OSError as error:
            if error.errno not in _UNSUPPORTED or way is ways[-1]:
                raise
            if _is(target, _identity(source)):  # it worked, only the reply was lost
                return


def _rename_no_replace(source: Path, target: Path) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if not hasattr(libc, "renameat2"):
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    here, no_replace = -100, 1
    if libc.renameat2(here, os.fsencode(source), here, os.fsencode(target), no_replace):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def _claim_and_rename(source: Path, target: Path) -> None:
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666))
    try:
        os.replace(source, target)
    except BaseException:
        with suppress(OSError):
            os.unlink(target)
        raise


# A file system that cannot flush folders has nothing to flush.
_NO_FOLDER_FLUSH = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP}


def _sync_folder(path: Path) -> None:
    """Flush the folder that holds `path`, so that the name itself survives a power cut."""
    try:
        descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno in _NO_FOLDER_FLUSH:
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
            free = byte_text(shutil.disk_usage(path.parent).free)
            return NotCommitted(f"no space for {path}: need {byte_text(len(data))}, have {free}; {intact}")
    return NotCommitted(f"could not write {path}: {error.strerror or type(error).__name__}; {intact}")
