"""numpy's own files, .npy and .npz, read without numpy's reader: no objects, no sizes taken on trust."""

from __future__ import annotations

import re
from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from noiseproof.data.io.archives import MIB, web_page, zip_members
from noiseproof.errors import DataError

__all__ = ["npy", "npy_parts", "npz"]

_HEADER = re.compile(
    r"\{'descr': '(?P<descr>[<>|=]?[a-zA-Z]\d*)', 'fortran_order': (?P<fortran>True|False), "
    r"'shape': \((?P<shape>(\d{1,18}, ?)*(\d{1,18})?)\),? ?\}\s*\Z"
)
_KINDS = "biufU"  # truth values, integers, floats, texts


def npy(blob: bytes, where: str) -> npt.NDArray[Any]:
    """The array of an .npy file, in this machine's byte order.

    Raises:
        DataError: it is damaged, or holds anything but numbers and texts.
    """
    descr, fortran, shape, content = npy_parts(blob, where)
    dtype = np.dtype(descr) if descr.lstrip("<>|=")[0] in _KINDS and _sized(descr) else None
    if dtype is None or dtype.itemsize == 0:
        kind = "Python objects" if "O" in descr else f"elements of type {descr!r}"
        raise DataError(f"{where}: refused, the array holds {kind}; save plain numbers or texts")
    if prod(shape) * dtype.itemsize != len(content):
        raise DataError(f"{where}: {len(content)} bytes do not make an array of shape {shape} and type {descr}")
    found = np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
    if dtype.kind == "U" and found.size and found.view(f"{dtype.byteorder}u4").max() > 0x10FFFF:
        raise DataError(f"{where}: a text of the array is damaged")
    return found.astype(dtype.newbyteorder("="), copy=False)


def npy_parts(blob: bytes, where: str) -> tuple[str, bool, tuple[int, ...], bytes]:
    """Type, column order, shape and content of an .npy file, as its header says."""
    if blob[:6] != b"\x93NUMPY" or len(blob) < 12:
        raise DataError(f"{where}: not an .npy file{web_page(blob)}")
    start = 10 if blob[6] == 1 else 12
    end = start + int.from_bytes(blob[8:start], "little")
    header = _HEADER.match(blob[start : min(end, start + 4096)].decode("latin-1"))
    if header is None or end > len(blob):
        raise DataError(f"{where}: the header of the .npy file is damaged")
    shape = tuple(int(n) for n in header["shape"].split(",") if n.strip())
    return header["descr"], header["fortran"] == "True", shape, blob[end:]


def npz(path: Path, needed: Callable[[str], bool] = lambda name: True) -> dict[str, npt.NDArray[Any]]:
    """All arrays of an .npz file by name; those that are not needed come empty and are not looked into."""
    limit = max(64 * MIB, 200 * path.stat().st_size) if path.is_file() else 0
    members = {name.removesuffix(".npy"): blob for name, blob in zip_members(path, limit).items()}
    return {name: npy(blob, f"{path}: {name[:80]}") if needed(name) else np.empty(0) for name, blob in members.items()}


def _sized(descr: str) -> bool:
    number = descr.lstrip("<>|=")[1:]
    kind = descr.lstrip("<>|=")[0]
    return number.isdigit() and (int(number) < 10_000 if kind == "U" else number in ("1", "2", "4", "8"))
