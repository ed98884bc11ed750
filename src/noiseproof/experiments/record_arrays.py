"""Large parts of a record, in binary files beside it that carry their own hash in their names.

A matrix of many classes would be megabytes of JSON; almost all of it is zeros, because a sample has one given label.
Its other entries are written as three arrays: rows, columns and values.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from noiseproof.errors import DataError, DataMissingError
from noiseproof.storage import files

__all__ = ["MANY", "join", "names", "plain", "split", "verified", "write"]

MANY = 200  # classes; a smaller matrix is part of the record, where a person can read it
_LARGEST = 1 << 30  # bytes; 40 million entries
_ENDING = ".safetensors"


def plain(matrix: npt.NDArray[np.float64]) -> Any:
    """A matrix as a record holds it: as lists where they stay part of its text."""
    return matrix.tolist() if len(matrix) <= MANY else matrix


def split(record: Any) -> tuple[Any, dict[str, bytes]]:
    """The record without its large parts, and these by their SHA-256.

    Raises:
        DataError: a part is larger than what is read again.
    """
    noise = record["noise"]
    if noise is None or len(noise["transition"]) <= MANY:
        return record, {}
    content = _packed(np.asarray(noise["transition"], dtype=np.float64))
    if len(content) > _LARGEST:
        raise DataError(f"the matrix of {len(noise['transition'])} classes has {len(content):,} bytes, too many")
    digest = hashlib.sha256(content).hexdigest()
    small = {**record, "noise": {**noise, "transition": []}, "bulk": {"noise.transition": digest}}
    return small, {digest: content}


def join(record: Any, folder: Path) -> Any:
    """The record with its large parts, from the folder that it lies in.

    Raises:
        DataError: one is missing, or does not match its hash.
    """
    for entry, digest in record.get("bulk", {}).items():
        if entry != "noise.transition" or record["noise"] is None:
            raise DataError(f"its part {entry} is unknown; update noiseproof")
        matrix: Any = _unpacked(verified(folder, digest + _ENDING))
        record = {**record, "noise": {**record["noise"], "transition": matrix}}
    return record


def names(record: Any) -> list[str]:
    """The files beside a record that hold parts of it."""
    return [digest + _ENDING for digest in record.get("bulk", {}).values()]


def write(folder: Path, digest: str, content: bytes) -> None:
    """Write a part; one that is there already is the same."""
    files.create_once(folder / (digest + _ENDING), content)


def verified(folder: Path, name: str) -> bytes:
    """The content of a part, by its file's name.

    Raises:
        DataError: it is missing, or does not match its hash.
    """
    path = folder / name
    try:
        content = files.read(path, at_most=_LARGEST, follow=True)
    except DataMissingError:
        raise DataError(f"its part {path.name} is missing; its grid, run again, computes it anew") from None
    if hashlib.sha256(content).hexdigest() != path.stem:
        raise DataError(f"its part {path.name} does not match its SHA-256; its grid, run again, computes it anew")
    return content


def _packed(matrix: npt.NDArray[np.float64]) -> bytes:
    from safetensors.numpy import save

    rows, columns = np.nonzero(matrix)
    arrays: dict[str, npt.NDArray[Any]] = {
        "rows": rows.astype(np.int32),
        "columns": columns.astype(np.int32),
        "values": matrix[rows, columns],
        "shape": np.array(matrix.shape, np.int64),
    }
    packed: bytes = save(arrays)
    return packed


def _unpacked(content: bytes) -> npt.NDArray[np.float64]:
    from safetensors.numpy import load

    held = load(content)
    matrix = np.zeros(tuple(held["shape"].tolist()))
    matrix[held["rows"], held["columns"]] = held["values"]
    return matrix
