"""From a CSV of pictures that people labelled, to the suspects and to a model, by the commands that a user types.

    python benchmarks/pictures.py DATA_ROOT [--folder DIR]

Writes the first 10,000 training images of CIFAR-10 as PNG files with CIFAR-10N's worst labels, and the test images with
the official ones, beside a CSV; runs the commands; then, the truth being known, counts how many of the first suspects
are mislabelled. Results go to benchmarks/pictures.json. DATA_ROOT holds cifar-10-batches-py and CIFAR-10_human.pt.
"""

from __future__ import annotations

import argparse
import csv
import json
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image

from noiseproof import data, suggest
from noiseproof.experiments.single_run import given_labels

OUT = Path(__file__).with_suffix(".json")
COUNT = 10_000


def write(root: Path, folder: Path) -> list[bool]:
    """The pictures and `pictures.csv`; which training labels are wrong."""
    found = data.load("cifar10", root=root)
    noisy = given_labels(found, "human(worst)", 1, root)
    assert noisy is not None
    rows = []
    for part, split, labels, count in (
        ("train", found.train, noisy.labels, COUNT),
        ("test", found.test, found.test.given.numpy(), len(found.test)),
    ):
        (folder / part).mkdir(exist_ok=True)
        for number in range(count):
            path = f"{part}/{number:05}.png"
            Image.fromarray(split.inputs[number].permute(1, 2, 0).numpy()).save(folder / path)
            rows.append((path, found.train.classes[labels[number]], part))
    with (folder / "pictures.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "split"), *rows])
    return noisy.flipped[:COUNT].tolist()


def run(command: str, folder: Path) -> dict[str, object]:
    """A command as typed, in the folder; what it printed and how long it took."""
    started = time.monotonic()
    words = [sys.executable, "-m", *shlex.split(command)]
    done = subprocess.run(words, cwd=folder, check=True, capture_output=True, text=True)
    return {"command": command, "seconds": round(time.monotonic() - started), "printed": done.stdout.splitlines()}


def suspects(folder: Path, wrong: list[bool]) -> dict[str, float]:
    """The share of mislabelled pictures among the first suspects."""
    with (folder / "issues.csv").open(newline="") as file:
        ranked = [wrong[int(Path(row["path"]).stem)] for row in csv.DictReader(file)]
    return {f"first {n}": round(sum(ranked[:n]) / n, 4) for n in (100, 1000)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("root", type=Path)
    parser.add_argument("--folder", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = arguments.folder or Path(tempfile.mkdtemp())
    folder.mkdir(parents=True, exist_ok=True)
    wrong = write(arguments.root, folder)
    steps = [run("noiseproof diagnose pictures.csv --out diagnosis", folder)]
    # The doctor suggests for a training like its own; this one is shorter.
    noise = json.loads((folder / "diagnosis/diagnosis.json").read_text())["transition"]
    method = suggest(10, transition=noise, recipe="small-cifar10").method
    train = "noiseproof train pictures.csv --recipe small-cifar10 --out results --method"
    steps += [run(f'{train} "{each}"', folder) for each in ("ce", "jal-ce", method)]
    result = {
        "what": f"{COUNT} pictures of CIFAR-10 with CIFAR-10N's worst labels, {sum(wrong) / COUNT:.2%} of them wrong",
        "device": f"CPU, {torch.get_num_threads()} thread",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "mislabelled": {"all": round(sum(wrong) / COUNT, 4), **suspects(folder / "diagnosis", wrong)},
        "steps": steps,
    }
    OUT.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
