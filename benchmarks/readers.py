"""Reading of own data beside the readers that people know: torchvision's ImageFolder, pandas and pyarrow.

    python benchmarks/readers.py [--pictures 200000] [--rows 1000000] [--folder DIR]

Writes small PNG files in class folders and a CSV of 50 columns of numbers; each reader runs in a process of its own.
Results go to benchmarks/readers.json. ImageFolder lists names only; `data.load` also tests and hashes every file, once:
the first reading opens all of them, later ones compare size and times.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

OUT = Path(__file__).with_suffix(".json")
CLASSES, COLUMNS, REPEATS = 100, 50, 3

SETUP = {
    "torchvision ImageFolder": """
import torch
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
from torchvision.datasets import ImageFolder as read""",
    "noiseproof, listing alone": """
from noiseproof.data.readers.listing import scan
from noiseproof.data.reading_account import Reading
read = lambda source: scan(source, source, "", Reading(source, ""))""",
    "noiseproof data.load": "from noiseproof.data import load as read",
    "pandas read_csv": "from pandas import read_csv as read",
    "pyarrow read_csv": "from pyarrow.csv import read_csv as read",
}
MEASURE = """
import resource, sys, time
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
wall, cpu = time.perf_counter(), time.process_time()
found = read(sys.argv[1])
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
print(wall, cpu, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def measured(reader: str, source: Path, cache: Path, repeats: int = REPEATS) -> dict[str, float]:
    """Least seconds and memory of a few processes that read the source."""
    rows = []
    for _ in range(repeats):
        done = subprocess.run(
            [sys.executable, "-c", SETUP[reader] + MEASURE, str(source)],
            env={**os.environ, "XDG_CACHE_HOME": str(cache)}, check=True, capture_output=True, text=True,
        )  # fmt: skip
        rows.append([float(word) for word in done.stdout.split()])
    seconds, processor, memory = (min(column) for column in zip(*rows, strict=True))
    return {"seconds": round(seconds, 2), "processor seconds": round(processor, 2), "MiB": round(memory)}


def write_pictures(folder: Path, count: int) -> None:
    """Small PNG files in class folders."""
    from PIL import Image

    draw = np.random.default_rng(0)
    blobs = []
    for _ in range(64):
        memory = io.BytesIO()
        Image.fromarray(draw.integers(0, 256, (4, 4, 3), dtype=np.uint8)).save(memory, "PNG")
        blobs.append(memory.getvalue())
    for label in range(CLASSES):
        home = folder / f"class{label:03}"
        home.mkdir(parents=True)
        for number in range(count // CLASSES):
            (home / f"{number}.png").write_bytes(blobs[(label * 7 + number) % len(blobs)])


def write_table(path: Path, rows: int) -> None:
    """A CSV of numbers with six digits and a label."""
    import pyarrow as pa
    from pyarrow import csv

    draw = np.random.default_rng(0)
    names = [*(f"x{place}" for place in range(COLUMNS)), "label"]
    schema = pa.schema([(name, pa.float64() if name != "label" else pa.int64()) for name in names])
    with csv.CSVWriter(str(path), schema) as writer:
        for first in range(0, rows, 50_000):
            count = min(50_000, rows - first)
            columns = [*draw.normal(size=(COLUMNS, count)).round(6), draw.integers(0, 10, count)]
            writer.write_table(pa.table(dict(zip(names, columns, strict=True)), schema=schema))


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=200_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=None)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as home:
        folder, table, cache = Path(home) / "pictures", Path(home) / "table.csv", Path(home) / "cache"
        if asked.pictures:
            write_pictures(folder, asked.pictures)
            listing = {name: measured(name, folder, cache) for name in list(SETUP)[:2]}
            listing["noiseproof data.load, first time"] = measured("noiseproof data.load", folder, cache, 1)
            listing["noiseproof data.load, later"] = measured("noiseproof data.load", folder, cache)
            keep(f"{asked.pictures} pictures of 4 x 4 pixels in {CLASSES} class folders", listing)
        if asked.rows:
            write_table(table, asked.rows)
            names = ["pandas read_csv", "pyarrow read_csv", "noiseproof data.load"]
            tables = {name: measured(name, table, cache) for name in names}
            keep(f"CSV of {asked.rows} rows, {COLUMNS} columns of numbers and a label", tables)


def keep(what: str, found: dict[str, dict[str, float]]) -> None:
    """Write results beside those that are there."""
    import torch

    content = json.loads(OUT.read_text()) if OUT.exists() else {}
    content |= {"device": f"CPU, {os.cpu_count()} cores", "torch": torch.__version__}
    content |= {"python": platform.python_version(), "date": datetime.now(UTC).date().isoformat(), what: found}
    OUT.write_text(json.dumps(content, indent=1) + "\n")


if __name__ == "__main__":
    main()
