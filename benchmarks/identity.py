"""Identity of a folder of pictures beside reading its bytes once: `python benchmarks/identity.py [--pictures 50000]`.

Each measurement runs in a process of its own, first with the files not in memory, then with them in memory. "Reading"
opens every file and reads it to its end, by as many threads as identity has; "with SHA-256" also hashes it. The first
identity knows no hash; the second compares size, times and inode with those it kept. Results go to identity.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

OUT = Path(__file__).with_suffix(".json")

READING = """
import hashlib
from concurrent.futures import ThreadPoolExecutor
def once(name):
    descriptor = os.open(name, os.O_RDONLY)
    digest = hashlib.sha256() if HASH else None
    while block := os.read(descriptor, 1 << 20):
        if digest: digest.update(block)
    os.close(descriptor)
def act():
    parts = [names[start:start + 256] for start in range(0, len(names), 256)]
    with ThreadPoolExecutor(max(2, len(os.sched_getaffinity(0)))) as threads:
        list(threads.map(lambda part: [once(name) for name in part], parts))
"""
WAYS = {
    "reading": "HASH = False" + READING,
    "reading with SHA-256": "HASH = True" + READING,
    "identity, first": "from noiseproof.data.io import file_hashes\nact = lambda: file_hashes.of(names)",
    "identity, second": "from noiseproof.data.io import file_hashes\nact = lambda: file_hashes.of(names)",
}
MEASURE = """
import os, sys, time
names = [os.path.join(sys.argv[1], name) for name in sorted(os.listdir(sys.argv[1]))]
{way}
wall, cpu = time.perf_counter(), time.process_time()
act()
print(time.perf_counter() - wall, time.process_time() - cpu)
"""


def write_pictures(folder: Path, count: int, size: int) -> None:
    """Files of random bytes; their hash does not depend on what they show."""
    draw = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:06}.jpg").write_bytes(draw.bytes(size))
    os.sync()


def forget(folder: Path) -> None:
    """Take the files out of the machine's memory."""
    for name in os.scandir(folder):
        descriptor = os.open(name.path, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def measured(way: str, folder: Path, cache: Path) -> dict[str, float]:
    """Seconds and processor seconds of one process."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-c", MEASURE.format(way=WAYS[way]), str(folder)]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    seconds, processor = map(float, done.stdout.split())
    return {"seconds": round(seconds, 3), "processor seconds": round(processor, 3)}


def main() -> None:
    """Write the pictures, measure each way cold and warm, and keep the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--pictures", type=int, default=50_000)
    parser.add_argument("--bytes", type=int, default=30_000, help="of each picture")
    options = parser.parse_args()
    found: dict[str, object] = {
        "device": f"CPU, {len(os.sched_getaffinity(0))} cores",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": datetime.now(UTC).date().isoformat(),
        "pictures": options.pictures,
        "bytes of each": options.bytes,
    }
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary, "pictures")
        write_pictures(folder, options.pictures, options.bytes)
        for state in ("not in memory", "in memory"):
            cache, rows = Path(temporary, state), {}
            for way in WAYS:
                if state == "not in memory":
                    forget(folder)
                rows[way] = measured(way, folder, cache)
                print(state, way, rows[way], flush=True)
            found[f"files {state}"] = rows
        OUT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
