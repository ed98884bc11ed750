"""Kill training processes again and again, let others go on: `python checkpoint_kills.py FOLDER KILLS SEED METHOD ...`.

Everything is imported and warmed up once; every attempt is a fork, so a kill costs as little as the training it cuts
short. About half the kills come at a random moment, the others before a random call to the system within a save.
Prints, as JSON, for each method what came out undisturbed, what came out of each disturbed run, and where the kills
landed.
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
from noiseproof.storage import files
from noiseproof.train import Training, checkpoint, fit
from support.deadly_os import DeadlyOs

torch.set_num_threads(1)
EPOCHS = 12


def train(method: str, folder: Path | None, told, deadly: DeadlyOs | None = None, die_in: int = 0) -> str:
    """Train to the end; `told` hears "(" and ")" around every save, the `die_in`-th of which is `deadly`.

    Returns a hash of weights and curves.
    """
    found = data.load("digits")
    noisy = noise.corrupt(found.train.clean, "symmetric(0.4)", num_classes=10, seed=1)
    recipe = recipes.load("digits", {"train.epochs": EPOCHS, "train.batch_size": 256, "model.hidden": [64]})
    save, resume, saves = checkpoint.save, Training._resume, 0

    def loud(*arguments):
        nonlocal saves
        saves += 1
        told("(")
        if deadly:
            deadly.writing = saves == die_in
        save(*arguments)
        told(")")

    def resumed(training, place):
        resume(training, place)
        told(f"r{training.epoch};")

    checkpoint.save, Training._resume, files.os = loud, resumed, deadly or os
    try:
        outcome = fit(found, noisy, method, recipe, seed=1, device="cpu", checkpoint_dir=folder, checkpoint_every=0.0)
    finally:
        checkpoint.save, Training._resume, files.os = save, resume, os
    digest = hashlib.sha256()
    for name, tensor in outcome.model.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    curves = {name: values for name, values in outcome.curves.items() if name != "seconds"}
    digest.update(json.dumps([curves, outcome.health, outcome.accuracy]).encode())
    return digest.hexdigest()


def attempt(method: str, folder: Path, *, saves: int = -1, after: float = 0.0, call: int = 0, of_save: int = 0) -> str:
    """One fork; what it told.

    It is killed `after` so many seconds from the end of that many `saves`, or before the `call`-th call to the system
    of its `of_save`-th save.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            ended = train(method, folder, lambda text: os.write(writing, text.encode()), DeadlyOs(call), of_save)
            os.write(writing, f"d{ended};".encode())
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    heard, deadline = "", None
    while True:
        if 0 <= saves <= heard.count(")"):
            saves, deadline = -1, time.monotonic() + after
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if not select.select([reading], [], [], left)[0]:
            os.kill(child, signal.SIGKILL)
            deadline = None
        elif more := os.read(reading, 4096).decode():
            heard += more
        else:
            break
    os.waitpid(child, 0)
    os.close(reading)
    return heard


def killed(method: str, folder: Path, kills: int, seed: int) -> dict[str, object]:
    """The report on one method."""
    draw, counted = random.Random(seed), DeadlyOs()
    train(method, folder / "warm", lambda text: None, counted, die_in=2)  # how many calls a save makes
    began = time.monotonic()
    whole = train(method, None, lambda text: None)
    length = time.monotonic() - began
    report = {"whole": whole, "ends": [], "kills": 0, "inside": 0, "resumed": [], "forgotten": 0, "folders": 0}
    while report["kills"] < kills or report["folders"] == 0:
        place, saved = folder / str(report["folders"]), 0
        report["folders"] += 1
        while True:
            if report["kills"] >= kills:
                heard = attempt(method, place)
            elif draw.random() < 0.5:
                heard = attempt(method, place, saves=draw.randint(0, 3), after=draw.uniform(0.0, length / 4))
            else:
                heard = attempt(method, place, call=draw.randint(1, counted.calls), of_save=draw.randint(1, 4))
            if "r" in heard:
                report["resumed"].append(resumed := int(heard[heard.index("r") + 1 : heard.index(";")]))
                report["forgotten"] += max(0, saved - resumed)
                saved = resumed + heard.count(")")
            if "d" in heard and heard.endswith(";"):
                report["ends"].append(heard[heard.index("d") + 1 : -1])
                break
            if report["kills"] >= kills:
                raise SystemExit(f"an undisturbed attempt ended without a result: {heard}")
            report["kills"] += 1
            report["inside"] += heard.count("(") > heard.count(")")
    return report


if __name__ == "__main__":
    place, count, first = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    methods = enumerate(sys.argv[4:])
    print(json.dumps({method: killed(method, place / str(number), count, first) for number, method in methods}))
