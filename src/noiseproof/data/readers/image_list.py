"""A text file: `PATH LABEL` or `__label__NAME TEXT` in each line, or a table."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from noiseproof.data.io.archives import MIB, read_text
from noiseproof.data.readers.arff import is_arff, read_arff
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.csv_table import read_csv
from noiseproof.data.readers.dialect import DELIMITERS, decode, in_words, is_number
from noiseproof.data.readers.listing import is_picture
from noiseproof.data.readers.packed import unpacked
from noiseproof.data.readers.table import Column, Table
from noiseproof.errors import DataError

__all__ = ["read_list"]

_FASTTEXT = "__label__"
_PICTURE = re.compile(r"\"?([^\"]+?)\"?[ \t,;]+([^ \t,;]+)\Z")  # 'images/a b.jpg 3', as ImageNet's lists


def read_list(path: Path, options: ReadingOptions) -> Table:
    """Read pictures and labels, texts behind `__label__NAME` as fastText has them, `LABEL<tab>TEXT`, or a table."""
    text = decode(unpacked(path, 512 * MIB), options.encoding, str(path))
    if is_arff(text):
        return read_arff(path, options)
    lines = text.split("\n")
    numbered = [(number, line.strip()) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise DataError(f"{path}: the list is empty")
    texts = [line for _, line in numbered]
    if all(line.startswith(_FASTTEXT) for line in texts):
        found = [re.split(r"[ \t]+", line.removeprefix(_FASTTEXT) + " ", maxsplit=1) for line in texts]
        labels, inputs, role = [label for label, _ in found], [text.strip() for _, text in found], "text"
        several = next((n for (n, line), text in zip(numbered, inputs, strict=True) if text.startswith(_FASTTEXT)), 0)
        if several:
            raise DataError(
                f"{path}, line {several}: has several labels; noiseproof takes one label a line, __label__NAME TEXT"
            )
    elif all(map(_names_picture, texts)):
        parts = [_PICTURE.match(line) for line in texts]
        inputs, labels, role = [part[1] for part in parts if part], [part[2] for part in parts if part], "path"
        labels = _class_names(labels, path)
    elif all("/" in line and len(line.split()) == 1 and not line.startswith("/") for line in texts):
        inputs, role = texts, "path"  # a list of a part: the label is the folder of each picture
        labels = [line.rpartition("/")[0].rpartition("/")[2] for line in texts]
    elif tabbed := _label_first(texts):
        labels, inputs, role = *tabbed, "text"
    elif any(mark in texts[0] for mark in DELIMITERS) or options.delimiter is not None or _is_spaced(texts):
        return read_csv(path, options)
    else:
        inputs, labels, role = [], [], "path"
        for number, line in numbered:
            name, _, label = line.rpartition(" ")
            if not name:
                raise DataError(f"{path}, line {number}: must be 'NAME LABEL', got {line[:80]!r}")
            inputs.append(name.strip().strip('"'))
            labels.append(label)
    rows = np.array([number for number, _ in numbered], np.int64)
    columns = [Column(role, inputs), Column("label", labels)]
    return Table(str(path), "a list", columns, len(rows), rows, known={"label": "label", role: role})


def _is_spaced(lines: list[str]) -> bool:
    """True for a table with spaces between its values below a header, as R's `write.table` makes it."""
    if not in_words("\n".join(lines)):
        return False
    first, second = lines[0].split(), lines[1].split()
    return len(first) < len(second) or (len(first) > 2 and not any(map(is_number, first)))


def _names_picture(line: str) -> bool:
    found = _PICTURE.match(line)
    return bool(found) and is_picture(found[1] if found else "")


def _label_first(lines: list[str]) -> tuple[list[str], list[str]] | None:
    """Labels and texts of lines with a tab between them and no header, whose labels recur."""
    pairs = [line.split("\t") for line in lines]
    if any(len(pair) != 2 for pair in pairs):
        return None
    labels, texts = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    words = sum(len(text.split()) for text in texts) / len(texts)
    recur = labels.count(labels[0]) > 1 and len(set(labels)) * 4 <= len(labels)
    return (labels, texts) if recur and words >= 2 and len(set(texts)) * 2 > len(texts) else None


def _class_names(labels: list[str], path: Path) -> list[str]:
    """Names of numbered classes, where a file beside the list holds them, one a line."""
    for name in ("synsets.txt", "classes.txt", "class_names.txt"):
        beside = path.with_name(name)
        if beside.is_file() and all(label.isdigit() for label in labels):
            names = [line.strip() for line in read_text(beside, MIB).splitlines() if line.strip()]
            if len(set(names)) == len(names) > max(map(int, labels)):
                return [names[int(label)] for label in labels]
    return labels
