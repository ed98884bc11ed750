"""Kill training processes again and again and let others go on: `python checkpoint_kills.py FOLDER KILLS SEED`.

Everything is imported and warmed up once; every attempt is a fork, so a kill costs as little as the training it cuts
short. Prints, as JSON, what came out undisturbed, what came out of each disturbed run, and where the kills landed.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import select
import signal
import sys
import time
import traceback
from pathlib import Path

import torch

from noiseproof import data, noise, recipes
from noiseproof.train import Training, checkpoint, fit

torch.set_num_threads(1)
EPOCHS = 12


def train(folder: Path | None, told) -> str:
    """Train to the end; `told` hears "(" and ")" around every save. Returns a hash of weights and curves."""
    found = data.load("digits")
    noisy = noise.corrupt(found.train.clean, "symmetric(0.4)", num_classes=10, seed=1)
    recipe = recipes.load("digits", {"train.epochs": EPOCHS, "train.batch_size": 256, "model.hidden": [64]})
    save, resume = checkpoint.save, Training._resume

    def loud(*arguments):
        told("(")
        save(*arguments)
        told(")")

    def resumed(training, place):
        resume(training, place)
        told(f"r{training.epoch};")

    checkpoint.save, Training._resume = loud, resumed
    try:
        outcome = fit(found, noisy, "jal-ce", recipe, seed=1, device="cpu", checkpoint_dir=folder, checkpoint_every=0.0)
    finally:
        checkpoint.save, Training._resume = save, resume
    digest = hashlib.sha256()
    for name, tensor in outcome.model.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    curves = {name: values for name, values in outcome.curves.items() if name != "seconds"}
    digest.update(json.dumps([curves, outcome.health, outcome.accuracy]).encode())
    return digest.hexdigest()


def attempt(folder: Path, wait_saves: int, delay: float) -> str:
    """One fork, killed `delay` seconds after its `wait_saves`-th save has begun (0: after its start; -1: never)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(writing, b"d" + train(folder, lambda text: os.write(writing, text.encode())).encode() + b";")
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    heard, deadline = "", time.monotonic() + delay if wait_saves == 0 else None
    while True:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if deadline is not None and left == 0.0:
            break
        if select.select([reading], [], [], left)[0]:
            more = os.read(reading, 4096).decode()
            if not more:
                break
            heard += more
            if deadline is None and wait_saves > 0 and heard.count("(") >= wait_saves:
                deadline = time.monotonic() + delay
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    while more := os.read(reading, 4096).decode():
        heard += more
    os.close(reading)
    return heard


def main(folder: Path, kills: int, seed: int) -> None:
    """See the head of the file."""
    draw = random.Random(seed)
    whole, began = train(None, lambda text: None), time.monotonic()
    whole = train(None, lambda text: None)
    length = time.monotonic() - began
    report = {"whole": whole, "ends": [], "kills": 0, "inside": 0, "resumed": [], "folders": 0}
    while report["kills"] < kills or report["folders"] == 0:
        place = folder / str(report["folders"])
        report["folders"] += 1
        while True:
            if report["kills"] >= kills:
                heard = attempt(place, -1, 0.0)
            elif draw.random() < 0.5:
                heard = attempt(place, 0, draw.uniform(0.0, length))
            else:
                heard = attempt(place, draw.randint(1, 4), draw.uniform(0.0, 0.003))
            if "r" in heard:
                report["resumed"].append(int(heard[heard.index("r") + 1 : heard.index(";")]))
            if "d" in heard and heard.endswith(";"):
                report["ends"].append(heard[heard.index("d") + 1 : -1])
                break
            if report["kills"] >= kills:
                raise SystemExit(f"an undisturbed attempt ended without a result: {heard}")
            report["kills"] += 1
            report["inside"] += heard.count("(") > heard.count(")")
    print(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
