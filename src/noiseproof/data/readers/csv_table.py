"""Strict CSV: UTF-8, one header, a `label` column, and features or image paths; errors name the row."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from math import inf
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from noiseproof.data.dataset import offenders
from noiseproof.data.io.archives import MIB, read_text
from noiseproof.data.readers.image_files import inside
from noiseproof.errors import DataError, did_you_mean

__all__ = ["Table", "read_table"]

_LONGEST = 2048 * MIB
_CHUNK = 4096
_OWN = ("label", "clean", "split", "path")


@dataclass(frozen=True)
class Table:
    """The columns of a CSV file: what is learned from, and texts for labels, truth and split."""

    inputs: Tensor | tuple[Path, ...]
    given: list[str]
    clean: list[str] | None
    split: list[str] | None


def read_table(path: Path, root: Path) -> Table:
    """Read a CSV file with the columns `label`, and `path` or any number of features; `clean` and `split` may be there.

    Args:
        path: the file; `.csv.gz` is unpacked.
        root: what the image paths are relative to.

    Raises:
        DataError: what is wrong, with the rows; row 1 is the header.
    """
    reader = csv.reader(io.StringIO(read_text(path, _LONGEST), newline=""), strict=True)
    try:
        header = [name.strip() for name in next(reader, [])]
        features = _features(header, path)
        own: dict[str, list[str]] = {name: [] for name in _OWN if name in header}
        numbers = [np.empty((0, len(features)), np.float32)]
        rows: list[list[str]] = []
        first = 2
        for row in reader:
            if len(row) != len(header):
                raise DataError(f"{path}, row {first + len(rows)}: {len(row)} values, the header has {len(header)}")
            rows.append(row)
            if len(rows) == _CHUNK:
                numbers.append(_digest(rows, header, features, own, first, path))
                first, rows = first + len(rows), []
        numbers.append(_digest(rows, header, features, own, first, path))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from None
    if not own["label"]:
        raise DataError(f"{path}: has a header and no rows; write one sample a line below it")
    inputs: Tensor | tuple[Path, ...] = torch.from_numpy(np.concatenate(numbers))
    if "path" in own:
        inputs = inside(root, own["path"], str(path))
    return Table(inputs, own["label"], own.get("clean"), _checked_split(own.get("split"), path))


def _features(header: list[str], path: Path) -> list[int]:
    """The positions of the feature columns."""
    if "label" not in header:
        hint = did_you_mean("label", header)
        raise DataError(f"{path}: needs a column 'label' in its first row{hint}; found {', '.join(header[:8])[:120]}")
    if len(set(header)) < len(header) or "" in header:
        twice = sorted({name for name in header if header.count(name) > 1 or not name})
        raise DataError(f"{path}: every column needs a name of its own, found {', '.join(map(repr, twice[:5]))[:120]}")
    features = [number for number, name in enumerate(header) if name not in _OWN]
    if ("path" in header) == bool(features):
        raise DataError(f"{path}: needs a column 'path' or feature columns beside 'label', one of the two")
    return features


def _digest(
    rows: list[list[str]], header: list[str], features: list[int], own: dict[str, list[str]], first: int, path: Path
) -> npt.NDArray[np.float32]:
    """Add the text columns of some rows to `own` and return their features."""
    for name, column in own.items():
        at = header.index(name)
        column += [row[at] for row in rows]
    numbers = np.empty((len(rows), len(features)), np.float32)
    for place, at in enumerate(features):
        texts = [row[at] for row in rows]
        try:
            if not (whole := "".join(texts)).isascii() or "_" in whole:
                raise ValueError
            with np.errstate(over="ignore"):
                numbers[:, place] = [float(text) for text in texts]
        except ValueError:
            numbers[:, place] = [_number(text) for text in texts]
        bad = ~np.isfinite(numbers[:, place])
        if bad.any():
            raise DataError(
                f"{path}, column {header[at][:40]!r}: must be finite numbers; "
                f"{offenders(bad, [repr(text) for text in texts], first_row=first)}"
            )
    return numbers


def _number(text: str) -> float:
    try:
        return float(text) if text.isascii() and "_" not in text else inf
    except ValueError:
        return inf


def _checked_split(texts: list[str] | None, path: Path) -> list[str] | None:
    if texts is None:
        return None
    texts = [text.strip().lower() for text in texts]
    bad = np.array([text not in ("train", "test") for text in texts])
    if bad.any():
        raise DataError(f"{path}: split must be train or test; {offenders(bad, texts, first_row=2)}")
    return texts
