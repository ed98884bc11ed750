"""MNIST and what has its format: idx files, plain or gzip."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from math import prod
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from noiseproof.data.dataset import Data, Split, fingerprint
from noiseproof.data.dataset_registry import DATASETS, DataSet, Remote
from noiseproof.data.io.archives import read_bytes, web_page
from noiseproof.data.io.label_files import checked
from noiseproof.errors import DataError, DataMissingError

__all__ = ["MNIST", "FashionMNIST"]

_FILES = {"train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")}
_FILES["test"] = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
_OFFICIAL = {"train": 60_000, "test": 10_000}
_LONGEST = 60_000 * 784 + 16


def _remotes(address: str, folder: str, files: dict[str, tuple[int, str]]) -> tuple[Remote, ...]:
    return tuple(
        Remote(f"{address}/{name}", f"{folder}/{name}", size=size, md5=md5) for name, (size, md5) in files.items()
    )


class _IDX(DataSet):
    """Grey images of 28 x 28 in 10 classes."""

    names: ClassVar[tuple[str, ...]]
    folders: ClassVar[tuple[str, ...]]
    md5: ClassVar[dict[str, str]]  # of the files as they unpack

    def load(self, root: Path) -> Data:
        notes: list[str] = []
        train, test = (self._split(root, part, notes) for part in ("train", "test"))
        return Data(self.name, train, test, fingerprint(train, test), tuple(notes), official=not notes)

    def pieces(self, root: Path) -> list[Callable[[], object]]:
        return [
            *(partial(self._find, root, name) for names in _FILES.values() for name in names),
            *(partial(self._split, root, part, []) for part in _FILES),
        ]

    def _split(self, root: Path, part: str, notes: list[str]) -> Split:
        images, labels = (self._find(root, name) for name in _FILES[part])
        pixels = self._read(images, 3, notes)
        truth = torch.from_numpy(checked(self._read(labels, 1, notes), 10, str(labels), count=len(pixels)))
        if pixels.shape[1:] != (28, 28):
            raise DataError(f"{images}: images must be 28 x 28, got {' x '.join(map(str, pixels.shape[1:]))}")
        if len(pixels) != _OFFICIAL[part]:
            notes.append(f"{len(pixels):,} {part} images, the official number is {_OFFICIAL[part]:,}")
        return Split(torch.from_numpy(pixels.copy())[:, None], truth, truth, self.names)

    def _find(self, root: Path, name: str) -> Path:
        folders = [root / folder for folder in self.folders]
        for path in (folder / (name + ending) for folder in folders for ending in ("", ".gz")):
            if path.is_file():
                return path
        raise DataMissingError(
            f"{self.name}: {name}[.gz] is not in {' or '.join(map(str, folders))}; "
            f"type: noiseproof data fetch {self.name} --root {root}"
        )

    def _read(self, path: Path, dimensions: int, notes: list[str]) -> npt.NDArray[np.uint8]:
        content = read_bytes(path, _LONGEST)
        if hashlib.md5(content, usedforsecurity=False).hexdigest() != self.md5[path.name.removesuffix(".gz")]:
            notes.append(f"not the official {self.name} file: {path.name}")
        return idx(content, dimensions, str(path))


@DATASETS.register("mnist", classes=10, train=60_000, test=10_000, source="http://yann.lecun.com/exdb/mnist/")
class MNIST(_IDX):
    """70,000 handwritten digits, grey, 28 x 28."""

    names = tuple("0123456789")
    folders = ("mnist", "MNIST/raw", ".")
    md5: ClassVar = {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    }
    remote = _remotes(
        "https://ossci-datasets.s3.amazonaws.com/mnist",
        "mnist",
        {
            "train-images-idx3-ubyte.gz": (9_912_422, "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
            "train-labels-idx1-ubyte.gz": (28_881, "d53e105ee54ea40749a09fcbcd1e9432"),
            "t10k-images-idx3-ubyte.gz": (1_648_877, "9fb629c4189551a2d022fa330f9573f3"),
            "t10k-labels-idx1-ubyte.gz": (4_542, "ec29112dd5afa0611ce80d1b7f02629c"),
        },
    )


@DATASETS.register(
    "fashion-mnist", classes=10, train=60_000, test=10_000, source="https://github.com/zalandoresearch/fashion-mnist"
)
class FashionMNIST(_IDX):
    """70,000 pictures of clothing, grey, 28 x 28; Debian's dataset-fashion-mnist is found by itself."""

    names = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )
    folders = ("fashion-mnist", "FashionMNIST/raw", ".", "/usr/share/datasets/fashion-mnist")
    md5: ClassVar = {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    }
    remote = _remotes(
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion",
        "fashion-mnist",
        {
            "train-images-idx3-ubyte.gz": (26_421_880, "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
            "train-labels-idx1-ubyte.gz": (29_515, "25c81989df183df01b3e8a0aad5dffbe"),
            "t10k-images-idx3-ubyte.gz": (4_422_102, "bef4ecab320f06d8554ea6380940ec79"),
            "t10k-labels-idx1-ubyte.gz": (5_148, "bb300cfdad3c16e7a12a480ee83cd310"),
        },
    )


def idx(content: bytes, dimensions: int, where: str) -> npt.NDArray[np.uint8]:
    """The bytes of an idx file in their shape.

    The header is 0, 0, 8 for bytes, the number of dimensions, then each dimension in four bytes, big end first.
    """
    start = 4 + 4 * dimensions
    if content[:4] != bytes([0, 0, 8, dimensions]) or len(content) < start:
        raise DataError(f"{where}: not an idx file of bytes in {dimensions} dimensions{web_page(content)}")
    shape = tuple(int(n) for n in np.frombuffer(content, ">u4", dimensions, 4))
    if prod(shape) != len(content) - start:
        raise DataError(
            f"{where}: {len(content) - start:,} bytes do not make {' x '.join(map(str, shape))}; download it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
