"""A driver to kill: `python made_driver.py FOLDER RUNS WORKERS SECONDS [DIE_AT]`.

Under DIE_AT it kills itself, as a power cut would, just before the DIE_AT-th call to the system that belongs to
writing a record.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from made_runs import calling, runs, work
from noiseproof import files
from noiseproof.bench.driver import Watch, drive
from noiseproof.bench.local import LocalPool
from noiseproof.errors import NoiseproofError


class DeadlyOs:
    """The `os` that the file layer sees; the n-th call that writes a record is the last."""

    def __init__(self, die_at: int) -> None:
        self.left, self.writing = die_at, False

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in ("open", "write", "fsync", "fstat", "close", "link", "unlink", "mkdir"):
            return real

        def call(*args: Any, **kwargs: Any) -> Any:
            if self.writing:
                self.left -= 1
                if self.left == 0:
                    print("died while writing", flush=True)
                    os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **kwargs)

        return call


def aim(die_at: int) -> None:
    deadly, create_once = DeadlyOs(die_at), files.create_once
    files.os = deadly  # type: ignore[assignment]

    def create(path: Any, data: Any) -> bool:
        deadly.writing = Path(path).name == "record.json"
        try:
            return create_once(path, data)
        finally:
            deadly.writing = False

    files.create_once = create


class Tell(Watch):
    def begin(self, waiting: int, recorded: int) -> None:
        print(f"begin {waiting} {recorded}", flush=True)

    def recorded(self, run: Any, record: Any) -> None:
        print(f"recorded {run.run_id}", flush=True)

    def note(self, text: str) -> None:
        print(f"note {text}", flush=True)


def main(folder: str, count: str, workers: str, seconds: str, die_at: str = "0") -> None:
    if int(die_at):
        aim(int(die_at))
    call = calling(work, seconds=float(seconds), log=Path(folder).with_suffix(".log"))
    try:
        tally = drive(runs(int(count)), Path(folder), LocalPool(int(workers)), call, watch=Tell())
    except NoiseproofError as error:
        print(f"refused {error}", flush=True)
        sys.exit(error.exit_code)
    print(f"done {tally.recorded} {tally.present} {tally.discarded}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
