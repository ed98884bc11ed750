"""Clothing1M: a million shop pictures whose labels were read off the text around them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from noiseproof.data.dataset import Data, Split, fingerprint
from noiseproof.data.dataset_registry import DATASETS, DataSet
from noiseproof.data.io.archives import MIB, read_text
from noiseproof.data.readers.image_files import inside, pictures
from noiseproof.errors import DataError, DataMissingError

__all__ = ["Clothing1M"]

_CLASSES = (
    "T-Shirt",
    "Shirt",
    "Knitwear",
    "Chiffon",
    "Sweater",
    "Hoodie",
    "Windbreaker",
    "Jacket",
    "Downcoat",
    "Suit",
    "Shawl",
    "Dress",
    "Vest",
    "Underwear",
)
_FILES = {
    "noisy_train": ("noisy_train_key_list.txt", "noisy_label_kv.txt"),
    "clean_test": ("clean_test_key_list.txt", "clean_label_kv.txt"),
}
_OFFICIAL = {"noisy_train": 1_000_000, "clean_test": 10_526}


@DATASETS.register("clothing1m", classes=14, train=1_000_000, test=10_526, source="https://github.com/Cysu/noisy_label")
class Clothing1M(DataSet):
    """A million pictures of clothing in 14 classes, labelled by the text around them; tested on 10,526 clean ones.

    Under the root, in it or in `annotations`, lie `noisy_train_key_list.txt`, `clean_test_key_list.txt`,
    `noisy_label_kv.txt` and `clean_label_kv.txt`; the keys are paths such as `images/0/00/a.jpg`.
    """

    def load(self, root: Path) -> Data:
        notes: list[str] = []
        train, test = (self._split(root, part, notes) for part in _FILES)
        return Data(self.name, train, test, fingerprint(train, test), tuple(notes))

    def pieces(self, root: Path) -> list[Callable[[], object]]:
        return [
            *(partial(self._find, root, name) for names in _FILES.values() for name in names),
            *(partial(self._split, root, part, []) for part in _FILES),
        ]

    def _split(self, root: Path, part: str, notes: list[str]) -> Split:
        keys_path, labels_path = (self._find(root, name) for name in _FILES[part])
        keys = [line.strip() for line in read_text(keys_path, 128 * MIB).splitlines() if line.strip()]
        if len(set(keys)) < len(keys) or not keys:
            raise DataError(f"{keys_path}: {'is empty' if not keys else 'names an image twice'}")
        names, numbers = pictures(read_text(labels_path, 128 * MIB), str(labels_path))
        label_of = dict(zip(names, numbers, strict=True))
        if unlabelled := [key for key in keys if key not in label_of]:
            raise DataError(f"{labels_path}: no label for {len(unlabelled):,} images, such as {unlabelled[0][:80]}")
        labels = np.array([label_of[key] for key in keys], np.int64)
        if labels.max() >= len(_CLASSES):
            raise DataError(f"{labels_path}: labels must lie in 0..13, got {labels.max()}")
        if len(keys) != _OFFICIAL[part]:
            notes.append(f"{len(keys):,} images in {part}, the official number is {_OFFICIAL[part]:,}")
        return Split(inside(root, keys, str(keys_path)), torch.from_numpy(labels), None, _CLASSES)

    def _find(self, root: Path, name: str) -> Path:
        places = [root / "annotations" / name, root / name]
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise DataMissingError(
                f"clothing1m: {name} is neither in {root / 'annotations'} nor in {root}; the key lists and labels come "
                "with the images, on request to the authors (https://github.com/Cysu/noisy_label)"
            )
        return found
