"""Feature columns of a table as numbers, dates as days, or as texts where they are neither."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from noiseproof.data.readers.dates import to_days
from noiseproof.data.readers.numbers import decimal_marks, is_missing, to_numbers, unit_of, without_unit
from noiseproof.data.readers.table import Column, Table
from noiseproof.errors import DataError

__all__ = ["MOST_CATEGORIES", "features", "numbers_in"]

MOST_CATEGORIES = 32  # of a column that are told apart, the most frequent

_STAND_INS = 3  # so many different texts among numbers, such as "unknown", are gaps if they repeat
_MEASURED = 20  # different numbers from which on a column with them holds measurements
_SLIPS = 5  # so many values, or one in a hundred, that are no numbers are slips; more make a column of texts


def features(
    table: Table, names: list[str], notes: list[str] | None = None, *, slips: bool = False
) -> list[npt.NDArray[Any]]:
    """The values of columns: numbers, NaN for a gap; or texts (object arrays), None for a gap.

    Args:
        table: the table.
        names: of the columns.
        notes: takes what the user should know of how they were read.
        slips: a few values that are no numbers stay as they are among the numbers, instead of being refused.

    Raises:
        DataError: a few values of a column of numbers are no finite numbers, or the decimal mark is not clear.
    """
    columns = [table[name] for name in names]
    marks = {column.name: _marks(column) for column in columns if column.numbers is None}
    sure = {next(iter(found)) for found in marks.values() if len(found) == 1}
    notes = [] if notes is None else notes
    return [_values(table, column, marks.get(column.name, {"."}), sure, notes, slips) for column in columns]


def numbers_in(texts: Sequence[str]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Numbers, or dates as days, in texts of a column that held them in training; and which texts are neither.

    Example:
        >>> numbers_in(["3,5 kg", "12,0 kg"]), numbers_in(["1970-01-03"])
        ((array([ 3.5, 12. ]), array([False, False])), (array([2.]), array([False])))
    """
    if (days := to_days(texts)) is not None:
        return days, np.zeros(len(texts), bool)
    plain = without_unit(texts)
    if not decimal_marks(plain):  # a slip among them
        plain = [without_unit([text])[0] for text in texts]
    marks = decimal_marks(text for text in plain if decimal_marks([text]))
    return to_numbers(plain, "," if marks == {","} else ".")


def _marks(column: Column) -> set[str]:
    """Decimal marks that fit the column; both where it does not matter, or is not clear."""
    numeric = [text for text in without_unit(column.different) if not is_missing(text)]
    found = decimal_marks(numeric)
    if not found:  # slips among numbers must not hide the mark
        found = decimal_marks(text for text in numeric if decimal_marks([text]))
        found = found if len(found) == 1 else set()
    return found


def _values(
    table: Table, column: Column, marks: set[str], sure: set[str], notes: list[str], slips: bool
) -> npt.NDArray[Any]:
    if column.numbers is not None:
        bad = np.isinf(column.numbers)
        if bad.any():
            _refuse(table, column, bad, column.texts)
        return column.numbers
    texts, codes = column.coded
    numbers, bad = to_numbers(without_unit(texts), _mark(table, column, marks, sure))
    wrong = bad[codes]
    count, known = int(wrong.sum()), len(codes)
    the_column = f"the column {column.name[:40]!r}"
    if not count:
        if unit := unit_of(texts):
            notes.append(f"{the_column} is read without its unit {unit!r}")
        with np.errstate(over="ignore"):
            small = numbers.astype(np.float32)
        over = np.isinf(small)
        if over.any():
            _refuse(table, column, over[codes], column.texts)
        return numbers[codes]
    if (days := to_days(texts)) is not None:
        notes.append(f"{the_column} is read as days since 1970")
        return days[codes]
    if count * 2 <= known and (count < _SLIPS or count * 100 < known):
        if slips:
            return np.where(bad, np.array(texts, object), numbers.astype(object))[codes]
        _refuse(table, column, wrong, column.texts)
    others = np.flatnonzero(bad)
    told = len(np.unique(numbers[~bad & ~np.isnan(numbers)]))
    if count * 2 <= known and told > _MEASURED:
        shown = ", ".join(repr(texts[place][:40]) for place in others[:_STAND_INS].tolist())
        if len(others) <= _STAND_INS and np.bincount(codes)[others].min() > 1:
            notes.append(f"{the_column} holds numbers; {shown} ({count:,} times) counts as a gap")
            return np.where(bad, np.nan, numbers)[codes]
        notes.append(
            f"{the_column} is read as words: {count:,} of its {known:,} values are no numbers, such as {shown}"
        )
    elif len(others) > MOST_CATEGORIES:
        notes.append(f"{the_column} holds {len(others):,} different words; the {MOST_CATEGORIES} most frequent count")
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
