"""ARFF files of Weka and OpenML, and KEEL's variety of them."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np

from noiseproof.data.io.archives import MIB
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.dialect import decode
from noiseproof.data.readers.packed import unpacked
from noiseproof.data.readers.table import Column, Table
from noiseproof.errors import DataError

__all__ = ["is_arff", "read_arff"]

_LONGEST = 1024 * MIB
_RANGE = re.compile(r"(?i)^(\s*@attribute\s+\S+\s+(?:real|integer|numeric))\s*\[.*\]\s*$")
_ROLES = re.compile(r"(?i)^\s*@(inputs?|outputs?)\b\s*(.*)$")


def is_arff(text: str) -> bool:
    """Test for the first declaration of an ARFF file."""
    return bool(re.match(r"(?i)(\s*(%[^\n]*)?\n)*\s*@relation\b", text))


def read_arff(path: Path, options: ReadingOptions) -> Table:
    """Read an ARFF file with scipy; the row of a record is its line.

    Raises:
        DataError: the file has texts, dates or sparse records, which scipy does not read, or is damaged.
    """
    from scipy.io import arff

    text = decode(unpacked(path, _LONGEST), options.encoding, str(path))
    lines = [_RANGE.sub(r"\1", line) for line in text.splitlines()]
    start = next((n for n, line in enumerate(lines, 1) if line.strip().lower().startswith("@data")), len(lines))
    rows = [n for n, line in enumerate(lines, 1) if n > start and line.strip() and not line.lstrip().startswith("%")]
    if rows and lines[rows[0] - 1].lstrip().startswith("{"):
        raise DataError(f"{path}, row {rows[0]}: sparse ARFF is not read; save it as CSV or svmlight")
    roles = {found[1].lower().rstrip("s"): found[2].strip() for line in lines if (found := _ROLES.match(line))}
    plain = "\n".join(line for line in lines if not _ROLES.match(line))
    try:
        found, about = arff.loadarff(io.StringIO(plain.encode("ascii", "xmlcharrefreplace").decode()))
    except NotImplementedError as error:
        raise DataError(f"{path}: {str(error)[:100].rstrip('. ,')}; save it as CSV") from None
    except Exception as error:  # what scipy raises on damaged files is not a closed list
        raise DataError(f"{path}: not sound ARFF ({str(error)[:100]})") from None
    if len(found) != len(rows):
        raise DataError(f"{path}: has {len(rows):,} lines of data, and {len(found):,} records were read")
    columns = [_column(_accented(name), found[name]) for name in about.names()]
    table = Table(str(path), "ARFF", columns, len(rows), np.array(rows, np.int64))
    if roles.get("output") in table.names:
        table.known["label"] = roles["output"]
    return table


def _column(name: str, values: np.ndarray) -> Column:
    if values.dtype.kind == "S":
        texts = [_accented(value.decode()) for value in values.tolist()]
        return Column(name, ["" if text == "?" else text for text in texts])
    return Column(name, lambda: ["" if value != value else f"{value:.15g}" for value in values.tolist()], values)


def _accented(text: str) -> str:
    """The characters outside ASCII, of which scipy keeps none."""
    return re.sub(r"&#(\d+);", lambda found: chr(int(found[1])), text)
