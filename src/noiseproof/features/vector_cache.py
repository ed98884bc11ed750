"""Vectors kept by content: one row a picture, named by the bytes of the picture and the state of the extractor.

A folder of blocks, each written once and whole, so that a stopped extraction goes on and several machines may fill the
same folder. Train, diagnose and predict share it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from noiseproof.errors import NoiseproofError
from noiseproof.storage import files

__all__ = ["DEFAULT", "FeatureCache", "content_key", "default_folder"]

DEFAULT = "default"
_LARGEST = 2**31
_KEY = 32  # bytes of a SHA-256


def default_folder() -> Path | None:
    """$NOISEPROOF_CACHE, or the user's cache folder; None where $NOISEPROOF_CACHE is "off"."""
    chosen = os.environ.get("NOISEPROOF_CACHE")
    if chosen:
        return None if chosen == "off" else Path(chosen) / "features"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "noiseproof" / "features"


def content_key(content: bytes) -> bytes:
    """SHA-256 of a picture's bytes."""
    return hashlib.sha256(content).digest()


class FeatureCache:
    """Vectors by the content that they were computed from.

    Args:
        folder: holds one folder an extractor; it need not exist.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._known: dict[str, dict[bytes, npt.NDArray[np.float32]]] = {}

    @classmethod
    def at(cls, folder: str | Path | None) -> Self | None:
        """The cache in a folder, in the default one, or none."""
        place = default_folder() if folder == DEFAULT else folder
        return None if place is None else cls(place)

    def get(self, extractor: str, keys: Sequence[bytes]) -> list[npt.NDArray[np.float32] | None]:
        """The vector of each key, None where it is not there."""
        known = self._open(extractor)
        return [known.get(key) for key in keys]

    def put(self, extractor: str, keys: Sequence[bytes], vectors: npt.NDArray[np.float32]) -> None:
        """Keep some vectors; a folder that cannot be written is no error, for the work is done."""
        known = self._open(extractor)
        known.update(zip(keys, vectors, strict=True))
        from safetensors.numpy import save

        names = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, _KEY)
        block = save({"keys": names, "vectors": np.ascontiguousarray(vectors, np.float32)})
        name = hashlib.sha256(b"".join(keys)).hexdigest()[:32]
        try:
            files.create_once(self.folder / extractor / f"{name}.safetensors", block)
        except NoiseproofError:
            return

    def _open(self, extractor: str) -> dict[bytes, npt.NDArray[np.float32]]:
        """All that is kept for an extractor; blocks that are damaged count as absent."""
        if extractor not in self._known:
            found: dict[bytes, npt.NDArray[np.float32]] = {}
            for path in _blocks(self.folder / extractor):
                found.update(_read(path))
            self._known[extractor] = found
        return self._known[extractor]


def _blocks(folder: Path) -> list[Path]:
    try:
        return [path for path in files.listing(folder) if path.suffix == ".safetensors"]
    except NoiseproofError:
        return []


def _read(path: Path) -> dict[bytes, npt.NDArray[np.float32]]:
    from safetensors.numpy import load

    try:
        block: dict[str, Any] = load(files.read(path, at_most=_LARGEST))
        keys, vectors = block["keys"], block["vectors"]
        if keys.shape != (len(vectors), _KEY) or keys.dtype != np.uint8 or vectors.dtype != np.float32:
            return {}
    except Exception:  # a block of another program, or half a disk: the vectors are computed again
        return {}
    return {keys[i].tobytes(): vectors[i] for i in range(len(vectors))}
