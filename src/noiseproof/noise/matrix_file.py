"""Noise with a matrix of the user's own, read from a file."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np

from noiseproof.errors import DataError, DataMissingError, InputError
from noiseproof.noise.base import NOISES, Published
from noiseproof.noise.class_conditional import ClassConditional, Parts
from noiseproof.storage import files
from noiseproof.transition_matrix import Matrix, transition_matrix

__all__ = ["Transition", "matrix_content", "read_matrix"]

_LARGEST = 64 * 2**20  # bytes; a matrix of 1,000 classes has 8 MB as .npy and some 20 MB as text


@NOISES.register("transition")
class Transition(ClassConditional):
    """A label of class i becomes j with the probability in row i, column j of a file (.csv, .npy or .json)."""

    def __init__(self, file: str, convention: str = "exact") -> None:
        super().__init__(convention)
        if not isinstance(file, str) or not file or "\0" in file:
            raise InputError(f"transition needs the name of a .csv, .npy or .json file, got {file!r}")
        self.file = file

    def content(self, data: str | None, root: Path | None, published: Published | None) -> dict[str, str]:
        return {"matrix": matrix_content(self.file, root)}

    def parts(self, num_classes: int, data: str | None, root: Path | None) -> Parts:
        matrix = read_matrix(self.file, root)
        if len(matrix) != num_classes:
            raise InputError(f"{self.file} is for {len(matrix)} classes, got labels of {num_classes}")
        where = matrix - np.diag(matrix.diagonal())
        wrong = where.sum(1)
        return wrong / matrix.sum(1), where / np.where(wrong > 0, wrong, 1)[:, None]


def _place(file: str | Path, root: Path | None) -> Path:
    places = [Path(file)] if root is None else [Path(file), root / file]
    found = next((place for place in places if place.exists()), None)
    if found is None:
        raise DataMissingError(f"there is no file {file}; looked for {' and '.join(map(str, places))}")
    return found


def matrix_content(file: str | Path, root: Path | None = None) -> str:
    """SHA-256 of the numbers of a matrix in a file."""
    return hashlib.sha256(read_matrix(file, root).astype("<f8").tobytes()).hexdigest()


def read_matrix(file: str | Path, root: Path | None = None) -> Matrix:
    """A row-stochastic matrix from a file, looked for here and then in `root`; row i is the clean class i.

    Raises:
        DataError: the file is missing, damaged, not square, or its rows are no probabilities that sum to 1.
    """
    reader = _READERS.get(Path(file).suffix.lower())
    if reader is None:
        raise DataError(f"{file}: a transition matrix is read from {', '.join(_READERS)}")
    path = _place(file, root)
    raw = files.read(path.resolve(), at_most=_LARGEST)
    try:
        matrix = np.asarray(reader(raw), dtype=np.float64)
    except Exception as error:  # whatever a reader meets in a damaged file
        reason = "a pickle, which is not opened" if "allow_pickle" in str(error) else str(error)
        raise DataError(f"{path} does not hold a matrix of numbers ({reason}); write one row a class") from None
    try:
        return transition_matrix(matrix, normalise=False)
    except InputError as error:
        raise DataError(f"{path}: {error}") from None


def _npy(raw: bytes) -> object:
    return np.load(io.BytesIO(raw), allow_pickle=False)


def _csv(raw: bytes) -> list[list[float]]:
    lines = raw.decode("utf-8-sig").splitlines()
    return [[float(cell) for cell in re.split(r"[,;\s]+", line.strip())] for line in lines if line.strip()]


_READERS: dict[str, Callable[[bytes], object]] = {".csv": _csv, ".npy": _npy, ".json": json.loads}
