#!/usr/bin/env python3
"""The defaults of NoisyLabelClassifier on the pixels of 2,000 photos, beside fixed learning rates.

    .venv/bin/python benchmarks/estimator.py DATA_ROOT

The first 2,000 training photos of CIFAR-10 as vectors of 3,072 pixels, with their own labels and with 40 % symmetric
noise; accuracies on the first 2,000 test photos. The built-in perceptron, 60 epochs; `lr="auto"` is the default, 0.05
the rate of the recipes, 0.01 a fifth of it. Writes estimator.json, a setting at a time; what is there stays.
"""

from __future__ import annotations

import json
import platform
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from noiseproof import NoisyLabelClassifier, data, noise

OUT = Path(__file__).with_suffix(".json")
PHOTOS = 2_000
NOISES = ("clean", "symmetric(0.4)")
LOSSES = ("jal-ce", "anl-ce", "gce", "ce")
RATES = ("auto", 0.05, 0.01)


def main() -> None:
    found = data.load("cifar10", root=Path(sys.argv[1]))
    test, truth = pixels(found.test.inputs), found.test.given[:PHOTOS].numpy()
    kept = json.loads(OUT.read_text()) if OUT.is_file() else {"settings": {}}
    for noise_text in NOISES:
        given = noise.corrupt(found.train.given[:PHOTOS], noise_text, num_classes=10, seed=1).labels
        for loss in LOSSES:
            for rate in RATES:
                name = f"{noise_text}, {loss}, lr={rate}"
                if name not in kept["settings"]:
                    kept["settings"][name] = measured(pixels(found.train.inputs), given, test, truth, loss, rate)
                    kept["machine"] = f"{platform.machine()}, torch {torch.__version__}, {time.strftime('%Y-%m-%d')}"
                    OUT.write_text(json.dumps(kept, indent=1) + "\n")
                print(name, kept["settings"][name], flush=True)


def pixels(images: torch.Tensor) -> np.ndarray:
    return images[:PHOTOS].flatten(1).float().numpy()


def measured(
    features: np.ndarray, given: np.ndarray, test: np.ndarray, truth: np.ndarray, loss: str, rate: float | str
) -> dict[str, object]:
    started = time.process_time()
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        model = NoisyLabelClassifier(loss, lr=rate, random_state=0).fit(features, given)
    return {
        "accuracy": round(100 * model.score(test, truth), 2),
        "rate": model.lr_,
        "fitted": round(model.health_["fitted"], 3),
        "warned": [str(one.message) for one in warned if "underfits" in str(one.message)],
        "cpu": round(time.process_time() - started, 1),
    }


if __name__ == "__main__":
    main()
