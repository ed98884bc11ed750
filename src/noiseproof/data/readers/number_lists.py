"""Lists of numbers in the cells of a text column, such as embeddings or pixels, as a column for each number."""

from __future__ import annotations

import re
from collections.abc import Collection

import numpy as np
import numpy.typing as npt

from noiseproof.data.readers.table import Column, Table
from noiseproof.errors import DataError

__all__ = ["spread_lists"]

_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_LISTED = re.compile(rf"\s*[\[(]\s*{_NUMBER}(?:\s*[,;\s]\s*{_NUMBER})+[\s,]*[\])]\s*\Z")
_BARE = re.compile(rf"\s*{_NUMBER}(?: +{_NUMBER}){{7,}}\s*\Z")  # fewer may be a telephone number or thousands
_CUT = re.compile(rf"\s*[\[(]\s*{_NUMBER}.*\.\.\..*{_NUMBER}\s*[\])]\s*\Z", re.DOTALL)
_LOOKED_AT = 20


def spread_lists(table: Table, said: Collection[str]) -> None:
    """Replace each column of lists of numbers by a column a number, `name[0]`, `name[1]`, ...

    Args:
        table: changed in place.
        said: columns that the user names, which stay as they are.

    Raises:
        DataError: a list has another length than the first one, or was cut short by the program that saved it.
    """
    table.columns = [
        made
        for column in table.columns
        for made in (_spread(table, column) if column.name not in said and _holds_lists(column) else [column])
    ]


def _holds_lists(column: Column) -> bool:
    if column.numbers is not None:
        return False
    known = [text for text in column.different[: 2 * _LOOKED_AT] if text.strip()][:_LOOKED_AT]
    return bool(known) and all(any(form.match(text) for form in (_LISTED, _BARE, _CUT)) for text in known)


def _spread(table: Table, column: Column) -> list[Column]:
    texts = column.texts
    lists = [re.sub(r"[\[\](),;]", " ", text).split() for text in texts]
    width = next(len(cells) for cells in lists if cells)
    cut = np.array(["..." in text for text in texts])
    if cut.any():
        raise DataError(
            f"{table.source}, column {column.name!r}: lists of numbers were cut short with '...' when they were saved "
            f"({table.offenders(cut, texts)}); save them as arrays (.npz) or parquet, or add --drop {column.name!r}"
        )
    try:
        wrong = np.array([len(cells) not in (0, width) for cells in lists])
        gap = [float("nan")] * width
        numbers = np.array(
            [[float(cell) for cell in cells] if cells else gap for cells in lists if len(cells) in (0, width)]
        )
    except ValueError as error:
        raise DataError(f"{table.source}, column {column.name!r}: must be lists of numbers ({error})") from None
    if wrong.any():
        raise DataError(
            f"{table.source}, column {column.name!r}: must be lists of {width} numbers; {table.offenders(wrong, texts)}"
        )
    return [_numbered(column.name, place, lists, values) for place, values in enumerate(numbers.T)]


def _numbered(name: str, place: int, lists: list[list[str]], values: npt.NDArray[np.float64]) -> Column:
    return Column(f"{name}[{place}]", lambda: [cells[place] if cells else "" for cells in lists], values)
