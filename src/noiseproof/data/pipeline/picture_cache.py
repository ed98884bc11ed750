"""Pictures resized once and kept as raw bytes in one file, each with its checksum."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from noiseproof.data.io import file_hashes
from noiseproof.storage.row_file import Rows

__all__ = ["Cache"]

Pixels = npt.NDArray[np.uint8]


class Cache:
    """The pixels of many files at one size, filled as they are first asked for; exact, since a resize draws nothing.

    A half-written or damaged one is made again, and so is one for which the disk has no room. The file is named by the
    content of the pictures: other pictures, another file.

    Args:
        folder: where the file lies.
        paths: the pictures.
        size: height and width of all of them.
    """

    def __init__(self, folder: Path, paths: tuple[Path, ...], size: tuple[int, int]) -> None:
        self.paths = paths
        digest = hashlib.sha256(repr(size).encode() + file_hashes.of([os.fspath(path) for path in paths]))
        self.path = folder / f"{digest.hexdigest()[:32]}-{size[0]}x{size[1]}.pixels"
        self.shape = (*size, 3)
        self.rows = Rows(self.path, len(paths), size[0] * size[1] * 3)

    def get(self, index: int, make: Callable[[Path], Pixels]) -> Pixels:
        """The pixels of one picture, made if they are not there yet."""
        kept = self.rows.read(index)
        if kept is not None:
            return np.frombuffer(kept, np.uint8).reshape(self.shape)
        pixels = make(self.paths[index])
        self.rows.write(index, pixels.tobytes())
        return pixels
