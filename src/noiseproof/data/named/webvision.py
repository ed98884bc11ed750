"""WebVision 1.0, its Google part, and the ImageNet validation images of the same classes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from noiseproof.data.dataset import Data, Split, fingerprint
from noiseproof.data.dataset_registry import DATASETS, DataSet
from noiseproof.data.io.archives import MIB, read_text
from noiseproof.data.readers.image_files import IMAGE_ENDINGS, inside, pictures, stay_inside
from noiseproof.errors import DataError, DataMissingError, in_range

__all__ = ["WebVision"]

_LISTS = (".", "info", "webvision", "webvision/info", "imagenet")

# the list of each split, ours or WebVision's own, and the folders its names may be relative to
_NEEDED = {
    "training": (("webvision_mini_train.txt", "train_filelist_google.txt"), (".", "webvision")),
    "validation": (
        ("webvision_mini_val.txt", "val_filelist.txt"),
        (".", "webvision", "webvision_val", "val_images_256"),
    ),
}
_IMAGENET = ("imagenet_val.txt",), (".", "imagenet", "imagenet/val", "ILSVRC2012_img_val", "val")


@DATASETS.register(
    "webvision", classes=50, train=65_944, test=2_500, source="https://data.vision.ee.ethz.ch/cvl/webvision/"
)
class WebVision(DataSet):
    """Photographs that a web search found for each class; of the Google part's 1,000 classes the first 50 by default.

    Under the root lie a list of training images (`webvision_mini_train.txt`, or WebVision's own
    `info/train_filelist_google.txt`), one of validation images (`webvision_mini_val.txt` or `info/val_filelist.txt`)
    and the images they name. ImageNet's validation images make a second test split, `ilsvrc12`, where they are found:
    in `val/<wnid>/`, or flat with the list `imagenet_val.txt`. Labels are positions in the sorted class numbers.
    """

    def __init__(self, classes: int = 50) -> None:
        self.classes = int(in_range("classes", classes, 2, 1000))

    def load(self, root: Path) -> Data:
        names = _class_names(root, self.classes)
        train, test = (self._needed(root, part, names) for part in _NEEDED)
        imagenet = self._listed(root, *_IMAGENET, names) or self._by_folder(root, names)
        also = {} if imagenet is None else {"ilsvrc12": imagenet}
        notes = []
        if self.classes == 50 and len(train) != 65_944:
            notes.append(f"{len(train):,} training images, mini-WebVision has 65,944")
        splits = (train, test, *also.values())
        return Data(self.name, train, test, fingerprint(*splits), tuple(notes), also)

    def pieces(self, root: Path) -> list[Callable[[], object]]:
        names = _class_names(root, self.classes)
        imagenet = partial(self._listed, root, *_IMAGENET, names)
        return [*(partial(self._needed, root, part, names) for part in _NEEDED), imagenet]

    def _needed(self, root: Path, part: str, names: tuple[str, ...]) -> Split:
        lists, folders = _NEEDED[part]
        split = self._listed(root, lists, folders, names)
        if split is None:
            raise DataMissingError(f"webvision: no list of {part} images in {root}; looked for {' or '.join(lists)}")
        return split

    def _listed(
        self, root: Path, lists: tuple[str, ...], folders: tuple[str, ...], classes: tuple[str, ...]
    ) -> Split | None:
        """The split that a list under the root names, if there is one."""
        path = next(
            (
                place
                for name in lists
                for inner in _LISTS
                for place in (root / inner / name, root / inner / f"{name}.gz")
                if place.is_file()
            ),
            None,
        )
        if path is None:
            return None
        names, labels = pictures(read_text(path, 512 * MIB), str(path))
        kept = [(name, label) for name, label in zip(names, labels, strict=True) if label < self.classes]
        if not kept:
            raise DataError(f"{path}: no label below {self.classes}")
        chosen = [name for name, _ in kept]
        stay_inside(root, chosen, str(path))
        home = next((folder for folder in folders if (root / folder / chosen[0]).is_file()), None)
        if home is None:  # some lists carry a folder that the archive does not have
            short = [name.rpartition("/")[2] for name in chosen]
            home = next((folder for folder in folders if (root / folder / short[0]).is_file()), ".")
            chosen = short if (root / home / short[0]).is_file() else chosen
        paths = inside(root / home, chosen, str(path))
        return _split(paths, [label for _, label in kept], classes)

    def _by_folder(self, root: Path, classes: tuple[str, ...]) -> Split | None:
        """ImageNet's validation images in one folder a class, named by its WordNet number."""
        for folder in (root / "imagenet" / "val", root / "ILSVRC2012_img_val", root / "val"):
            numbers = sorted(entry.name for entry in folder.glob("n[0-9]*") if entry.is_dir())
            if len(numbers) in (self.classes, 1000):
                found = [
                    (path, label)
                    for label, number in enumerate(numbers[: self.classes])
                    for path in sorted((folder / number).iterdir())
                    if path.name.lower().endswith(IMAGE_ENDINGS)
                ]
                return _split(tuple(path for path, _ in found), [label for _, label in found], classes)
        return None


def _split(paths: tuple[Path, ...], labels: list[int], classes: tuple[str, ...]) -> Split:
    return Split(paths, torch.from_numpy(np.array(labels, np.int64)), None, classes)


def _class_names(root: Path, classes: int) -> tuple[str, ...]:
    """From WebVision's `synsets.txt`, `n01440764 tench, Tinca tinca` and so on, else the numbers."""
    path = next((root / inner / "synsets.txt" for inner in _LISTS if (root / inner / "synsets.txt").is_file()), None)
    if path is None:
        return tuple(str(number) for number in range(classes))
    lines = [line.strip() for line in read_text(path, MIB).splitlines() if line.strip()]
    if len(lines) < classes:
        raise DataError(f"{path}: {len(lines)} classes, {classes} are needed")
    return tuple(line.partition(" ")[2].partition(",")[0] or line for line in lines[:classes])
