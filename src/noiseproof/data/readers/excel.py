"""Excel workbooks with one sheet that holds a table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from noiseproof.data.io.archives import MIB, zip_members
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.dialect import titles_above
from noiseproof.data.readers.table import Column, Table, unique_names
from noiseproof.errors import DataError

__all__ = ["read_excel"]

_FURTHEST = 20  # rows in which the header is looked for


def read_excel(path: Path, options: ReadingOptions) -> Table:
    """Read the one sheet that is not empty; rows are numbered as Excel numbers them."""
    zip_members(path, 2048 * MIB, text=True)  # a sound archive, and no bomb
    try:
        import openpyxl
    except ImportError:
        raise DataError(f"{path}: Excel files need openpyxl; pip install 'noiseproof[excel]', or save as CSV") from None
    try:
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        sheets = {sheet.title: list(sheet.iter_rows(values_only=True)) for sheet in book.worksheets}
        book.close()
    except Exception as error:  # what openpyxl raises on damaged files is not a closed list
        raise DataError(f"{path}: not a sound workbook ({type(error).__name__}: {str(error)[:100]})") from None
    full = {title: rows for title, rows in sheets.items() if any(_filled(row) for row in rows)}
    tables = {title: rows for title, rows in full.items() if _is_table(rows)} or full
    if len(tables) != 1:
        has = f"has {len(tables)} sheets with data ({', '.join(tables)})" if tables else "is empty"
        raise DataError(f"{path}: {has}; keep the one you mean, or save it as CSV")
    ((title, rows),) = tables.items()
    others = [(other, "sheets hold no table") for other in full if other != title]
    numbered = [(number, row) for number, row in enumerate(rows, 1) if _filled(row)]
    above = titles_above([[_text(cell) for cell in row] for row in rows[:_FURTHEST]])
    skipped = [(f"row {number}", "rows stand above the header") for number, _ in numbered if number <= above]
    numbered = numbered[len(skipped) :]
    width = max(place + 1 for _, row in numbered for place, cell in enumerate(row) if cell is not None)
    header = [_text(cell).strip() for cell in (*numbered[0][1], *[None] * width)[:width]]
    records = [[_text(cell) for cell in (*row, *[None] * width)[:width]] for _, row in numbered[1:]]
    columns = [Column(name, [record[place] for record in records]) for place, name in enumerate(unique_names(header))]
    lines = np.array([number for number, _ in numbered[1:]], np.int64)
    return Table(str(path), "an Excel sheet", columns, len(records), lines, skipped=[*others, *skipped])


def _is_table(rows: Sequence[tuple[Any, ...]]) -> bool:
    """True if the sheet is more than a list of notes: two rows with two cells or more."""
    return sum(sum(cell is not None for cell in row) > 1 for row in rows) > 1


def _filled(row: tuple[Any, ...]) -> bool:
    return any(cell is not None and str(cell).strip() for cell in row)


def _text(cell: Any) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return str(cell).upper()  # as the sheet shows it
    return cell.isoformat() if hasattr(cell, "isoformat") else str(cell)
