"""A text file with `PATH LABEL` in each line."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from noiseproof.data.io.archives import MIB
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.dialect import decode
from noiseproof.data.readers.packed import unpacked
from noiseproof.data.readers.table import Column, Table
from noiseproof.errors import DataError

__all__ = ["read_list"]

_FASTTEXT = "__label__"


def read_list(path: Path, options: ReadingOptions) -> Table:
    """Read pictures and labels, or texts behind `__label__NAME`, as fastText has them."""
    lines = decode(unpacked(path, 512 * MIB), options.encoding, str(path)).split("\n")
    numbered = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise DataError(f"{path}: the list is empty")
    rows = np.array([number for number, _ in numbered], np.int64)
    if all(line.startswith(_FASTTEXT) for _, line in numbered):
        pairs = [line.removeprefix(_FASTTEXT).partition(" ")[::2] for _, line in numbered]
        inputs, labels, role = [text for _, text in pairs], [label for label, _ in pairs], "text"
    else:
        inputs, labels, role = [], [], "path"
        for number, line in numbered:
            name, _, label = line.replace("\t", " ").rpartition(" ")
            if not name:
                raise DataError(f"{path}, line {number}: must be 'NAME LABEL', got {line[:80]!r}")
            inputs.append(name.strip().strip('"'))
            labels.append(label)
    columns = [Column(role, inputs), Column("label", labels)]
    return Table(str(path), "a list", columns, len(rows), rows, known={"label": "label", role: role})
