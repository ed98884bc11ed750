"""Labels as texts exactly as written, and the class indices they stand for."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt

from noiseproof.data.readers.table import Column
from noiseproof.data.reading_account import ascii_quoted

__all__ = ["NO_LABEL", "in_order", "indices", "is_nameable", "is_number", "near_equal", "trimmed"]

NO_LABEL = -1
_LONGEST = 1024  # characters
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\Z", re.ASCII)


def is_number(name: str) -> bool:
    """Test for a decimal number, in ASCII digits.

    Example:
        >>> is_number("-2.5e3"), is_number("1,5")
        (True, False)
    """
    return _NUMBER.match(name) is not None


def in_order(names: Iterable[str]) -> list[str]:
    """Class names by value where all are numbers, else by their characters.

    Example:
        >>> in_order(["200", "3", "17"]), in_order(["b", "10", "9"])
        (['3', '17', '200'], ['10', '9', 'b'])
    """
    found = sorted(set(names))
    if all(map(is_number, found)):
        found.sort(key=lambda name: (float(name), name))
    return found


def is_nameable(name: str) -> bool:
    """Test for a text that can be the name of a class: no control characters and not endless; any space may stand.

    Example:
        >>> is_nameable("two words"), is_nameable("two" + chr(10) + "lines")
        (True, False)
    """
    return len(name) <= _LONGEST and re.sub(r"[^\S\n\r\t\x0b\x0c\x1c-\x1f\x85\u2028\u2029]", " ", name).isprintable()


def trimmed(texts: Sequence[str]) -> list[str]:
    """Texts of labels; one that is nothing but spaces is empty, which is no label."""
    return [text if text.strip() else "" for text in texts]


def indices(columns: Sequence[Column]) -> tuple[list[npt.NDArray[np.int64]], list[str]]:
    """Class indices of label columns that are numbered together, and the names of the classes.

    Returns:
        For each column its indices, `NO_LABEL` where the text is blank, and the names in order.
    """
    coded = [(trimmed(column.coded[0]), column.coded[1]) for column in columns]
    names = in_order(text for texts, _ in coded for text in texts if text)
    place = {name: number for number, name in enumerate(names)} | {"": NO_LABEL}
    return [np.array([place[text] for text in texts], np.int64)[codes] for texts, codes in coded], names


def near_equal(names: Sequence[str]) -> list[str]:
    """Notes on class names that differ in case, spaces or Unicode form only.

    Example:
        >>> near_equal(["Cat", "cat", "dog"])
        ["classes 'Cat' and 'cat' differ in case, spaces or Unicode form only; they stay apart as written"]
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        plain = re.sub(r"(?<=\w)[_-](?=\w)", " ", plain)
        groups.setdefault(plain or name, []).append(name)
    return [
        f"classes {' and '.join(map(ascii_quoted, group))} differ in case, spaces or Unicode form only; "
        "they stay apart as written"
        for group in groups.values()
        if len(group) > 1
    ]
