"""Two text files with one line a sample: the texts, and their labels."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from noiseproof.data.io.archives import MIB
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.dialect import decode
from noiseproof.data.readers.listing import Folder
from noiseproof.data.readers.packed import unpacked
from noiseproof.data.readers.part_names import part_of
from noiseproof.data.readers.table import Column, Table
from noiseproof.data.readers.table_folder import joined
from noiseproof.errors import DataError

__all__ = ["has_pairs", "read_pairs"]

_ENDINGS = (".txt", ".text", ".labels", ".label")
_LABELS = re.compile(r"labels?|targets?|classes|y")
_TEXTS = re.compile(r"texts?|sentences?|data|x|inputs?|reviews?|tweets?|docs?|documents?")


def has_pairs(path: Path) -> bool:
    """Test for a folder with a file of texts and a file of labels, or such a pair for each part."""
    return path.is_dir() and bool(_pairs(path))


def read_pairs(path: Path, options: ReadingOptions) -> Table:
    """Read each pair; a text and its label stand in the same line.

    Raises:
        DataError: the two files of a pair have different numbers of lines.
    """
    found = {}
    for rest, (texts, labels) in _pairs(path).items():
        pair = [_lines(path / name, options) for name in (texts, labels)]
        if len(pair[0]) != len(pair[1]):
            raise DataError(
                f"{path}: {texts} has {len(pair[0]):,} lines and {labels} {len(pair[1]):,}; "
                "the label of each line must stand in the same line"
            )
        rows = np.arange(1, len(pair[0]) + 1)
        columns = [Column("text", pair[0]), Column("label", pair[1])]
        table = Table(str(path / texts), "a file of texts beside one of labels", columns, len(rows), rows)
        table.known = {"text": "text", "label": "label"}
        found[path / texts] = (part_of(rest) or "train", table)
    return joined(found, path)


def _pairs(path: Path) -> dict[str, tuple[str, str]]:
    """Names of texts and labels by what else their names have in common."""
    names = [name for name in Folder(str(path), str(path)).others if name.lower().endswith(_ENDINGS)]
    texts, labels = {}, {}
    for name in names:
        words = re.split(r"[_.-]+", name.lower())
        rest = " ".join(word for word in words[:-1] if not _LABELS.fullmatch(word) and not _TEXTS.fullmatch(word))
        if any(_LABELS.fullmatch(word) for word in words):
            labels[rest] = name
        elif any(_TEXTS.fullmatch(word) for word in words[:-1]) or part_of(rest):
            texts[rest] = name
    return {rest: (texts[rest], labels[rest]) for rest in sorted(texts.keys() & labels.keys())}


def _lines(path: Path, options: ReadingOptions) -> list[str]:
    text = decode(unpacked(path, 1024 * MIB), options.encoding, str(path)).replace("\r\n", "\n")
    return [line.strip() for line in text.removesuffix("\n").split("\n")]
