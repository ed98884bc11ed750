"""How long it takes to open, verify and tabulate a folder of many records: `python benchmarks/records.py [COUNT]`.

Records have the size of a CIFAR-10 run: 120 epochs of three curves and a 10 x 10 matrix.
"""

from __future__ import annotations

import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from noiseproof.experiments import records


def record(number: int, epochs: int = 120, classes: int = 10) -> records.Record:
    """A made-up record of the usual size."""
    draw = random.Random(number)
    curve = [draw.uniform(10, 95) for _ in range(epochs)]
    run: Any = {
        "data": "cifar10",
        "noise": f"symmetric(rate={0.2 * (number % 4 + 1):.1f})",
        "method": f"method-{number % 25}",
        "loss": "nce + amse(a=30)",
        "recipe": "cifar10",
        "settings": {"train": {"epochs": epochs, "lr": 0.01, "momentum": 0.9}, "l1": 5e-5, "l2": 0.0},
        "seed": number,
        "precision": "fp32",
        "mode": "deterministic",
    }
    return {
        "schema": records.SCHEMA,
        "run_id": records.run_id(run),
        "run": run,
        "status": "done",
        "selection": "last epoch",
        "result": {
            "accuracy": curve[-1],
            "curves": {
                "test_accuracy": curve,
                "train_accuracy": [draw.uniform(10, 95) for _ in curve],
                "train_loss": [draw.random() for _ in curve],
                "seconds": [draw.uniform(5, 6) for _ in curve],
            },
        },
        "noise": {
            "rate": 0.4,
            "transition": [[draw.random() for _ in range(classes)] for _ in range(classes)],
            "sha256": f"{number:064x}",
            "convention": "exact",
        },
        "data": {"name": "cifar10", "fingerprint": "0" * 64, "notes": []},
        "seconds": 700.0,
        "device": "cpu",
        "threads": 1,
        "versions": {"noiseproof": "0.1.0", "torch": "2.13.0", "python": "3.11.7", "numpy": "2.4.6"},
        "precision": "fp32",
        "mode": "deterministic",
        "health": {"dead_gradients": 0.0},
        "error": None,
    }


def tabulate(folder: Path) -> int:
    """Open, verify and group by cell; the number of cells."""
    cells: dict[tuple[str, str, str], list[float]] = {}
    for one in records.read_folder(folder, whole=False).records:
        key = one["run"]["data"], one["run"]["noise"], one["run"]["method"]
        cells.setdefault(key, []).append(one["result"]["accuracy"] or 0.0)
    return len([(statistics.fmean(values), statistics.stdev(values)) for values in cells.values() if len(values) > 1])


def main(count: int) -> None:
    """Write `count` records, then read them cold (no cache of ours) and warm."""
    folder = Path(tempfile.mkdtemp())
    try:
        times = []
        for number in range(count):
            one = record(number)
            start = time.perf_counter()
            records.write(folder, one)
            times.append(time.perf_counter() - start)
        times.sort()
        median, late = 1e3 * times[len(times) // 2], 1e3 * times[int(len(times) * 0.99)]
        size = len(records.seal(record(0))) / 1024
        print(f"{count} records of {size:.0f} kB; writing one: median {median:.2f} ms, 99th percentile {late:.2f} ms")
        for name in ("cold", "warm"):
            start, cpu = time.perf_counter(), time.process_time()
            cells = tabulate(folder)
            print(
                f"{name}: {time.perf_counter() - start:.2f} s ({time.process_time() - cpu:.2f} s of CPU), {cells} cells"
            )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
