"""SHA-256 of many files, each read once: hashes are kept by size, times and inode.

A file whose size, time of change, time of modification and inode are what they were is taken for unchanged. Whoever
writes other bytes into it changes at least one of these, unless the file system's clock stands still; so files that
changed within the last two seconds are read again the next time. The hashes lie in `$XDG_CACHE_HOME/noiseproof`, a file
for each folder of data, and can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import time
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt

from noiseproof.errors import DataError, DataMissingError, MachineError
from noiseproof.storage import files

__all__ = ["cache_folder", "of"]

_LARGEST = 1 << 30  # bytes of a cache: five million files
_RECENT = 2_000_000_000  # nanoseconds: coarser clocks than this are not known
_AT_A_TIME = 256  # files a task
_BLOCK = 1 << 20  # bytes read at a time
_WORTH_KEEPING = 64  # files; fewer are read faster than the cache
_MAGIC = b"noiseproof hashes 1\n"

Rows = npt.NDArray[np.int64]
Digests = npt.NDArray[np.uint8]


def of(paths: Sequence[Path]) -> bytes:
    """The SHA-256 of each file, one after the other, 32 bytes each.

    Raises:
        DataMissingError, DataError: a file is gone, or cannot be read.
    """
    names = [os.fspath(path) for path in paths]
    if not names:
        return b""
    started, state = time.time_ns(), _state(names)
    cache = _Cache(names) if len(names) >= _WORTH_KEEPING else None
    digests, known = (
        cache.look_up(state) if cache else (np.zeros((len(names), 32), np.uint8), np.zeros(len(names), bool))
    )
    missing = np.flatnonzero(~known)
    if len(missing):
        parts = [missing[start : start + _AT_A_TIME] for start in range(0, len(missing), _AT_A_TIME)]
        with ThreadPoolExecutor(max(2, len(os.sched_getaffinity(0)))) as threads:
            for part, found in zip(
                parts, threads.map(lambda part: [_hash(names[i]) for i in part], parts), strict=True
            ):
                digests[part] = np.frombuffer(b"".join(found), np.uint8).reshape(-1, 32)
        if cache:
            cache.keep(state, digests, started)
    return digests.tobytes()


def _state(names: Sequence[str]) -> Rows:
    """Size, time of modification, time of change and inode of each file, (N, 4)."""
    rows = np.empty((len(names), 4), np.int64)
    for row, name in enumerate(names):
        try:
            found = os.stat(name)
        except OSError as error:
            raise _refusal(name, error) from None
        rows[row] = found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino & (2**63 - 1)
    return rows


def _hash(name: str) -> bytes:
    digest = hashlib.sha256()
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while block := os.read(descriptor, _BLOCK):
                digest.update(block)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _refusal(name, error) from None
    return digest.digest()


def _refusal(name: str, error: OSError) -> Exception:
    if isinstance(error, FileNotFoundError):
        return DataMissingError(f"there is no file {name}")
    return MachineError(f"cannot read {name}: {error.strerror}")


def cache_folder() -> Path:
    """The folder of what can be computed again: $XDG_CACHE_HOME/noiseproof, else ~/.cache/noiseproof."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "noiseproof"


class _Cache:
    """The hashes of the files below one folder, in a file named by it."""

    def __init__(self, names: Sequence[str]) -> None:
        here = os.getcwd() + os.sep
        self.names = [name if name.startswith(os.sep) else here + name for name in names]
        home = os.path.commonpath([self.names[0], self.names[-1]])
        self.path = cache_folder() / f"hashes-{hashlib.sha256(os.fsencode(home)).hexdigest()[:32]}"
        self.others: tuple[list[str], Rows, Digests] = [], np.zeros((0, 4), np.int64), np.zeros((0, 32), np.uint8)

    def look_up(self, state: Rows) -> tuple[Digests, npt.NDArray[np.bool_]]:
        """Known hashes of the files, and the files that have one."""
        names, rows, digests = self._read()
        place = {name: number for number, name in enumerate(names)}
        at = np.fromiter((place.pop(name, -1) for name in self.names), np.int64, len(self.names))
        rest = np.fromiter(place.values(), np.int64, len(place))
        self.others = list(place), rows[rest], digests[rest]
        if not names:
            return np.zeros((len(at), 32), np.uint8), np.zeros(len(at), bool)
        return digests[at], (at >= 0) & (rows[at] == state).all(1)

    def keep(self, state: Rows, digests: Digests, started: int) -> None:
        """Write what was found, but for files that changed too recently to be told from later changes."""
        old = state[:, 1:3].max(1) < started - _RECENT
        names = [name for name, kept in zip(self.names, old.tolist(), strict=True) if kept] + self.others[0]
        numbers = np.concatenate([state[old], self.others[1]]), np.concatenate([digests[old], self.others[2]])
        texts = "\0".join(names).encode("utf-8", "surrogateescape")
        body = len(names).to_bytes(8, "little") + b"".join(one.tobytes() for one in numbers) + texts
        try:
            files.write_atomic(self.path, _MAGIC + zlib.crc32(body).to_bytes(4, "little") + body)
        except MachineError:
            return  # the next call reads the files again

    def _read(self) -> tuple[list[str], Rows, Digests]:
        try:
            content = files.read(self.path, at_most=_LARGEST)
        except (DataError, MachineError):
            return self.others
        body = memoryview(content)[len(_MAGIC) + 4 :]
        if content[: len(_MAGIC) + 4] != _MAGIC + zlib.crc32(body).to_bytes(4, "little"):
            return self.others
        count = int.from_bytes(body[:8], "little")
        rows = np.frombuffer(body, np.int64, count * 4, 8).reshape(-1, 4)
        digests = np.frombuffer(body, np.uint8, count * 32, 8 + count * 32).reshape(-1, 32)
        texts = bytes(body[8 + count * 64 :]).decode("utf-8", "surrogateescape")
        return (texts.split("\0") if count else []), rows, digests
