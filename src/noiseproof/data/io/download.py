"""Downloads that go on where they stopped, and count only once their hash is the official one."""

from __future__ import annotations

import fcntl
import hashlib
import http.client  # noqa: TID251 - `data fetch` is the one command that downloads
import os
import ssl
import time
import urllib.error
import urllib.request  # noqa: TID251 - as above
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

from noiseproof.data.dataset_registry import DATASETS, Remote
from noiseproof.data.named.noisy_cifar import FILES
from noiseproof.errors import DataError, InputError, MachineError, one_of
from noiseproof.storage import files

__all__ = ["download", "fetch", "fetchable"]

Progress = Callable[[str, int, int], object]

_PIECE = 1 << 18
_ATTEMPTS = 4
_NETWORK = (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError, ssl.SSLError)


def fetchable() -> dict[str, tuple[Remote, ...]]:
    """Downloads by name: data sets, and noisy labels for CIFAR."""
    remotes = {entry.name: getattr(entry.cls, "remote", ()) for entry in DATASETS}
    return {name: remote for name, remote in remotes.items() if remote} | FILES


def fetch(
    name: str,
    root: str | os.PathLike[str],
    *,
    mirror: str | None = None,
    progress: Progress | None = None,
    timeout: float = 30,
) -> list[Path]:
    """Download a data set's files into the root; those that are there and right are left alone.

    Args:
        name: one of `fetchable()`.
        root: the folder to put them under.
        mirror: take each file from this address plus its name instead; its hash must be the official one all the same.
        progress: called with the file's name, the bytes that are there and the bytes there will be.
        timeout: seconds without a byte after which a connection counts as dead.

    Raises:
        DataError: a file is not the official one.
        MachineError: the server or the connection failed; the same call goes on from there.
    """
    if name in DATASETS and name not in fetchable():
        raise InputError(f"{name} cannot be downloaded by a program; {_by_hand(name)}")
    remotes = fetchable()[one_of("what to fetch", name, fetchable())]
    return [
        download(remote, Path(root) / remote.path, mirror=mirror, progress=progress, timeout=timeout)
        for remote in remotes
    ]


def download(
    remote: Remote, target: Path, *, mirror: str | None = None, progress: Progress | None = None, timeout: float = 30
) -> Path:
    """Download one file; `fetch` for all of a data set. A second process that wants it waits for the first."""
    address = remote.url if mirror is None else f"{mirror.rstrip('/')}/{remote.url.rpartition('/')[2]}"
    if not address.startswith(("http://", "https://")):
        raise InputError(f"an address starts with http:// or https://, got {address!r}")
    part = target.with_name(target.name + ".part")
    while not target.exists():
        files.need_space(target.parent, remote.size)
        with files.grow(part) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # saves the work of two; what counts is the hash
            if not _is_still(file, part):
                continue  # whoever had it has finished or given up
            try:
                if not target.exists():
                    _fill_with_patience(file, remote, address, target, progress, timeout)
                    file.flush()
                    os.fsync(file.fileno())
                    _take_name(remote, part, target, address)
            finally:
                if _is_still(file, part) and not os.fstat(file.fileno()).st_size:
                    part.unlink()
    if _is_official(remote, target):
        return target
    raise DataError(f"{target} is there already and is not the official file; move it away and type the same again")


def _is_still(file: BinaryIO, part: Path) -> bool:
    """True if the open file still has its name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(part))
    except FileNotFoundError:
        return False


def _take_name(remote: Remote, part: Path, target: Path, address: str) -> None:
    if not _is_official(remote, part):
        part.unlink()
        raise DataError(f"{address}: what came is not the official {target.name} (its hash differs); nothing was kept")
    files.rename(part, target)


def _fill_with_patience(
    file: BinaryIO, remote: Remote, address: str, target: Path, progress: Progress | None, timeout: float
) -> None:
    """Try again after a broken connection, as long as each try brings something."""
    if file.seek(0, os.SEEK_END) > remote.size:
        file.truncate(0)
    for attempt in range(_ATTEMPTS):
        before = file.seek(0, os.SEEK_END)
        try:
            return _fill(file, remote, address, progress, timeout)
        except _NETWORK as error:
            have = file.seek(0, os.SEEK_END)
            if isinstance(error, urllib.error.HTTPError) or have == before or attempt == _ATTEMPTS - 1:
                raise MachineError(_failed(error, address, have, remote.size, target)) from error
            time.sleep(0.2 * 2**attempt)


def _fill(file: BinaryIO, remote: Remote, address: str, progress: Progress | None, timeout: float) -> None:
    """Append what is still missing."""
    have = file.seek(0, os.SEEK_END)
    if have == remote.size:
        return
    request = urllib.request.Request(address, headers={"User-Agent": "noiseproof"})  # noqa: S310, TID251 - addresses of the package's own list
    if have:
        request.add_header("Range", f"bytes={have}-")
    with closing(urllib.request.urlopen(request, timeout=timeout)) as reply:  # noqa: S310, TID251 - as above
        if have and reply.status != 206:  # the server sends all of it again
            have = file.seek(0)
            file.truncate()
        kind = reply.headers.get_content_type()
        if kind == "text/html":
            raise DataError(f"{address}: the server sent a web page, not {remote.path}; try later, or another --mirror")
        while piece := reply.read(_PIECE):
            have += len(piece)
            if have > remote.size:
                file.truncate(0)
                raise DataError(f"{address}: more than the {remote.size:,} bytes of the official file came")
            file.write(piece)
            if progress is not None:
                progress(remote.path, have, remote.size)
    if have < remote.size:
        raise ConnectionError(f"the connection ended after {have:,} of {remote.size:,} bytes")


def _is_official(remote: Remote, path: Path) -> bool:
    if path.stat().st_size != remote.size:
        return False
    with path.open("rb") as file:
        if remote.sha256:
            return hashlib.file_digest(file, "sha256").hexdigest() == remote.sha256
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == remote.md5


def _failed(error: Exception, address: str, have: int, size: int, target: Path) -> str:
    if isinstance(error, urllib.error.HTTPError):
        answer = f"{error.code} {error.reason}"
        return f"{address}: the server answers {answer}; try another --mirror, or put the file at {target}"
    reason = getattr(error, "reason", None) or error or type(error).__name__
    kept = f"; {have:,} of {size:,} bytes are kept, type the same again to go on" if have else ""
    return f"{address}: {reason}{kept}"


def _by_hand(name: str) -> str:
    entry = DATASETS[name]
    if name == "digits":
        return "it comes with scikit-learn"
    return f"ask at {entry.claims['source']} and see `noiseproof data check {name}` for where the files go"
