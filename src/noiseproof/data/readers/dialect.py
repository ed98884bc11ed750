"""Characters, delimiter and header of a text table: taken only where no other reading fits."""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from noiseproof.data.readers.numbers import is_missing
from noiseproof.errors import DataError

__all__ = ["DELIMITERS", "Grid", "decode", "encoding_of", "grid", "in_words", "is_number", "named", "titles_above"]

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
_SEP = re.compile(r"sep=(.)[ \t]*(?:\r\n|\n|\r)", re.IGNORECASE)
_FURTHEST = 20  # records in which the header is looked for
_NUMBER = re.compile(r"[+-]?\d*[.,]?\d+([eE][+-]?\d+)?\Z")


@dataclass(frozen=True)
class Grid:
    """Records of a text table under one delimiter.

    Args:
        delimiter: between the values.
        header: the names in the first row.
        records: the values of each record, as wide as the header.
        rows: the row of each record as a spreadsheet counts it; comments and blank lines count too.
        repeated: rows that repeat the header, which are left out.
        titles: rows above the header with a title or a note, which are left out.
    """

    delimiter: str
    header: list[str]
    records: list[list[str]]
    rows: list[int]
    repeated: list[int] = field(default_factory=list)
    titles: list[int] = field(default_factory=list)


def titles_above(records: Sequence[Sequence[str]]) -> int:
    """Number of records with a title or notes above the header of a table, as reports and devices write them.

    They fill one cell at most; the header fills all of its cells, two where a blank record stands above it or three.
    A record of merged cells, each the name of several columns, may stand between.

    Example:
        >>> titles_above([["Run 7"], [], ["w", "label"]]), titles_above([["Run 7", "", ""], ["w", "h", "label"]])
        (2, 1)
        >>> titles_above([["text"], ["so", "good"]])
        0
        >>> titles_above([["Size", "", "Kind", ""], ["w", "h", "label", "by"], ["3", "4", "cat", "ann"]])
        1
    """
    filled = [[cell for cell in record if cell.strip()] for record in records[:_FURTHEST]]
    at = next((place for place, cells in enumerate(filled) if len(cells) > 1), 0)
    if _names_groups(records[at : at + 3]):
        return at + 1
    if not any(filled[:at]) or any(cells and cells[0].startswith("#") for cells in filled[:at]):
        return 0
    header = list(records[at])
    while not header[-1].strip():
        header.pop()
    whole = len(header) == len(filled[at]) and not any(map(is_number, header))
    enough = 2 if any(not cells for cells in filled[:at]) else 3
    return at if whole and len(header) >= enough else 0


def _names_groups(records: Sequence[Sequence[str]]) -> bool:
    """True for a record with gaps above a whole header without numbers and a first sample with one."""
    if len(records) < 3:
        return False
    groups, header, sample = records
    return (
        len(header) > 2
        and all(cell.strip() and not is_number(cell) for cell in header)
        and sum(bool(cell.strip()) for cell in groups) <= len(header) - 2
        and any(map(is_number, sample))
    )


def decode(content: bytes, encoding: str | None, where: str) -> str:
    """The text of a file: UTF-8, or UTF-16 with a byte order mark, or the encoding that the user names.

    Raises:
        DataError: the bytes are of another encoding; says which option to give.
    """
    encoding = encoding_of(content) if encoding is None else encoding
    try:
        text = content.decode(encoding)
    except LookupError:
        raise DataError(
            f"{where}: no encoding {encoding!r}; give utf-8, utf-16, latin-1, cp1252 or another one"
        ) from None
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{where}, row {row}: must be {encoding.upper()} text, byte {content[error.start]:#x} is not; "
            "for a file of an older Windows program add --encoding cp1252 (or latin-1, gb18030, shift_jis, ...)"
        ) from None
    if "\0" in text:
        raise DataError(f"{where}: must be text, found a NUL byte at character {text.index(chr(0))}")
    return text.removeprefix("\ufeff")


def encoding_of(content: bytes) -> str:
    """The encoding of a text: UTF-16 with or without its mark, else UTF-8."""
    if content.startswith(b"\xff\xfe") or content[1:2] == b"\0":
        return "utf-16-le"
    return "utf-16-be" if content.startswith(b"\xfe\xff") or content[:1] == b"\0" else "utf-8"


def grid(text: str, delimiter: str | None, where: str) -> Grid:
    """The records of a text table, under the delimiter given or the only one that fits every row.

    Raises:
        DataError: a row has another width than the header, two delimiters fit, or there is no header.
    """
    said = _SEP.match(text)  # how Excel notes the delimiter; it counts as a row
    if said:
        delimiter, text = delimiter or said[1], "\n" + text[said.end() :]
    first = _first_line(text)
    candidates = [delimiter] if delimiter is not None else [mark for mark in DELIMITERS if mark in first]
    candidates = candidates or _below_titles(text)
    if not candidates and in_words(text):
        candidates = [" "]
    found: list[Grid] = []
    refusals: list[str] = []
    for mark in candidates:
        try:
            found.append(_grid(text, mark, where))
        except DataError as error:
            refusals.append(str(error))
            if '\\"' in text:  # quotes within quotes as databases and shells write them
                with contextlib.suppress(DataError):
                    found.append(_grid(text, mark, where, escape="\\"))
    if len(found) > 1:
        marks = " and ".join(f"{mark!r}".replace("\\t", "\\t") for mark in (one.delimiter for one in found))
        raise DataError(
            f"{where}: the delimiters {marks} both fit every row; the one that is meant must be given with --delimiter"
        )
    if found:
        return found[0]
    if refusals:
        raise DataError(refusals[0] if len(refusals) == 1 else "; or ".join(dict.fromkeys(refusals)))
    return _grid(text, ",", where)  # a single column


