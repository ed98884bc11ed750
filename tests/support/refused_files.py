"""Files that are refused, written into the folder of a test and read."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from noiseproof import data, noise, recipes
from noiseproof.experiments import grid, records
from support.made_records import made


def write(path: Path, content: bytes | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def csv(folder: Path, text: str) -> object:
    return data.load(str(write(folder / "mine.csv", text)))


def npz(folder: Path, **arrays: Any) -> object:
    memory = io.BytesIO()
    np.savez(memory, **arrays)
    return data.load(str(write(folder / "mine.npz", memory.getvalue())))


def matrix(folder: Path, name: str, content: bytes | str) -> object:
    write(folder / name, content)
    return noise.corrupt([0, 1] * 5, f"transition('{name}')", num_classes=2, seed=1, root=folder)


def cifar_n(folder: Path, content: bytes, name: str = "CIFAR-10_human.pt") -> object:
    write(folder / name, content)
    return data.published_labels("cifar10", root=folder)


def torch_zip(program: bytes) -> bytes:
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as archive:
        archive.writestr("archive/data.pkl", program)
    return memory.getvalue()


def recipe(folder: Path, text: str) -> object:
    return recipes.load(write(folder / "mine.toml", text))


def grid_file(folder: Path, text: str) -> object:
    return grid.load(write(folder / "grid.toml", text))


def idx(folder: Path, content: bytes) -> object:
    for name in ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"):
        write(folder / name, gzip.compress(content, mtime=0))
    return data.load("mnist", root=folder)


def cifar_tar(folder: Path, name: str, link: str = "") -> object:
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w:gz") as archive:
        member = tarfile.TarInfo(name)
        if link:
            member.type, member.linkname = tarfile.SYMTYPE, link
        archive.addfile(member)
    write(folder / "cifar-10-python.tar.gz", memory.getvalue())
    return data.load("cifar10", root=folder)


def raise_(damaged: records.Damaged) -> None:
    """A damaged record is listed, not raised; here its line is treated like any other message."""
    from noiseproof.errors import DataError

    raise DataError(str(damaged))


def record(folder: Path, change: Callable[[bytes], bytes]) -> object:
    one = made()
    records.write(folder, one)
    path = records.location(folder, one["run_id"])
    path.write_bytes(change(path.read_bytes()))
    return [raise_(damaged) for damaged in records.check(folder)]
