"""CIFAR-10 and CIFAR-100, python version: the folder as it unpacks, or the archive as it downloads."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch

from noiseproof.data.dataset import Data, Split, fingerprint
from noiseproof.data.dataset_registry import DATASETS, DataSet, Remote
from noiseproof.data.io import safe_pickle
from noiseproof.data.io.archives import MIB, read_bytes, tar_members
from noiseproof.data.io.label_files import checked
from noiseproof.errors import DataError, DataMissingError

__all__ = ["CIFAR10", "CIFAR100"]


class _CIFAR(DataSet):
    """Base of both CIFAR sets: rows of 3072 bytes, red then green then blue, 32 x 32 each."""

    classes: ClassVar[int]
    folder: ClassVar[str]
    archive: ClassVar[str]
    train: ClassVar[tuple[str, ...]]
    test: ClassVar[tuple[str, ...]]
    meta: ClassVar[str]
    label_key: ClassVar[str]
    names_key: ClassVar[str]
    md5: ClassVar[dict[str, str]]
    longest: ClassVar[int]

    def load(self, root: Path) -> Data:
        place, read = self._reader(root)
        digests: dict[str, str] = {}

        def opened(name: str) -> tuple[str, dict[str, object]]:
            content = read(name)
            digests[name] = hashlib.md5(content, usedforsecurity=False).hexdigest()
            return str(place / name), _dict(content, str(place / name))

        names = self._names(*opened(self.meta))
        train, test = (self._split([self._batch(*opened(file)) for file in files], names) for files in self.parts)
        notes = []
        if odd := [name for name, digest in digests.items() if digest != self.md5[name]]:
            notes.append(f"not the official {self.name} files: {', '.join(odd)}")
        for part, split, official in (("training", train, 50_000), ("test", test, 10_000)):
            if len(split) != official:
                notes.append(f"{len(split):,} {part} images, the official number is {official:,}")
        return Data(self.name, train, test, fingerprint(train, test), tuple(notes), official=not notes)

    def pieces(self, root: Path) -> list[Callable[[], object]]:
        place, read = self._reader(root)

        def batch(name: str) -> object:
            return self._batch(str(place / name), _dict(read(name), str(place / name)))

        def meta() -> object:
            return self._names(str(place / self.meta), _dict(read(self.meta), str(place / self.meta)))

        return [meta, *(partial(batch, name) for name in (*self.train, *self.test))]

    @property
    def parts(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The files of the two splits."""
        return self.train, self.test

    def _reader(self, root: Path) -> tuple[Path, Callable[[str], bytes]]:
        """Paths of the files and the function that reads one of them."""
        for folder in (root / self.folder, root):
            if any((folder / name).is_file() for name in (*self.train, *self.test)):
                return folder, partial(self._from_folder, folder)
        for archive in (root / self.archive, root):
            if archive.is_file():
                return archive, self._from_archive(archive)
        raise DataMissingError(
            f"{self.name}: neither the folder {self.folder} nor {self.archive} is in {root}; "
            f"type: noiseproof data fetch {self.name} --root {root}"
        )

    def _from_folder(self, folder: Path, name: str) -> bytes:
        return read_bytes(folder / name, self.longest)

    def _from_archive(self, archive: Path) -> Callable[[str], bytes]:
        inside = {f"{self.folder}/{name}": name for name in (self.meta, *self.train, *self.test)}
        found = tar_members(archive, dict.fromkeys(inside, self.longest))
        if missing := sorted(inside.keys() - found):
            raise DataMissingError(f"{archive}: {', '.join(missing)} is not in the archive; download it again")
        return {name: found[member] for member, name in inside.items()}.__getitem__

    def _names(self, where: str, held: dict[str, object]) -> tuple[str, ...]:
        found = _entry(held, self.names_key, where)
        names = [name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in _listed(found)]
        if len(names) != self.classes or not all(isinstance(name, str) for name in names):
            raise DataError(f"{where}: {self.names_key} must be {self.classes} names")
        return tuple(str(name) for name in names)

    def _batch(self, where: str, held: dict[str, object]) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        rows = safe_pickle.array(_entry(held, "data", where), f"{where}: data")
        labels = checked(_entry(held, self.label_key, where), self.classes, f"{where}: {self.label_key}")
        if rows.dtype != np.uint8 or rows.shape != (len(labels), 3072):
            raise DataError(f"{where}: data must be uint8 ({len(labels)}, 3072), got {rows.dtype} {rows.shape}")
        return rows, labels

    def _split(
        self, batches: list[tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]], names: tuple[str, ...]
    ) -> Split:
        images, labels = zip(*batches, strict=True)
        truth = torch.from_numpy(np.concatenate(labels))
        return Split(torch.from_numpy(np.concatenate(images).reshape(-1, 3, 32, 32)), truth, truth, names)


@DATASETS.register(
    "cifar10", classes=10, train=50_000, test=10_000, source="https://www.cs.toronto.edu/~kriz/cifar.html"
)
class CIFAR10(_CIFAR):
    """60,000 colour photographs of 32 x 32 in 10 classes."""

    classes, folder, archive = 10, "cifar-10-batches-py", "cifar-10-python.tar.gz"
    train = tuple(f"data_batch_{i}" for i in range(1, 6))
    test, meta, label_key, names_key = ("test_batch",), "batches.meta", "labels", "label_names"
    longest = 40 * MIB
    md5: ClassVar = {
        "data_batch_1": "c99cafc152244af753f735de768cd75f",
        "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
        "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
        "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    }
    remote: ClassVar = (
        Remote(
            "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
            "cifar-10-python.tar.gz",
            size=170_498_071,
            md5="c58f30108f718f92721af3b95e74349a",
        ),
    )


@DATASETS.register(
    "cifar100", classes=100, train=50_000, test=10_000, source="https://www.cs.toronto.edu/~kriz/cifar.html"
)
class CIFAR100(_CIFAR):
    """60,000 colour photographs of 32 x 32 in 100 classes."""

    classes, folder, archive = 100, "cifar-100-python", "cifar-100-python.tar.gz"
    train, test, meta = ("train",), ("test",), "meta"
    label_key, names_key, longest = "fine_labels", "fine_label_names", 160 * MIB
    md5: ClassVar = {
        "train": "16019d7e3df5f24257cddd939b257f8d",
        "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    }
    remote: ClassVar = (
        Remote(
            "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
            "cifar-100-python.tar.gz",
            size=169_001_437,
            md5="eb9058c3a382ffc7106e4002c42a8d85",
        ),
    )


def _dict(content: bytes, where: str) -> dict[str, object]:
    found = safe_pickle.read(content, where)
    if not isinstance(found, dict):
        raise DataError(f"{where}: must hold a dict, found a {type(found).__name__}")
    # Python 2 wrote the keys as bytes
    return {key.decode("latin-1") if isinstance(key, bytes) else str(key): value for key, value in found.items()}


def _entry(found: dict[str, object], key: str, where: str) -> object:
    if key not in found:
        raise DataError(f"{where}: must hold {key!r}, it has {', '.join(map(repr, list(found)[:6])) or 'nothing'}")
    return found[key]


def _listed(found: object) -> list[object]:
    return found if isinstance(found, list) else []
