"""CSV, TSV and their dialects as a table: large plain files through Arrow, all others record by record."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from noiseproof.data.io.archives import MIB, read_bytes, regular
from noiseproof.data.readers import dialect
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.column_names import role_of_name
from noiseproof.data.readers.numbers import MISSING, decimal_marks, is_missing
from noiseproof.data.readers.packed import unpacked
from noiseproof.data.readers.table import Column, Table, unique_names
from noiseproof.errors import DataError

__all__ = ["read_csv"]

_LONGEST = 2048 * MIB
_LARGE = 4 * MIB  # from here on through Arrow, where the file is plain enough
_SAMPLE = 256 * 1024
_PACKED = (b"\xff\xfe", b"\xfe\xff", b"\x1f\x8b", b"PK", b"BZh", b"\xfd7zXZ", b"\x28\xb5\x2f\xfd")  # or UTF-16


def read_csv(path: Path, options: ReadingOptions, *, large: int = _LARGE) -> Table:
    """Read a text table.

    Args:
        path: the file, which may be compressed.
        options: delimiter and encoding, where the user gives them.
        large: size in bytes from which a plain file is read through Arrow; the result is the same.

    Raises:
        DataError: what is wrong, with the row; row 1 is the header where nothing stands above it.
    """
    mark = None if options.delimiter is None else dialect.named(options.delimiter)
    size = regular(path).st_size
    if size >= large and options.encoding is None:
        table = _through_arrow(path, mark, options)
        if table is not None:
            return table
    content = unpacked(path, _LONGEST) if size else read_bytes(path, 0)
    found = dialect.grid(dialect.decode(content, options.encoding, str(path)), mark, str(path))
    columns = [list(values) for values in zip(*found.records, strict=True)] or [[] for _ in found.header]
    named, padded = _plain_names(found.header), _padded(found.header, columns)
    if padded:
        columns = [[text.strip() for text in column] for column in columns]
    rows = np.array(found.rows, np.int64)
    table = Table(str(path), _form(found.delimiter), [], len(rows), rows, found.delimiter)
    table.columns = [Column(name, column) for name, column in zip(named, columns, strict=True)]
    table.skipped = [(f"row {row}", "rows stand above the header") for row in found.titles]
    table.skipped += [(f"row {row}", "rows repeat the header") for row in found.repeated]
    return table


def _form(delimiter: str) -> str:
    kind = {",": "CSV", "\t": "a table with tabs", " ": "a table with spaces"}.get(delimiter)
    return kind or f"CSV with {delimiter!r}"


def _plain_names(header: list[str]) -> list[str]:
    return unique_names([name.strip() for name in header])


def _padded(header: list[str], columns: list[list[str]]) -> bool:
    """True if spaces around values belong to the layout of the file, and not to single values."""
    if any(name != name.strip() for name in header):
        return True
    return any(column and all(text != text.strip() for text in column) for column in columns)


# Large files


def _through_arrow(path: Path, mark: str | None, options: ReadingOptions) -> Table | None:
    """The table of a plain file; None where it has to be read record by record."""
    facts = _facts(path)
    if facts is None:
        return None
    head, lines = facts
    try:
        small = dialect.grid(head, mark, str(path))
    except DataError:
        return None
    candidates = [one for one in dialect.DELIMITERS if one in head.partition("\n")[0]]
    if (mark is None and candidates != [small.delimiter]) or len(small.records[0]) != len(small.header):
        return None
    columns = [list(values) for values in zip(*small.records, strict=True)]
    if _padded(small.header, columns) or small.header != next(iter(_first(head, small.delimiter))):
        return None
    names = _plain_names(small.header)
    marks = [_mark(name, column, options) for name, column in zip(names, columns, strict=True)]
    comma = "," in marks
    numeric = {f"c{place}" for place, found in enumerate(marks) if found and (found == ",") == comma}
    try:
        table = _arrow(path, small.delimiter, len(names), numeric, "," if comma else ".")
    except _NotPlain:
        return None
    if table.num_rows != lines - 1:
        return None  # quoted values hold line ends: their rows are counted record by record
    if _repeats_header(table, small.header):
        return None
    again = _again(path, small.delimiter, len(names))
    made = [_column(name, table.column(place), again(place)) for place, name in enumerate(names)]
    rows = np.arange(2, table.num_rows + 2)
    return Table(str(path), _form(small.delimiter), made, table.num_rows, rows, small.delimiter)


def _first(head: str, delimiter: str) -> Any:
    import csv

    return csv.reader(io.StringIO(head), delimiter=delimiter)


def _facts(path: Path) -> tuple[str, int] | None:
    """The first lines of a file and the number of its lines; None if lines are not simply one record each."""
    lines, last, ended = 0, b"\n", False
    with path.open("rb") as file:
        head = file.read(_SAMPLE)
        if head.startswith((b"#", b"\n", b"\r", *_PACKED)):
            return None
        file.seek(0)
        while piece := file.read(8 * MIB):
            lines += piece.count(b"\n")
            joint = last[-2:] + piece[:2]
            if ended and piece.strip():
                return None  # a blank line among the records
            returns = b"\r" in piece
            if b"\n\n" in piece or (returns and b"\n\r\n" in piece) or b"\n\n" in joint or b"\n\r\n" in joint:
                blank = min(at for at in (piece.find(b"\n\n"), piece.find(b"\n\r\n"), len(piece)) if at >= 0)
                if piece[blank:].strip() or not piece[:blank]:
                    return None
                lines, ended = lines - piece.count(b"\n", blank) + 1, True
            if b"\0" in piece or (returns and piece.count(b"\r\n") + piece.endswith(b"\r") < piece.count(b"\r")):
                return None
            last = piece
        lines += not last.endswith(b"\n")
    cut = head if len(head) < _SAMPLE else head[: head.rfind(b"\n") + 1]
    try:
        text = cut.decode("utf-8-sig")
    except UnicodeDecodeError:
        return None
    return (text, lines) if text.count("\n") > 1 else None


def _mark(name: str, sample: list[str], options: ReadingOptions) -> str:
    """The decimal mark of a column that is read as numbers at once; empty: it is kept as text for now."""
    if name in options.columns() or role_of_name(name) or all(map(is_missing, sample)):
        return ""
    if any(" " in text or "'" in text or text[:1] == "+" for text in sample) or _rising(sample):
        return ""
    marks = decimal_marks(sample)
    if len(marks) == 2:
        return "" if any("," in text or text.count(".") > 1 for text in sample) else "."
    plain = not any(("," in text and "." in text) or text.count(",") > 1 for text in sample)
    return marks.pop() if marks and plain and (marks != {"."} or not any("," in text for text in sample)) else ""


def _rising(sample: list[str]) -> bool:
    """True if the values may be a running number."""
    if not all(text.isdigit() for text in sample):
        return False
    numbers = [int(text) for text in sample]
    return all(a < b for a, b in itertools.pairwise(numbers))


class _NotPlain(Exception):
    """Arrow cannot read the file as it is described."""


def _arrow(path: Path, delimiter: str, width: int, numeric: set[str], mark: str, only: list[str] | None = None) -> Any:
    import pyarrow as pa
    from pyarrow import csv as arrow

    names = [f"c{place}" for place in range(width)]
    tokens = sorted(
        {form for word in MISSING for form in (word, word.upper(), word.capitalize(), word.title())} | {"NaN"}
    )
    while True:
        types = {name: pa.float32() if name in numeric else pa.string() for name in names}
        try:
            return arrow.read_csv(
                str(path),
                arrow.ReadOptions(column_names=names, skip_rows=1),
                arrow.ParseOptions(delimiter=delimiter, newlines_in_values=False),
                arrow.ConvertOptions(
                    column_types=types,
                    null_values=tokens,
                    strings_can_be_null=False,
                    decimal_point=mark,
                    include_columns=only or names,
                ),
            )
        except pa.ArrowInvalid as error:
            at = str(error).partition("In CSV column #")[2].partition(":")[0]
            if not at.isdigit() or f"c{at}" not in numeric:
                raise _NotPlain(str(error)) from None
            numeric.discard(f"c{at}")


def _repeats_header(table: Any, header: list[str]) -> bool:
    """True if a row repeats the header: then its first column of texts holds its own name."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, column in zip(header, table.columns, strict=True):
        if pa.types.is_string(column.type):
            return bool(pc.any(pc.equal(column, name)).as_py())
    return False


