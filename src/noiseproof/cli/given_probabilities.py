"""Probabilities of a model of the user's own, from a file, in the order of the samples and of the classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from noiseproof.data import Split
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.table import Table
from noiseproof.data.readers.table_files import read_table
from noiseproof.errors import DataError, DataMissingError

__all__ = ["read_probabilities"]


def read_probabilities(path: Path, samples: Split) -> npt.NDArray[np.floating]:
    """Out-of-sample probabilities (N, K) of the samples.

    Args:
        path: a .npy file (N, K), samples and classes in their order; or a table with a column for each class, such as
            `noiseproof predict MODEL DATA --proba --out FILE` writes: its rows are matched by key, row or path.
        samples: of the data set.

    Raises:
        DataMissingError, DataError: there is no such file, a class has no column, or a sample has no row.
    """
    if not path.is_file():
        raise DataMissingError(f"no file {path}; give a table with a column for each class, or a .npy file")
    if path.suffix == ".npy":
        try:
            return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: cannot be read ({str(error)[:100]})") from None
    table = read_table(path, ReadingOptions())
    columns = [_numbers(path, table, name) for name in samples.classes]
    return np.stack(columns, axis=1)[_rows(path, table, samples)]


def _numbers(path: Path, table: Table, name: str) -> npt.NDArray[np.float64]:
    """Probabilities of one class."""
    column = next((table[each] for each in (f"p({name})", name) if each in table.names), None)
    if column is None:
        raise DataError(f"{path}: needs a column for the class {name!r}; found {', '.join(table.names[:20])}")
    try:
        return np.asarray(column.texts if column.numbers is None else column.numbers, dtype=np.float64)
    except ValueError as error:
        raise DataError(f"{path}, column {column.name}: must be probabilities ({str(error)[:80]})") from None


def _rows(path: Path, table: Table, samples: Split) -> npt.NDArray[np.int64]:
    """Row of the table for each sample."""
    named = {} if samples.origin is None else samples.origin.columns()
    by = next((name for name in named if name != "index" and name in table.names), None)
    if by is None:
        if table.count != len(samples):
            raise DataError(
                f"{path}: {table.count:,} rows for {len(samples):,} samples; give one row a sample, in their order"
            )
        return np.arange(len(samples))
    place = {text.strip(): row for row, text in enumerate(table[by].texts)}
    wanted = [str(value) for value in named[by]]
    if missing := [value for value in wanted if value not in place]:
        raise DataError(
            f"{path}: no row for {len(missing):,} samples ({by} {', '.join(missing[:3])}); give one row a sample"
        )
    return np.array([place[value] for value in wanted], np.int64)
