"""Names of temporary files, which say who writes them, and removal of those whose writers are dead."""

from __future__ import annotations

import itertools
import os
import re
import time
from contextlib import suppress
from pathlib import Path

from noiseproof.errors import MachineError
from noiseproof.storage.process import Process, this_process

__all__ = ["clear_temporaries", "temporary_name"]

_FORGOTTEN = 24 * 3600.0  # seconds
_serial = itertools.count()
_TEMPORARY = re.compile(
    r"\.tmp,(?P<host>[^,]*),(?P<pid>\d+),(?P<start>\d*),(?P<boot>[^,]*),(?:(?P<namespace>\d*),)?\d+\Z"
)


def clear_temporaries(folder: str | os.PathLike[str]) -> list[Path]:
    """Remove the temporary files in `folder` whose writers are dead.

    Where that cannot be seen from here (other machines, other containers), those that a day has passed over.

    Returns:
        What was removed.
    """
    removed = []
    with suppress(OSError, MachineError), os.scandir(folder) as entries:
        for entry in entries:
            if not (owner := _owner(entry.name)):
                continue
            with suppress(OSError):
                alive = owner.alive()
                if alive is False or (alive is None and time.time() - entry.stat().st_mtime > _FORGOTTEN):
                    os.unlink(entry.path)
                    removed.append(Path(entry.path))
    return removed


def temporary_name() -> str:
    """A name that no other process and no other call has."""
    me = this_process()
    return f".tmp,{me.host},{me.pid},{me.start},{me.boot},{me.namespace},{next(_serial)}"


def _owner(name: str) -> Process | None:
    match = _TEMPORARY.match(name)
    return match and Process(match["host"], int(match["pid"]), match["start"], match["boot"], match["namespace"] or "")
