"""One driver per results folder and part of a grid: a second one is refused while the first lives.

A lock is a file that names its owner (host, process number, start, boot, PID namespace) and carries a number. Whoever
holds the highest number owns the place; taking over from a dead owner means creating the next number, which only one
contender can. Numbers only grow, so a late contender cannot slip in below. The lock saves wasted work and nothing
else: even two drivers that both think they own a place cannot record two results of one run.

The owner renews its file every few seconds. An owner that cannot be looked at from here, because it runs on another
host, in another container or out of sight, counts as alive until that has stopped for `PATIENCE` seconds. Where
the disk keeps no times, and for locks of older versions, it counts as alive until somebody deletes the file.
"""

from __future__ import annotations

import dataclasses
import json
import re
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from noiseproof.errors import DataError, DataMissingError, MachineError
from noiseproof.storage import files
from noiseproof.storage.process import Process, this_process

__all__ = ["PATIENCE", "Lock", "take"]

BEAT = 5.0  # seconds between two renewals
PATIENCE = 600.0  # seconds without one after which an owner out of sight counts as dead
Part = tuple[int, int]  # (number, of): part `number` of `of`


@dataclass(frozen=True)
class Lock:
    """A place that is ours until `release`, or until somebody takes it away."""

    path: Path
    text: bytes
    note: str  # what there is to say about how we came by it
    ended: threading.Event = dataclasses.field(default_factory=threading.Event, compare=False, repr=False)

    def held(self) -> bool:
        """True while it is ours; false if its file was removed by hand or a higher number exists.

        Raises:
            NotReadable: that cannot be seen now.
        """
        try:
            newest = _numbered(self.path.parent, _part(self.path))[-1:]
            return newest == [self.path] and files.read(self.path, at_most=_LARGEST) == self.text
        except DataError:  # the folder itself may be gone
            return False

    def release(self) -> None:
        """Leave the place free; a file stays, because its number may not come again."""
        self.ended.set()
        if self.held():
            free = _next(self.path)
            if files.create_once(free, _FREE):
                _remove_below(free)

    def keep_alive(self) -> None:
        """Renew the file from a thread until the lock is released or its file is gone."""

        def renew() -> None:
            while not self.ended.wait(BEAT) and files.renew(self.path):
                pass

        threading.Thread(target=renew, daemon=True, name="lock").start()


def take(folder: Path, part: Part = (1, 1)) -> Lock:
    """The place of the driver of a part of the grid in a results folder.

    Raises:
        MachineError: another driver holds it, or a part of the grid that overlaps it; the message names it.
    """
    place = files.make_folder(folder / "locks")
    files.clear_temporaries(place)
    part = (part[0], part[1])
    for other in {_part(path) for path in _numbered(place)} - {part}:
        if other[1] != part[1]:
            _check_free(_numbered(place, other)[-1:])
    me = {**dataclasses.asdict(this_process()), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    if files.renew(place):
        me["renewed"] = BEAT
    mine = json.dumps(me).encode()
    while True:
        newest = _numbered(place, part)[-1:]
        dead = _check_free(newest)
        path = _next(newest[0]) if newest else place / _name(part, 1)
        try:
            if not files.create_once(path, mine):
                continue  # another contender was faster; see who it is
        except files.DurabilityUncertain:
            files.remove(path)
            raise
        lock = Lock(path, mine, f"took over from {dead}, which ended without letting go" if dead else "")
        try:
            if lock.held():
                _remove_below(path)
                lock.keep_alive()
                return lock
        except MachineError:
            files.remove(path)
            raise
        files.remove(path)  # we came late, below a number that exists by now


class _Owner(NamedTuple):
    """Owner of a lock, as its file says."""

    process: Process
    since: str
    renewed: bool  # whether its file is renewed while it lives

    def __str__(self) -> str:
        return f"process {self.process.pid} on {self.process.host} (since {self.since})"

    @classmethod
    def parse(cls, text: bytes) -> _Owner:
        content = json.loads(text)
        names = [field.name for field in dataclasses.fields(Process)]
        process = Process(**{name: content[name] for name in names if name != "namespace" or name in content})
        if not isinstance(process.pid, int):
            raise TypeError("a process has a number")
        return cls(process, content["since"], "renewed" in content)

    def alive(self, path: Path) -> tuple[bool | None, str]:
        """State of the owner, None if it cannot be seen from here; and the words for its last sign of life."""
        alive = self.process.alive()
        seen_dead = alive is False and self.process.boot == this_process().boot
        if alive or seen_dead or not self.renewed:
            return alive, ""
        seconds = files.age(path)
        return (None if seconds < PATIENCE else False), f"; its last sign of life came {seconds:.0f} s ago"


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
            owner = _Owner.parse(text)
        except (ValueError, TypeError, KeyError, AttributeError):
            # Locks appear whole or not at all: this one was damaged or written by something else.
            raise MachineError(
                f"{path} is no lock that this program wrote; if nothing else works on {folder}, delete it and go on"
            ) from None
        alive, sign = owner.alive(path)
        if alive:
            number, of = _part(path)
            raise MachineError(
                f"{folder} is being worked on by {owner}, part {number}/{of} of the grid; "
                "wait for it, or let several share the work with --shard I/N"
            )
        if alive is None:
            again = f"without one for {PATIENCE:.0f} s it is taken over" if sign else ""
            raise MachineError(
                f"{folder} belongs to {owner}, and from here nobody can tell whether that still runs{sign}; "
                f"if it has ended, delete {path} and go on{again and f' ({again})'}"
            )
        return str(owner)
    return ""


_LARGEST = 4096  # bytes
_FREE = b"free"
_NAME = re.compile(r"shard-(\d+)-of-(\d+)\.(\d{9})\Z")


def _name(part: Part, number: int) -> str:
    return f"shard-{part[0]}-of-{part[1]}.{number:09d}"


def _part(path: Path) -> Part:
    match = _NAME.match(path.name)
    assert match
    return int(match[1]), int(match[2])


def _next(path: Path) -> Path:
    return path.with_name(_name(_part(path), int(path.name[-9:]) + 1))


def _numbered(place: Path, part: Part | None = None) -> list[Path]:
    found = (path for path in files.listing(place) if _NAME.match(path.name))
    return [path for path in found if part is None or _part(path) == part]


def _remove_below(path: Path) -> None:
    for older in _numbered(path.parent, _part(path)):
        if older < path:
            with suppress(MachineError):  # what stays has a low number and holds nothing
                files.remove(older)