def _again(path: Path, delimiter: str, width: int) -> Callable[[int], Callable[[], list[str]]]:
    """Getters of a column's texts, for a column that was read as numbers."""

    def getter(place: int) -> Callable[[], list[str]]:
        def get() -> list[str]:
            only = [f"c{place}"]
            texts: list[str] = _arrow(path, delimiter, width, set(), ".", only).column(0).to_pylist()
            return texts

        return get

    return getter


def _column(name: str, values: Any, texts: Callable[[], list[str]]) -> Column:
    import pyarrow as pa

    if pa.types.is_floating(values.type):
        return Column(name, texts, _floats(values))

    def coded() -> tuple[list[str], npt.NDArray[np.int64]]:
        whole = values.combine_chunks().dictionary_encode()
        whole = whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole
        codes = np.frombuffer(whole.indices.buffers()[1], np.int32, whole.indices.offset + len(whole))
        return whole.dictionary.to_pylist(), codes[whole.indices.offset :].astype(np.int64)

    return Column(name, lambda: values.to_pylist(), None, coded)


def _floats(values: Any) -> npt.NDArray[np.float32]:
    """Numbers of an Arrow column, NaN for a gap; without pandas, which Arrow would import."""
    found = np.empty(len(values), np.float32)
    at = 0
    for chunk in values.chunks:
        plain = chunk.fill_null(float("nan")) if chunk.null_count else chunk
        stored = np.frombuffer(plain.buffers()[1], np.float32, plain.offset + len(plain))
        found[at : at + len(plain)] = stored[plain.offset :]
        at += len(plain)
    return found
