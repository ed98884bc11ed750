"""CSV and its kin: records dropped, labels replaced and weights added in place, every other byte as it was."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from noiseproof.data.readers.dialect import encoding_of
from noiseproof.doctor.cleaning.forms.base import WEIGHT, Change, Edit, Job, whole
from noiseproof.errors import DataError, InputError
from noiseproof.storage import files

__all__ = ["accepts", "write"]

_ENDINGS = (".csv", ".tsv", ".tab", ".data", ".txt")


def accepts(path: Path) -> bool:
    """Test for a text table, plain or gzip."""
    return path.name.lower().removesuffix(".gz").endswith(_ENDINGS)


@dataclass(frozen=True)
class _Record:
    """A record's place in the text: from `start` to `end` with its line end, and the fields between."""

    start: int
    end: int
    fields: list[tuple[int, int]]


def write(job: Job) -> list[Edit]:
    """Write the table.

    Raises:
        DataError: the file is not what was read, or its label column is not there.
    """
    raw = job.source.read_bytes()
    packed = raw[:2] == b"\x1f\x8b"
    content = gzip.decompress(raw) if packed else raw
    encoding = job.encoding or encoding_of(content)
    text = content.decode(encoding)
    edits = [
        Edit(len(text[:at].encode(encoding)) if not text.isascii() else at, old.encode(encoding), new.encode(encoding))
        for at, old, new in _edits(job, text)
    ]
    made = _applied(content, edits)
    if packed:
        made = gzip.compress(made, mtime=0)
        edits = whole(raw, made)
    files.write_atomic(job.out, made, exist_ok=False)
    return edits


def _applied(content: bytes, edits: list[Edit]) -> bytes:
    pieces, done = [], 0
    for edit in edits:
        pieces += [content[done : edit.at], edit.new]
        done = edit.at + len(edit.old)
    return b"".join([*pieces, content[done:]])


def _edits(job: Job, text: str) -> Iterator[tuple[int, str, str]]:
    """Place in the text, old and new words of each edit, in order."""
    delimiter = job.delimiter or ","
    changes = job.by_row()
    label: int | None = None
    width = 0
    for number, record in enumerate(_records(text, delimiter), 1):
        words = [text[a:b] for a, b in record.fields]
        if not any(word.strip() for word in words):
            continue
        if label is None and words[0].lstrip("\ufeff").lower().startswith(("#", "sep=")):
            continue  # a comment, or Excel's note of the delimiter
        if label is None:
            names = [_plain(word.lstrip("\ufeff")) for word in words]
            if job.label not in names and sum(map(bool, names)) == 1:
                continue  # a title above the header
            if job.label not in names and any(change.label is not None for change in changes.values()):
                raise DataError(f"{job.source}: has no column {job.label!r} any more; found {', '.join(names)[:120]}")
            label, width = names.index(job.label) if job.label in names else 0, len(names)
            if job.weighted:
                yield record.fields[-1][1], "", delimiter + WEIGHT
            continue
        change = changes.get(number, Change())
        if change.drop:
            yield record.start, text[record.start : record.end], ""
            continue
        if change.label is not None:
            a, b = record.fields[label + (len(words) == width + 1 and bool(words[-1].strip()))]
            yield a, text[a:b], _field(text[a:b], change.label, delimiter)
        if job.weighted:
            weight = 1.0 if change.weight is None else change.weight
            yield record.fields[-1][1], "", f"{delimiter}{weight:.6g}"
    if label is None:
        raise DataError(f"{job.source}: is empty")


def _records(text: str, delimiter: str) -> Iterator[_Record]:
    """The records as `csv.reader` counts them: blank lines are records without fields."""
    field = re.compile(rf'[ ]*"(?:[^"]|"")*"[^{re.escape(delimiter)}\r\n]*|[^{re.escape(delimiter)}\r\n]*')
    at = 0
    while at < len(text):
        start, fields = at, []
        while True:
            match = field.match(text, at)
            assert match is not None
            fields.append(match.span())
            at = match.end()
            if text.startswith(delimiter, at):
                at += len(delimiter)
                continue
            break
        at += 2 if text.startswith("\r\n", at) else 1
        yield _Record(start, min(at, len(text)), fields)


def _plain(word: str) -> str:
    """A field's value."""
    word = word.strip()
    return word[1:-1].replace('""', '"').strip() if len(word) > 1 and word[0] == word[-1] == '"' else word


def _field(old: str, value: str, delimiter: str) -> str:
    """A new value, quoted and padded as the old one was, or quoted because it has to be."""
    core = old.strip()
    quoted = core.startswith('"') or any(mark in value for mark in (delimiter, '"', "\n", "\r"))
    quoted = quoted or value != value.strip()
    if "\0" in value:
        raise InputError(f"{value!r} cannot be the name of a class")
    new = '"' + value.replace('"', '""') + '"' if quoted else value
    if not core:
        return new
    begin = old.index(core)
    return old[:begin] + new + old[begin + len(core) :]
