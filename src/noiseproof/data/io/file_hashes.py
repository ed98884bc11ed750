"""SHA-256 of many files, each read once, and whether they passed a test: both are kept by size, times and inode.

A file whose size, time of change, time of modification and inode are what they were is taken for unchanged. Whoever
writes other bytes into it changes at least one of these, unless the file system's clock stands still; so files that
changed within the last two seconds are read again the next time. The hashes lie in `$XDG_CACHE_HOME/noiseproof`, a file
for each folder of data, and can be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
import stat
import time
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from noiseproof.errors import DataError, DataMissingError, MachineError
from noiseproof.storage import files

__all__ = ["cache_folder", "look", "of"]

_LARGEST = 1 << 30  # bytes of a cache: five million files
_RECENT = 2_000_000_000  # nanoseconds: coarser clocks than this are not known
_AT_A_TIME = 256  # files a task
_BLOCK = 1 << 20  # bytes read at a time
_TESTED = 64 << 20  # bytes of the largest file that is tested
_MOST = 2**63 - 1
_WORTH_KEEPING = 64  # files; fewer are read faster than the cache
_MAGIC = b"noiseproof hashes 2\n"

Rows = npt.NDArray[np.int64]
Digests = npt.NDArray[np.uint8]
Flags = npt.NDArray[np.bool_]


def of(names: Sequence[str]) -> bytes:
    """The SHA-256 of each file, one after the other, 32 bytes each.

    Raises:
        DataMissingError, DataError: a file is gone, or cannot be read.
    """
    return _look(names, None)[0].tobytes()


def look(names: Sequence[str], test: Callable[[str, bytes], bool]) -> tuple[Digests, Flags]:
    """The SHA-256 of each file, uint8 (N, 32), and whether it passed a test, bool (N,), in one reading.

    Args:
        names: the files; one that cannot be read, or is no regular file, does not pass.
        test: called with the name and content of a file that no earlier look has passed; always the same test.
    """
    return _look(names, test)


def _look(names: Sequence[str], test: Callable[[str, bytes], bool] | None) -> tuple[Digests, Flags]:
    digests, passed = np.zeros((len(names), 32), np.uint8), np.zeros(len(names), bool)
    if not names:
        return digests, passed
    started, state = time.time_ns(), _state(names, strict=test is None)
    cache = _Cache(names) if len(names) >= _WORTH_KEEPING else None
    known = passed
    if cache:
        digests, passed, known = cache.look_up(state)
    missing = np.flatnonzero((~known if test is None else ~passed) & (state[:, 0] >= 0))

    def read(part: npt.NDArray[np.int64]) -> list[tuple[bytes, bool]]:
        return [_read(names[i], int(state[i, 0]), test) for i in part.tolist()]

    if len(missing):
        parts = [missing[start : start + _AT_A_TIME] for start in range(0, len(missing), _AT_A_TIME)]
        with ThreadPoolExecutor(max(2, len(os.sched_getaffinity(0)))) as threads:
            for part, found in zip(parts, threads.map(read, parts), strict=True):
                digests[part] = np.frombuffer(b"".join(digest for digest, _ in found), np.uint8).reshape(-1, 32)
                passed[part] |= [good for _, good in found]
        if cache and not (known[missing].all() and not passed[missing].any()):
            cache.keep(state, digests, passed, started)
    return digests, passed


def _state(names: Sequence[str], *, strict: bool) -> Rows:
    """Size, time of modification, time of change and inode of each file, (N, 4); -1 for what is none, unless strict."""
    rows: list[tuple[int, int, int, int]] = []
    nothing = (-1, -1, -1, -1)
    for name in names:
        try:
            found = os.stat(name)
        except OSError as error:
            if strict:
                raise _refusal(name, error) from None
            rows.append(nothing)
            continue
        if strict or stat.S_ISREG(found.st_mode):
            rows.append((found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino & _MOST))
        else:
            rows.append(nothing)
    return np.array(rows, np.int64)


def _read(name: str, size: int, test: Callable[[str, bytes], bool] | None) -> tuple[bytes, bool]:
    """Hash of a file, and whether it passes the test."""
    digest = hashlib.sha256()
    kept: list[bytes] = []
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while block := os.read(descriptor, _BLOCK):
                digest.update(block)
                if test is not None and size <= _TESTED:
                    kept.append(block)
        finally:
            os.close(descriptor)
    except OSError as error:
        if test is None:
            raise _refusal(name, error) from None
        return bytes(32), False
    return digest.digest(), test is not None and bool(kept) and test(
        name, kept[0] if len(kept) == 1 else b"".join(kept)
    )


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
        self.others = _NOTHING

    def look_up(self, state: Rows) -> tuple[Digests, Flags, Flags]:
        """Known hashes of the files, the files that passed the test, and those whose hash is known."""
        kept = self._read()
        at = np.arange(len(kept.names))
        if kept.names != self.names:
            place = {name: number for number, name in enumerate(kept.names)}
            at = np.fromiter((place.pop(name, -1) for name in self.names), np.int64, len(self.names))
            rest = np.fromiter(place.values(), np.int64, len(place))
            self.others = _Kept(list(place), kept.rows[rest], kept.digests[rest], kept.passed[rest])
        if not kept.names:
            return np.zeros((len(self.names), 32), np.uint8), *np.zeros((2, len(self.names)), bool)
        known = (at >= 0) & (kept.rows[at] == state).all(1)
        return kept.digests[at], kept.passed[at] & known, known

    def keep(self, state: Rows, digests: Digests, passed: Flags, started: int) -> None:
        """Write what was found, but for files that changed too recently to be told from later changes."""
        old = (state[:, 1:3].max(1) < started - _RECENT) & (state[:, 0] >= 0)
        names = [name for name, kept in zip(self.names, old.tolist(), strict=True) if kept] + self.others.names
        arrays = (
            np.concatenate([state[old], self.others.rows]),
            np.concatenate([digests[old], self.others.digests]),
            np.concatenate([passed[old], self.others.passed]),
        )
        texts = "\0".join(names).encode("utf-8", "surrogateescape")
        body = len(names).to_bytes(8, "little") + b"".join(one.tobytes() for one in arrays) + texts
        try:
            files.write_atomic(self.path, _MAGIC + zlib.crc32(body).to_bytes(4, "little") + body)
        except MachineError:
            return  # the next call reads the files again

    def _read(self) -> _Kept:
        try:
            content = files.read(self.path, at_most=_LARGEST)
        except (DataError, MachineError):
            return _NOTHING
        body = memoryview(content)[len(_MAGIC) + 4 :]
        if content[: len(_MAGIC) + 4] != _MAGIC + zlib.crc32(body).to_bytes(4, "little"):
            return _NOTHING
        count = int.from_bytes(body[:8], "little")
        rows = np.frombuffer(body, np.int64, count * 4, 8).reshape(-1, 4)
        digests = np.frombuffer(body, np.uint8, count * 32, 8 + count * 32).reshape(-1, 32)
        passed = np.frombuffer(body, bool, count, 8 + count * 64)
        texts = bytes(body[8 + count * 65 :]).decode("utf-8", "surrogateescape")
        return _Kept(texts.split("\0") if count else [], rows, digests, passed)


@dataclass(frozen=True, eq=False)
class _Kept:
    """Files with their states, hashes and whether they passed the test."""

    names: list[str]
    rows: Rows
    digests: Digests
    passed: Flags


_NOTHING = _Kept([], np.zeros((0, 4), np.int64), np.zeros((0, 32), np.uint8), np.zeros(0, bool))
