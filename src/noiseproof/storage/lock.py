"""One driver per results folder and shard: a second one is refused while the first lives.

A lock is a file that names its owner (host, process number, start, boot) and carries a number. Whoever holds
the highest number owns the place; taking over from a dead owner means creating the next number, which only one
contender can. Numbers only grow, so a late contender cannot slip in below. The lock saves wasted work and
nothing else: even two drivers that both think they own a place cannot record two results of one run.
"""

from __future__ import annotations

import dataclasses
import json
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from noiseproof.errors import DataError, DataMissingError, InputError, MachineError
from noiseproof.storage import files
from noiseproof.storage.process import Process, this_process

__all__ = ["WHOLE", "Lock", "Shard", "take"]


@dataclass(frozen=True, order=True)
class Shard:
    """Part `number` of `of` of a grid, counted from 1; which runs it holds depends on their names alone."""

    number: int = 1
    of: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read `I/N`.

        Raises:
            InputError: it is not that, or I is not one of 1 to N.

        Example:
            >>> Shard.parse("2/8")
            Shard(number=2, of=8)
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        if match and 1 <= int(match[1]) <= int(match[2]):
            return cls(int(match[1]), int(match[2]))
        raise InputError(f"a shard is I/N with I from 1 to N, such as 2/8; got {text!r}")

    def holds(self, run_id: str) -> bool:
        """Whether the run belongs to this part.

        Example:
            >>> [Shard(number, 3).holds("00" * 31 + "05") for number in (1, 2, 3)]
            [False, False, True]
        """
        return int(run_id, 16) % self.of == self.number - 1


WHOLE = Shard()


@dataclass(frozen=True)
class Lock:
    """A place that is ours until `release`, or until somebody takes it away."""

    path: Path
    text: bytes
    note: str  # what there is to say about how we came by it

    def held(self) -> bool:
        """Whether it is still ours; false if its file was removed by hand or a higher number exists."""
        try:
            newest = _numbered(self.path.parent, _shard(self.path))[-1:]
            return newest == [self.path] and files.read(self.path, at_most=_LARGEST) == self.text
        except DataError:  # the folder itself may be gone
            return False

    def release(self) -> None:
        """Leave the place free; a file stays, because its number may not come again."""
        if self.held():
            free = _next(self.path)
            if files.create_once(free, _FREE):
                _remove_below(free)


def take(folder: Path, shard: Shard = WHOLE) -> Lock:
    """The place of the driver of `shard` in a results folder.

    Raises:
        MachineError: another driver holds it, or a part of the grid that overlaps it; the message names it.
    """
    place = files.make_folder(folder / "locks")
    files.clear_temporaries(place)
    for other in {_shard(path) for path in _numbered(place)} - {shard}:
        if other.of != shard.of:
            _check_free(_numbered(place, other)[-1:])
    me = {**dataclasses.asdict(this_process()), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    mine = json.dumps(me).encode()
    while True:
        newest = _numbered(place, shard)[-1:]
        dead = _check_free(newest)
        path = _next(newest[0]) if newest else place / _name(shard, 1)
        try:
            if not files.create_once(path, mine):
                continue  # another contender was faster; see who it is
        except files.DurabilityUncertain:
            files.remove(path)
            raise
        lock = Lock(path, mine, f"took over from {dead}, which ended without letting go" if dead else "")
        if lock.held():
            _remove_below(path)
            return lock
        files.remove(path)  # we came late, below a number that exists by now


def _check_free(newest: list[Path]) -> str:
    """Refuse if the newest lock has an owner who lives or may live; else say who is dead, if anybody."""
    for path in newest:
        try:
            text = files.read(path, at_most=_LARGEST)
        except DataMissingError:  # somebody else has just taken the next number
            return ""
        if text == _FREE:
            return ""
        folder = path.parent.parent
        try:
            content = json.loads(text)
            owner, since = Process(*(content[key] for key in ("host", "pid", "start", "boot"))), content["since"]
        except (ValueError, TypeError, KeyError):
            # Locks appear whole or not at all: this one was damaged or written by something else.
            raise MachineError(
                f"{path} is no lock that this program wrote; if nothing else works on {folder}, delete it and go on"
            ) from None
        named = f"process {owner.pid} on {owner.host} (since {since})"
        alive = owner.alive()
        if alive:
            raise MachineError(
                f"{folder} is being worked on by {named}, part {_shard(path)} of the grid; "
                "wait for it, or let several share the work with --shard I/N"
            )
        if alive is None:
            raise MachineError(
                f"{folder} belongs to {named}, and from here nobody can tell whether that still runs; "
                f"if it has ended, delete {path} and go on"
            )
        return named
    return ""


_LARGEST = 4096  # bytes
_FREE = b"free"
_NAME = re.compile(r"shard-(\d+)-of-(\d+)\.(\d{9})\Z")


def _name(shard: Shard, number: int) -> str:
    return f"shard-{shard.number}-of-{shard.of}.{number:09d}"


def _shard(path: Path) -> Shard:
    match = _NAME.match(path.name)
    assert match
    return Shard(int(match[1]), int(match[2]))


def _next(path: Path) -> Path:
    return path.with_name(_name(_shard(path), int(path.name[-9:]) + 1))


def _numbered(place: Path, shard: Shard | None = None) -> list[Path]:
    found = (path for path in files.listing(place) if _NAME.match(path.name))
    return [path for path in found if shard is None or _shard(path) == shard]


def _remove_below(path: Path) -> None:
    for older in _numbered(path.parent, _shard(path)):
        if older < path:
            with suppress(MachineError):  # what stays has a low number and holds nothing
                files.remove(older)
