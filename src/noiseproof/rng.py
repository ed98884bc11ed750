"""One seed, many independent named streams of random numbers.

Every draw has a purpose ("noise", "init", "order", "augment", "split", ...). The key of a stream is a hash of
the seed, the purpose and whatever else it depends on, so streams never share numbers and adding a purpose
moves no other one. All methods of a seed therefore see the same labels in the same order.

Words are raw Philox4x64-10 outputs: word i depends on the key and on i alone, not on numpy's `Generator`
algorithms, the number of workers or the order of the calls.
"""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["generator", "key", "permutation", "random_uint64"]

Part = str | int | float


def key(seed: int, purpose: str, *parts: Part) -> int:
    """128 bits that name a stream.

    Example:
        >>> key(1, "order", 0) == key(1, "order", 0), key(1, "order", 0) == key(1, "order", 1)
        (True, False)
    """
    text = "\x1f".join(["noiseproof/v1", str(int(seed)), purpose, *map(str, parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


def random_uint64(count: int, seed: int, purpose: str, *parts: Part) -> npt.NDArray[np.uint64]:
    """`count` random 64-bit words; word i is the same however many are asked for."""
    stream = key(seed, purpose, *parts)
    halves = np.array([stream & (2**64 - 1), stream >> 64], dtype=np.uint64)
    return np.random.Philox(key=halves).random_raw(count)


def permutation(count: int, seed: int, purpose: str, *parts: Part) -> npt.NDArray[np.int64]:
    """A random order of 0 .. count-1."""
    return np.argsort(random_uint64(count, seed, purpose, *parts), kind="stable").astype(np.int64)


def generator(seed: int, purpose: str, *parts: Part, device: str = "cpu") -> torch.Generator:
    """A torch generator for draws that torch makes itself, such as initial weights."""
    return torch.Generator(device).manual_seed(key(seed, purpose, *parts) & (2**63 - 1))
