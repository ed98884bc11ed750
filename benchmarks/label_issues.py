"""Time and memory of `find_label_issues` beside cleanlab's batched search, each in a process of its own.

    python benchmarks/label_issues.py [--sizes 5000x1000,1000000x100,1280000x1000] [--out benchmarks/label_issues.json]

Probabilities are softmax rows of noisy logits, kept as float32, or float16 where they take over 2 GB, and read from a
memory-mapped file by both. CPU seconds count child processes; memory is the peak resident set above what the process
held before the call, pages of the mapped file included.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

WAYS = ("noiseproof", "cleanlab")
NOISE = 0.2  # share of the labels that are wrong
_ROWS = 20_000  # made at once


def make(folder: Path, samples: int, classes: int) -> None:
    """Write `probs.npy` and `labels.npy`."""
    rng = np.random.default_rng(0)
    kind = np.float16 if 4 * samples * classes > 2e9 else np.float32
    true = rng.integers(classes, size=samples)
    wrong = rng.random(samples) < NOISE
    np.save(folder / "labels.npy", np.where(wrong, rng.integers(classes, size=samples), true))
    probs = np.lib.format.open_memmap(folder / "probs.npy", "w+", kind, (samples, classes))
    for start in range(0, samples, _ROWS):
        rows = slice(start, min(start + _ROWS, samples))
        logits = rng.standard_normal((rows.stop - start, classes), np.float32)
        logits[np.arange(len(logits)), true[rows]] += 5 + 2 * rng.standard_normal(len(logits), np.float32)
        np.exp(logits, out=logits)
        probs[rows] = logits / logits.sum(1, keepdims=True)
    probs.flush()


def resident_kib() -> int:
    """Resident set of this process and its children."""
    import psutil

    here = psutil.Process()
    total = 0
    for one in [here, *here.children(recursive=True)]:
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:  # ended meanwhile
            continue
    return total // 1024


def measured(way: str, folder: Path) -> dict[str, float]:
    """One call in this process."""
    labels = np.load(folder / "labels.npy")
    probs = np.load(folder / "probs.npy", mmap_mode="r")
    if way == "noiseproof":
        from noiseproof.doctor import find_label_issues

        find_label_issues(labels[:500] % 5, np.full((500, 5), 0.2, np.float32))  # imports are not counted

        def call() -> int:
            return len(find_label_issues(labels, probs))
    else:
        from cleanlab.experimental.label_issues_batched import find_label_issues_batched

        def call() -> int:
            return len(find_label_issues_batched(labels=labels, pred_probs=probs, verbose=False))

    before, peak, over = resident_kib(), 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.1):
            peak = max(peak, resident_kib())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started, cpu = time.perf_counter(), cpu_seconds()
    found = call()
    wall, cpu = time.perf_counter() - started, cpu_seconds() - cpu
    over.set()
    watcher.join()
    return {
        "wall_s": round(wall, 2),
        "cpu_s": round(cpu, 2),
        "memory_mb": round(max(peak, before) / 1024 - before / 1024),
        "file_mb": round((folder / "probs.npy").stat().st_size / 1e6),
        "flagged": found,
    }


def cpu_seconds() -> float:
    """CPU seconds of this process and of children that have ended."""
    times = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="5000x1000,1000000x100,1280000x1000")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", nargs=2, metavar=("WAY", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(options.one[0], Path(options.one[1]))))
        return
    sizes = json.loads(options.out.read_text())["sizes"] if options.out and options.out.is_file() else {}
    for size in options.sizes.split(","):
        samples, classes = map(int, size.split("x"))
        with tempfile.TemporaryDirectory() as place:
            make(Path(place), samples, classes)
            for way in WAYS:
                command = [sys.executable, __file__, "--one", way, place]
                answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                sizes.setdefault(size, {})[way] = json.loads(answer.splitlines()[-1])
                print(size, way, answer.splitlines()[-1], flush=True)
    if options.out:
        import cleanlab
        import torch

        machine = {"processor": platform.processor() or platform.machine(), "date": time.strftime("%Y-%m-%d")}
        machine |= {"torch": torch.__version__, "cleanlab": cleanlab.__version__}
        options.out.write_text(json.dumps({"machine": machine, "sizes": sizes}, indent=1) + "\n")


if __name__ == "__main__":
    main()
