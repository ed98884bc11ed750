"""Files of svmlight and LIBSVM: a label and `index:value` pairs in each line."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from noiseproof.data.io.archives import MIB
from noiseproof.data.readers.arrays import arrays
from noiseproof.data.readers.base import Parts, ReadingOptions
from noiseproof.data.readers.packed import inner_name, unpacked
from noiseproof.data.readers.samples import parts
from noiseproof.data.reading_account import Reading
from noiseproof.errors import DataError

__all__ = ["is_svmlight", "read_svmlight"]

_ENDINGS = (".libsvm", ".svm", ".svmlight")
_FREE = (".txt", ".dat", ".data", ".t", ".tr", ".scale", "")  # endings under which such files lie, too
_LINE = re.compile(rb"\s*([^\s:#]+)((\s+qid:\d+)?(\s+\d+:[^\s:#]+)+)?\s*(#.*)?$")


def is_svmlight(path: Path) -> bool:
    """Test for a file of that ending, or of another one whose first line holds `index:value` pairs."""
    if not path.is_file():
        return False
    if inner_name(path).endswith(_ENDINGS):
        return True
    if path.suffix.lower() not in _FREE:
        return False
    with path.open("rb") as file:
        lines = [line for line in file.read(1 << 16).split(b"\n")[:20] if line.strip() and not line.startswith(b"#")]
    return bool(lines) and b":" in lines[0] and _LINE.match(lines[0]) is not None


def read_svmlight(path: Path, options: ReadingOptions, reading: Reading) -> Parts:
    """Read the lines with scikit-learn; labels are their texts, and the row of a sample is its line.

    Raises:
        DataError: a line is none of this form, or has several labels; names it.
    """
    from sklearn.datasets import load_svmlight_file

    content = unpacked(path, 2048 * MIB)
    numbered = [
        (number, line)
        for number, line in enumerate(content.split(b"\n"), 1)
        if line.strip() and not line.lstrip().startswith(b"#")
    ]
    labels = []
    for number, line in numbered:
        found = _LINE.match(line)
        label = found[1].decode("utf-8", "replace") if found else ""
        if not found or "," in label:
            what = f"has several labels ({label}); noiseproof takes one" if label else f"got {line[:60]!r}"
            raise DataError(f"{path}, row {number}: must be 'LABEL INDEX:VALUE INDEX:VALUE ...', {what}")
        labels.append(label)
    plain = b"\n".join(b"0 " + line.strip().partition(b" ")[2] for _, line in numbered)
    try:
        vectors = load_svmlight_file(io.BytesIO(plain))[0]
    except ValueError as error:
        raise DataError(f"{path}: not sound svmlight text ({str(error)[:100]})") from None
    reading.form = "svmlight"
    split, _ = arrays([(str(path), vectors)], [(str(path), labels)], [None], (), str(path), reading, options)
    assert split.origin is not None
    rows = np.array([number for number, _ in numbered], np.int64)
    return parts(replace(split, origin=replace(split.origin, rows=rows)), None, reading)
