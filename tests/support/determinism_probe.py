"""What must be the same in every process, as hashes: run with a folder of pictures, prints JSON.

python determinism_probe.py FOLDER [THREADS [WORKERS]]
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from noiseproof import data, noise, recipes, rng
from noiseproof.data import Data, Split
from noiseproof.data.pipeline.batches import Batches
from noiseproof.data.pipeline.crops_and_flips import Augment
from noiseproof.experiments.single_run import describe
from noiseproof.train import fit
from noiseproof.train.initial import network_for

NOISES = [
    "symmetric(0.4)",
    "symmetric(rate=0.4, convention=independent)",
    "symmetric(rate=0.4, convention=jal)",
    "symmetric(rate=0.2, convention=apl)",
    "asymmetric(rate=0.3, classes='0>1 1>2 2>0')",
    "pairflip(0.2)",
    "instance(rate=0.4)",
    "instance(rate=0.4, convention=logitclip)",
]


def make_pictures(folder: Path) -> Path:
    """Two class folders of small pictures."""
    for name in ("a cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(8):
            pixels = np.random.RandomState(number).randint(0, 255, (16, 20, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


def digest(*parts: object) -> str:
    """SHA-256 of tensors, arrays and texts."""
    found = hashlib.sha256()
    for part in parts:
        array = part.detach().cpu().numpy() if isinstance(part, torch.Tensor) else part
        found.update(np.ascontiguousarray(array).tobytes() if isinstance(array, np.ndarray) else str(array).encode())
    return found.hexdigest()


def made(classes: int = 5) -> Data:
    """Blobs, made out of counter-based words: no library's generator has a say in them."""
    count = 400
    even = (rng.random_uint64(count * 8, 3, "blobs") >> np.uint64(40)).astype(np.float32).reshape(
        count, 8
    ) / np.float32(2**24)
    labels = np.arange(count) % classes
    inputs = torch.from_numpy(even - 0.5 + np.eye(8, dtype=np.float32)[labels])
    names = tuple(f"class {k}" for k in range(classes))
    whole = Split(inputs, torch.from_numpy(labels), torch.from_numpy(labels), names)
    return Data("blobs", whole.take(range(300)), whole.take(range(300, count)), "0" * 64)


def pictures(split: Split, augment: Augment, *, workers: int | None = None, batch: int = 7) -> str:
    batches = Batches(split, batch, augment=augment, seed=5, train=True, workers=workers)
    pairs = [pair for epoch in (0, 1) for pair in batches.epoch(epoch)]
    return digest(torch.cat([x for x, _ in pairs]), torch.cat([index for _, index in pairs]))


def probe(folder: Path, workers: int) -> dict[str, str]:
    """A hash for each thing that is promised."""
    found: dict[str, str] = {}
    blobs = made()
    labels = np.arange(1000) % 5
    inputs = np.eye(5, dtype=np.float32)[labels] + np.arange(1000, dtype=np.float32)[:, None] / 1000
    for text in NOISES:
        made_labels = noise.corrupt(labels, text, num_classes=5, seed=1, inputs=inputs)
        found[f"labels of {text}"] = made_labels.sha256
    found["order"] = digest(*(rng.permutation(1000, 1, "order", epoch) for epoch in range(3)))
    pixels = torch.from_numpy((rng.random_uint64(20 * 3 * 16 * 16, 2, "pixels") >> np.uint64(56)).astype(np.uint8))
    images = Split(pixels.reshape(20, 3, 16, 16), torch.arange(20) % 2, None, ("a", "b"))
    turned = Augment(crop_padding=4, flip=True, rotation=15.0)
    found["augmentation"] = pictures(images, turned)
    own = data.load(str(folder))
    found["held-out split of own data"] = digest(own.test.given, [path.name for path in own.train.inputs])
    jitter = Augment(resize=12, crop=8, resized_crop=True, flip=True, jitter=(0.4, 0.4, 0.4, 0.1))
    found["augmentation of files"] = pictures(own.train, jitter, workers=workers)
    recipe = recipes.load("digits", {"train.epochs": 2, "train.batch_size": 64})
    described = describe("digits", "symmetric(0.4)", "jal-ce", seed=1, recipe=recipe)
    found["name of a run"] = described.run_id
    network = network_for(blobs, recipe.method("jal-ce"), recipe, seed=1)
    found["initial weights"] = digest(*network.state_dict().values())
    outcome = fit(blobs, None, "jal-ce", recipe, seed=1, device="cpu", precision="fp32")
    found["weights"] = digest(*outcome.model.state_dict().values())
    found["curves"] = digest({name: values for name, values in outcome.curves.items() if name != "seconds"})
    return found


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
    print(json.dumps(probe(Path(sys.argv[1]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)))
