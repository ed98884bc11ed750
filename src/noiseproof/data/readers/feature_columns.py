"""Feature columns of a table as numbers, or as texts where they are no numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from noiseproof.data.readers.numbers import decimal_marks, is_missing, to_numbers, without_unit
from noiseproof.data.readers.table import Column, Table
from noiseproof.errors import DataError

__all__ = ["features"]

_SLIPS = 5  # so many values, or one in a hundred, that are no numbers are slips; more make a column of texts


def features(table: Table, names: list[str]) -> list[npt.NDArray[Any]]:
    """The values of columns: numbers, NaN for a gap; or texts (object arrays), None for a gap.

    Raises:
        DataError: a few values of a column of numbers are no finite numbers, or the decimal mark is not clear.
    """
    columns = [table[name] for name in names]
    marks = {column.name: _marks(column) for column in columns if column.numbers is None}
    sure = {next(iter(found)) for found in marks.values() if len(found) == 1}
    return [_values(table, column, marks.get(column.name, {"."}), sure) for column in columns]


def _marks(column: Column) -> set[str]:
    """Decimal marks that fit the column; both where it does not matter, or is not clear."""
    numeric = [text for text in without_unit(column.different) if not is_missing(text)]
    found = decimal_marks(numeric)
    if not found:  # slips among numbers must not hide the mark
        found = decimal_marks(text for text in numeric if decimal_marks([text]))
        found = found if len(found) == 1 else set()
    return found


def _values(table: Table, column: Column, marks: set[str], sure: set[str]) -> npt.NDArray[Any]:
    if column.numbers is not None:
        bad = np.isinf(column.numbers)
        if bad.any():
            _refuse(table, column, bad, column.texts)
        return column.numbers
    texts, codes = column.coded
    numbers, bad = to_numbers(without_unit(texts), _mark(table, column, marks, sure))
    wrong = bad[codes]
    count, known = int(wrong.sum()), len(codes)
    if not count:
        with np.errstate(over="ignore"):
            small = numbers.astype(np.float32)
        over = np.isinf(small)
        if over.any():
            _refuse(table, column, over[codes], column.texts)
        return numbers[codes]
    if count * 2 <= known and (count < _SLIPS or count * 100 < known):
        _refuse(table, column, wrong, column.texts)
    return np.array([text if text.strip() else None for text in texts], object)[codes]


def _mark(table: Table, column: Column, marks: set[str], sure: set[str]) -> str:
    if len(marks) == 1:
        return next(iter(marks))
    if not marks or not any("," in text for text in column.different):
        if "," in sure and any("." in text for text in column.different) and "." not in sure:
            return ","  # 1.234 beside 3,14 is a thousand
        return "."
    if len(sure) == 1:
        return next(iter(sure))
    if table.delimiter in (",", ";"):
        return "." if table.delimiter == "," else ","
    example = next(text for text in column.different if "," in text)
    raise DataError(
        f"{table.source}, column {column.name!r}: {example!r} may be a decimal comma or a separator of thousands; "
        "write numbers with a decimal point"
    )


def _refuse(table: Table, column: Column, bad: npt.NDArray[np.bool_], texts: Any) -> None:
    raise DataError(
        f"{table.source}, column {column.name[:40]!r}: must be finite numbers; {table.offenders(bad, texts)}; "
        f"correct them, leave them empty, or leave the column out with --drop {column.name[:40]!r}"
    )
