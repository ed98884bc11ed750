"""Pictures as a stream of small batches: decoded, resized by torch, and looked up in the cache on the way.

The resize is a torch operation (bicubic, antialiased), so that training, predict and an exported graph see the same
pixels.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from noiseproof.errors import DataError, InputError
from noiseproof.features.base import Array, Bad, Extractor, Inputs, Progress
from noiseproof.features.vector_cache import content_key

__all__ = ["PictureExtractor", "picture", "resize"]

_BLOCK = 512  # pictures a block of the cache
_AHEAD = 64  # pictures that are decoded before they are needed


def picture(path: Path) -> Tensor:
    """The picture of a file, RGB uint8 (3, H, W), upright as a viewer shows it.

    Raises:
        DataError: it cannot be decoded; see `data.pipeline.decoding.reading`.
    """
    from noiseproof.data.pipeline.decoding import reading
    from noiseproof.data.pipeline.picture_modes import as_rgb, upright

    with reading(path) as image:
        return torch.from_numpy(np.array(as_rgb(upright(image)))).permute(2, 0, 1)


def resize(pixels: Tensor, side: int) -> Tensor:
    """Pictures (N, C, H, W) at side x side: float32 from 0 to 255; bicubic, antialiased where it shrinks."""
    square = functional.interpolate(pixels.float(), (side, side), mode="bicubic", antialias=True, align_corners=False)
    return square.clamp(0, 255)


class PictureExtractor(Extractor):
    """Vectors of pictures by a module from pixels of any size; subclasses give the module.

    Attributes:
        side: of the square that a picture is resized to, pixels.
        dims: length of a vector.
        batch: pictures that are computed at once.
        whole_batches: fill up the last batch, so that a vector's bits do not depend on what else is computed.
        found_in_cache: pictures of the last `transform` that the cache had.
    """

    kinds = ("pictures",)
    side: int
    dims: int
    batch: int = 16
    whole_batches: bool = False
    found_in_cache: int = 0

    def prepare(self, inputs: Inputs) -> None:
        """Fit what the module needs; nothing by default."""

    def pixels(self) -> nn.Module:
        """Module from float pixels (N, 3, side, side), 0 to 255, to vectors (N, dims)."""
        raise NotImplementedError

    def module(self) -> nn.Module:
        return _FromAnySize(self.pixels(), self.side).eval()

    def encode(self, inputs: Inputs) -> list[Tensor]:
        """Each picture, RGB uint8 (3, H, W)."""
        return [_decoded(one) for one in inputs]

    def fit_transform(self, inputs: Inputs, *, progress: Progress | None = None) -> Array:
        if not len(inputs):
            raise InputError("features need at least one picture, got none")
        self.prepare(inputs)
        return self.transform(inputs, progress=progress)

    def transform(self, inputs: Inputs, *, bad: Bad | None = None, progress: Progress | None = None) -> Array:
        found = np.full((len(inputs), self.dims), np.nan, np.float32)
        module, fresh, batch = self.pixels().eval(), _Fresh(), _Fresh()
        key = self._cache_key() if self.cache else ""
        self.found_in_cache = 0
        with torch.inference_mode():
            for position, name, pixels in self._stream(inputs, key, found, bad):
                self.found_in_cache += pixels is None and name != b""
                if pixels is not None:
                    batch.add(position, name, pixels)
                if len(batch) == self.batch or (len(batch) and position == len(inputs) - 1):
                    missing = self.batch - len(batch) if self.whole_batches else 0
                    pictures = torch.cat([*batch.pixels, *batch.pixels[-1:] * missing])
                    found[batch.positions] = module(pictures)[: len(batch)].float().numpy()
                    fresh.positions += batch.positions
                    fresh.names += batch.names
                    batch = _Fresh()
                if self.cache and (len(fresh) >= _BLOCK or (len(fresh) and position == len(inputs) - 1)):
                    self.cache.put(key, fresh.names, found[fresh.positions])
                    fresh = _Fresh()
                if progress:
                    progress(position + 1, len(inputs))
        return found

    def _stream(
        self, inputs: Inputs, key: str, found: Array, bad: Bad | None
    ) -> Iterator[tuple[int, bytes, Tensor | None]]:
        """Position, name and resized pixels (1, 3, side, side) of each picture in order, decoded ahead by threads.

        Rows that the cache has are filled in, and their pixels are None.
        """

        def work(position: int) -> tuple[bytes, Tensor | None]:
            name = b""
            if self.cache:
                name = content_key(_content(inputs[position]))
                if (row := self.cache.get(key, [name])[0]) is not None:
                    found[position] = row
                    return name, None
            return name, resize(_decoded(inputs[position])[None], self.side)

        with ThreadPoolExecutor(min(16, os.cpu_count() or 1), thread_name_prefix="decode") as pool:
            upcoming = iter(range(len(inputs)))
            ahead = deque((position, pool.submit(work, position)) for position in islice(upcoming, _AHEAD))
            try:
                while ahead:
                    position, future = ahead.popleft()
                    if (following := next(upcoming, None)) is not None:
                        ahead.append((following, pool.submit(work, following)))
                    try:
                        yield position, *future.result()
                    except DataError as error:
                        if bad is None:
                            raise
                        bad[position] = str(error)
                        yield position, b"", None
            finally:
                pool.shutdown(cancel_futures=True)

    def _cache_key(self) -> str:
        """Name of this extractor's folder in the cache: a hash of everything that decides a vector."""
        config, arrays = self.state()
        digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
        for name in sorted(arrays):
            digest.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
        return f"{self.name}-{digest.hexdigest()[:24]}"


@dataclass
class _Fresh:
    """Pictures that are not in the cache."""

    positions: list[int] = field(default_factory=list)
    names: list[bytes] = field(default_factory=list)
    pixels: list[Tensor] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.positions)

    def add(self, position: int, name: bytes, pixels: Tensor) -> None:
        self.positions.append(position)
        self.names.append(name)
        self.pixels.append(pixels)


class _FromAnySize(nn.Module):
    """Resize, then the rest."""

    def __init__(self, rest: nn.Module, side: int) -> None:
        super().__init__()
        self.rest, self.side = rest, side

    def forward(self, pixels: Tensor) -> Tensor:
        """Vectors (N, D) of pictures (N, 3, H, W), uint8 or float from 0 to 255."""
        vectors: Tensor = self.rest(resize(pixels, self.side))
        return vectors


def _decoded(one: Tensor | Path) -> Tensor:
    """RGB uint8 (3, H, W)."""
    if not isinstance(one, Tensor):
        return picture(Path(one))
    if one.shape[0] not in (1, 3):
        raise InputError(f"pictures must have 1 or 3 channels, got {tuple(one.shape)}")
    return one.expand(3, -1, -1)


def _content(one: Tensor | Path) -> bytes:
    """Key of a picture in the cache."""
    if isinstance(one, Tensor):
        return str(tuple(one.shape)).encode() + one.contiguous().numpy().tobytes()
    try:
        return Path(one).read_bytes()
    except OSError:
        return str(one).encode()  # the decoder says what is wrong with it
