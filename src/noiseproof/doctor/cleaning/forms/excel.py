"""Excel workbooks: rows of the sheet with the labels dropped, labels replaced, weights in a column of their own."""

from __future__ import annotations

import io
from pathlib import Path

from noiseproof.doctor.cleaning.forms.base import WEIGHT, Edit, Job, whole
from noiseproof.errors import DataError, InputError
from noiseproof.storage import files

__all__ = ["accepts", "write"]


def accepts(path: Path) -> bool:
    """Test for an Excel workbook."""
    return path.suffix.lower() in (".xlsx", ".xlsm")


def write(job: Job) -> list[Edit]:
    """Write the workbook; other sheets and all formats stay.

    Raises:
        InputError: openpyxl is not installed.
        DataError: the label column is not there any more.
    """
    try:
        import openpyxl
    except ImportError:
        raise InputError("Excel files need openpyxl; type: pip install 'noiseproof[excel]'") from None
    raw = job.source.read_bytes()
    book = openpyxl.load_workbook(io.BytesIO(raw), keep_vba=job.source.suffix.lower() == ".xlsm")
    changes = job.by_row()
    found = [
        (sheet, row)
        for sheet in book.worksheets
        for row in sheet.iter_rows(max_row=50)
        if job.label in [str(cell.value).strip() for cell in row]
    ]
    if not found:
        raise DataError(f"{job.source}: has no column {job.label!r} any more")
    sheet, header = found[0]
    column = next(cell.column for cell in header if str(cell.value).strip() == job.label)
    values = {str(sheet.cell(row, column).value): sheet.cell(row, column).value for row in range(1, sheet.max_row + 1)}
    if job.weighted:
        place = sheet.max_column + 1
        sheet.cell(header[0].row, place, WEIGHT)
        for row in range(header[0].row + 1, sheet.max_row + 1):
            weight = changes[row].weight if row in changes else None
            sheet.cell(row, place, 1.0 if weight is None else weight)
    for row, change in changes.items():
        if change.label is not None:
            sheet.cell(row, column, values.get(change.label, change.label))
    for row in sorted((row for row, change in changes.items() if change.drop), reverse=True):
        sheet.delete_rows(row)
    memory = io.BytesIO()
    book.save(memory)
    files.write_atomic(job.out, memory.getvalue(), exist_ok=False)
    return whole(raw, memory.getvalue())
