"""A driver to kill: `python made_driver.py FOLDER RUNS WORKERS SECONDS [DIE_AT [GATE [RAY]]]`.

Under DIE_AT it kills itself, as a power cut would, just before the DIE_AT-th call to the system that belongs to
writing a record. As many of the last runs as there are workers end only when the file GATE is there. RAY is the
address of a cluster that computes.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from noiseproof.errors import NoiseproofError
from noiseproof.experiments import driver
from noiseproof.experiments.driver import Callback, run_all
from noiseproof.experiments.executors.local import LocalPool
from noiseproof.experiments.executors.ray import RayPool
from noiseproof.storage import files
from support.deadly_os import DeadlyOs
from support.made_runs import gated, runs


def aim(die_at: int) -> None:
    deadly, create_once = DeadlyOs(die_at), files.create_once
    files.os = deadly

    def create(path: Any, data: Any) -> bool:
        deadly.writing = Path(path).name == "record.json"
        try:
            return create_once(path, data)
        finally:
            deadly.writing = False

    files.create_once = create


class Tell(Callback):
    def begin(self, waiting: int, recorded: int) -> None:
        print(f"begin {waiting} {recorded}", flush=True)

    def recorded(self, run: Any, record: Any) -> None:
        print(f"recorded {run.run_id}", flush=True)

    def note(self, text: str) -> None:
        print(f"note {text}", flush=True)


def main(folder: str, count: str, workers: str, seconds: str, die_at: str = "0", gate: str = "", ray: str = "") -> None:
    driver._LOSSES = 1000  # so many losses are no accident here
    if int(die_at):
        aim(int(die_at))
    first = int(count) - int(workers) + 1 if gate else int(count) + 1
    call = gated(Path(gate), first, seconds=float(seconds), log=Path(folder).with_suffix(".log"))
    try:
        pool = RayPool(ray, slots=int(workers)) if ray else LocalPool(int(workers))
        tally = run_all(runs(int(count)), Path(folder), pool, call, callback=Tell())
    except NoiseproofError as error:
        print(f"refused {error}", flush=True)
        sys.exit(error.exit_code)
    print(f"done {tally.recorded} {tally.present} {tally.discarded}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
