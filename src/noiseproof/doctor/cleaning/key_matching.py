"""Rows of issues and decisions files: read in any spreadsheet's dialect, matched to samples by the user's own key."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from noiseproof.data.dataset import Origin
from noiseproof.data.io.archives import MIB, read_bytes
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.excel import read_excel
from noiseproof.errors import DataError, InputError

__all__ = ["KEYS", "Matcher", "read_rows"]

KEYS = ("row", "path", "index")  # identify a sample where the user has no key column of their own
_LONGEST = 512 * MIB


def read_rows(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    """The rows of a CSV file as a spreadsheet saves it: comma, semicolon or tab, with or without a byte order mark.

    Raises:
        DataError: a needed column is missing, or a row has more or fewer values than the header.
    """
    raw = read_bytes(path, _LONGEST)
    if raw.startswith(b"PK"):
        return _of_workbook(path, needed)
    try:
        text = raw.decode("utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: must be UTF-8, byte {error.start} is not; save it as 'CSV UTF-8'") from None
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    table = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter))
    table = [record for record in table if any(cell.strip() for cell in record)]
    if not table:
        raise DataError(f"{path}: is empty")
    header = [name.strip() for name in table[0]]
    _has(header, needed, path)
    for number, record in enumerate(table[1:], 2):
        if len(record) != len(header):
            raise DataError(f"{path}, row {number}: {len(record)} values, the header has {len(header)}")
    return [dict(zip(header, record, strict=True)) for record in table[1:]]


def _of_workbook(path: Path, needed: Sequence[str]) -> list[dict[str, str]]:
    table = read_excel(path, ReadingOptions())
    _has(table.names, needed, path)
    return [dict(zip(table.names, record, strict=True)) for record in zip(*(c.texts for c in table), strict=True)]


def _has(header: Sequence[str], needed: Sequence[str], path: Path) -> None:
    if missing := [name for name in needed if name not in header]:
        found = ", ".join(header[:10])[:120]
        wrote = "give a file that diagnose or the review page wrote"
        raise DataError(f"{path}: needs the column {missing[0]!r}, found {found}; {wrote}")


class Matcher:
    """Samples by what identifies them: the user's key column, else path, row or zero-based index.

    Args:
        origin: of the samples.
    """

    def __init__(self, origin: Origin) -> None:
        self.columns = {name: [str(value) for value in values] for name, values in origin.columns().items()}
        self.origin = origin

    def key_of(self, names: Sequence[str], where: str) -> str:
        """The column to match by: of those that the file and the data share, the first with unique values.

        Raises:
            InputError: they share none.
        """
        shared = [name for name in self.columns if name in names]
        for name in shared:
            if len(set(self.columns[name])) == len(self.columns[name]):
                return name
        raise InputError(
            f"{where}: nothing in it says which sample a row is about; keep one of the columns "
            f"{', '.join(self.columns)}; found {', '.join(names)[:120]}"
        )

    def positions(self, rows: Sequence[Mapping[str, str]], where: str) -> list[int | None]:
        """The position of each row's sample; None for a row about no sample of these.

        Raises:
            InputError: two rows are about one sample, or no row is about any.
        """
        if not rows:
            return []
        key = self.key_of(list(rows[0]), where)
        place = {value: position for position, value in enumerate(self.columns[key])}
        plain = {value.lstrip("0"): position for value, position in place.items() if value.isdigit()}
        if len(plain) == len(place):  # a spreadsheet takes the zeros off 007; nothing else is 7 here
            place = {**{value or "0": position for value, position in plain.items()}, **place}
        found = [place.get(row[key].strip(), place.get(row[key])) for row in rows]
        known = [position for position in found if position is not None]
        if not known:
            raise InputError(
                f"{where}: none of its {len(rows):,} rows is about a sample of {self.origin.source} "
                f"(by {key!r}, such as {rows[0][key][:60]!r}); was it made from other data?"
            )
        if len(set(known)) < len(known):
            twice = next(
                row[key] for row, at in zip(rows, found, strict=True) if at is not None and found.count(at) > 1
            )
            raise InputError(f"{where}: two rows are about {key} {twice!r}; keep one")
        return found
