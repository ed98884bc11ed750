"""Small files and folders that are read whole.

A file that cannot be read now (a network disk that is away, too many open files, no permission) is an error that
stops; it is never taken for a damaged or a missing one.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from noiseproof.errors import DataError, DataMissingError, MachineError

__all__ = ["NotReadable", "listing", "read"]

Name = str | os.PathLike[str]


class NotReadable(MachineError):
    """A file or folder that is there cannot be read now; nothing is known about its content."""


# What says that a name is no file of ours; every other error means that the file cannot be read now.
_NO_FILE = {errno.ELOOP, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.ENXIO}


def read(path: Name, *, at_most: int, follow: bool = False) -> bytes:
    """The bytes of a regular file of at most `at_most` bytes; pipes and devices are refused.

    Args:
        path: the file.
        at_most: bytes; a larger file is refused.
        follow: read what a symbolic link leads to; refused otherwise.

    Raises:
        DataMissingError, DataError: there is no such file, or it is not one that we would have written.
        NotReadable: the file is there and cannot be read now.
    """
    try:
        only_itself = 0 if follow else os.O_NOFOLLOW
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | only_itself)
        with open(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise DataError(f"{path} is not a regular file")
            if status.st_size > at_most:
                raise DataError(f"{path} has {status.st_size} bytes; at most {at_most} are read")
            return file.read(status.st_size)
    except FileNotFoundError:
        if follow and os.path.islink(path):
            raise NotReadable(
                f"{path} is a link to {os.readlink(path)}, which is not there; fetch or remove it"
            ) from None
        raise DataMissingError(f"there is no file {path}") from None
    except IsADirectoryError:
        raise DataError(f"cannot read {path}: it is a folder; give a file in it") from None
    except OSError as error:
        kind = DataError if error.errno in _NO_FILE else NotReadable
        raise kind(f"cannot read {path}: {error.strerror}") from None


def listing(folder: Name) -> list[Path]:
    """Entries of a folder, in the order of the names; none if there is no such folder.

    Raises:
        DataError: it is no folder.
        NotReadable: it cannot be read now.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries)
    except FileNotFoundError:
        return []
    except OSError as error:
        kind = DataError if error.errno in _NO_FILE else NotReadable
        raise kind(f"cannot read the folder {folder}: {error.strerror}") from None
    return [Path(folder, name) for name in names]