def named(delimiter: str) -> str:
    """The delimiter that an option names: a character, `tab` or `\\t`.

    Example:
        >>> named("tab"), named(";")
        ('\\t', ';')
    """
    words = {**{name: mark for mark, name in DELIMITERS.items()}, "\\t": "\t", "space": " "}
    mark = words.get(delimiter.lower(), delimiter)
    if len(mark) != 1 or mark in '"\r\n':
        raise DataError(f"a delimiter is one character such as ',' ';' '|' or tab, got {delimiter!r}")
    return mark


def _first_line(text: str) -> str:
    """The header's line: the first one that is neither blank nor a comment, or the last comment before data."""
    last = ""
    for line in io.StringIO(text):
        if line.strip() and not line.startswith("#"):
            return last + line
        last = line if line.startswith("#") else last
    return last


def _below_titles(text: str) -> list[str]:
    """Delimiters of a table that stands below lines without one."""
    lines = list(itertools.islice(io.StringIO(text), _FURTHEST))
    return [mark for mark in DELIMITERS if titles_above([line.strip().split(mark) for line in lines])]


def in_words(text: str) -> bool:
    """Test for lines that all have as many words as the second, at least two, and numbers among them.

    The first one, the header, may have one less, as R leaves the names of rows without one.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    width = len(lines[1]) if len(lines) > 1 else 0
    return (
        width > 1
        and len(lines[0]) in (width, width - 1)
        and all(len(line) == width for line in lines[1:])
        and any(all(is_number(line[place]) for line in lines[1:]) for place in range(width))
    )


def _grid(text: str, delimiter: str, where: str, escape: str | None = None) -> Grid:
    records: list[list[str]] = []
    rows: list[int] = []
    repeated: list[int] = []
    comments: list[list[str]] = []
    header: list[str] | None = None
    whole = list(_records(text, delimiter, where, escape))
    above = titles_above(whole)
    titles = [row for row, record in enumerate(whole[:above], 1) if any(cell.strip() for cell in record)]
    for row, record in enumerate(whole[above:], above + 1):
        if not any(cell.strip() for cell in record) and len(record) <= 1:
            continue  # a blank line
        if header is None and record[0].startswith("#"):
            comments.append([record[0].lstrip("# "), *record[1:]])
            continue
        if header is None:
            if comments and len(comments[-1]) == len(record) > 1 and _is_data(record):
                header = comments[-1]  # a header that is written as a comment, as numpy.savetxt does
            else:
                header = record
                continue
        if comments and len(record) == 1 and record[0].startswith("#"):
            continue
        if record == header and len(record) > 1:
            repeated.append(row)  # files that were put one behind the other
            continue
        records.append(record)
        rows.append(row)
    if header is None:
        raise DataError(f"{where}: is empty; write a header and one sample a line below it")
    return Grid(delimiter, *_fitted(header, records, rows, delimiter, where), rows, repeated, titles)


def _fitted(
    header: list[str], records: list[list[str]], rows: list[int], delimiter: str, where: str
) -> tuple[list[str], list[list[str]]]:
    """Header and records of one width."""
    if len(header) > 2 and not header[-1].strip() and all(len(record) == len(header) - 1 for record in records):
        header = header[:-1]  # the header, but not each row, ends in a delimiter
    width = len(header)
    if records and all(len(record) == width + 1 for record in records):
        if not any(record[-1].strip() for record in records):
            return header, [record[:-1] for record in records]  # each row, but not the header, ends in a delimiter
        if len({record[0] for record in records}) == len(records):
            return ["", *header], records  # R writes the names of rows without a heading
    for row, record in zip(rows, records, strict=True):
        if len(record) != width:
            mark = f" (delimiter {delimiter!r})" if delimiter != "," else ""
            raise DataError(f"{where}, row {row}: {len(record)} values, the header has {width}{mark}")
    if width > 1 and _without_header(header, records):
        raise DataError(
            f"{where}: has no header, its first row holds values ({', '.join(header)[:60]}); "
            "write a first row with the columns' names, such as a,b,label"
        )
    return header, records


def _without_header(header: Sequence[str], records: list[list[str]]) -> bool:
    """True if the first row is a record: numbers where the others have numbers, and texts that recur below it."""
    if any(len(name) > 1 and sum(record[place] == name for record in records) > 1 for place, name in enumerate(header)):
        return True  # a class, not the name of a column
    numbers = [place for place, cell in enumerate(header) if is_number(cell)]
    words = [place for place, cell in enumerate(header) if not is_number(cell)]
    if not numbers or not records:
        return False
    alike = all(is_number(record[place]) or is_missing(record[place]) for place in numbers for record in records[:50])
    return alike and (not words or any(header[place] == record[place] for place in words for record in records))


def _is_data(record: Sequence[str]) -> bool:
    return any(is_number(cell) for cell in record)


def is_number(text: str) -> bool:
    """Test for a number with either decimal mark."""
    return bool(_NUMBER.match(text.strip()))


def _records(text: str, delimiter: str, where: str, escape: str | None) -> Iterator[list[str]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # whole documents may stand in a cell
    if delimiter == " ":
        text = "\n".join(" ".join(line.split()) if '"' not in line else line for line in text.splitlines())
    spaced = delimiter != " " and f'{delimiter} "' in text
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=delimiter,
        strict=True,
        skipinitialspace=spaced,
        escapechar=escape,
        doublequote=escape is None,
    )
    try:
        yield from reader
    except csv.Error as error:
        raise DataError(
            f"{where}, line {reader.line_num}: {error}; a value that begins with a quote ends with one, and a quote "
            "within it is written twice"
        ) from None
