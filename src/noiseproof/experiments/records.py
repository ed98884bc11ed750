"""Records: one immutable `runs/<run_id>/record.json` for each finished run, the only truth about it.

A record is canonical JSON (sorted keys, no spaces, UTF-8, no NaN) that holds the SHA-256 of itself without that
entry. It is created once and never changed; a second result of the same run is discarded. The folder can be
copied, packed, put on a network disk or under version control as it is. Every reader verifies: a damaged record
is named and hides no other.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import (
    Any,
    Literal,
    NamedTuple,
    NotRequired,  # pydantic reads typing's own only from Python 3.12 on
)

from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict

from noiseproof import __version__
from noiseproof.errors import DataError, DataMissingError
from noiseproof.experiments import record_arrays
from noiseproof.experiments.run_id import canonical, run_id
from noiseproof.storage import files

__all__ = [
    "SCHEMA",
    "Damaged",
    "Merged",
    "Reading",
    "Record",
    "canonical",
    "check",
    "location",
    "merge",
    "read",
    "read_folder",
    "run_id",
    "seal",
    "versions",
    "write",
]

SCHEMA: Literal[2] = 2
_STRICT = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
OUTPUTS = "outputs.safetensors"  # scores and features, kept on request beside the record
_LARGEST = 32 << 20  # bytes; the matrix of many classes lies beside the record
_LARGEST_OUTPUTS = 4 << 30


@with_config(_STRICT)
class RunText(TypedDict):
    """Everything that makes a run this run and no other."""

    data: str
    noise: str
    method: str
    loss: str
    recipe: str
    settings: dict[str, Any]  # the recipe as it was applied
    seed: int
    precision: str
    mode: str
    content: NotRequired[dict[str, str]]  # hashes of what the words above stand for, from schema 2 on


@with_config(_STRICT)
class Result(TypedDict):
    """Numbers per epoch, in percent where they are accuracies; null where a number was not finite."""

    accuracy: float | None
    curves: dict[str, list[float | None]]
    also: NotRequired[dict[str, float | None]]  # last epoch, on further test splits by name


@with_config(_STRICT)
class Realised(TypedDict):
    """The given labels as they came out; a large matrix is an array, which lies beside the record."""

    rate: float
    transition: list[list[float]]
    sha256: str
    convention: str


@with_config(_STRICT)
class Source(TypedDict):
    """The data as it was read."""

    name: str
    fingerprint: str
    notes: list[str]


@with_config(_STRICT)
class Record(TypedDict):
    """`record.json`. A failed run has an error and neither noise nor data if it did not get that far."""

    schema: Literal[1, 2]
    run_id: str
    run: RunText
    status: Literal["done", "diverged", "failed"]
    selection: Literal["last epoch"]
    result: Result
    noise: Realised | None
    data: Source | None
    seconds: float
    device: str
    threads: int
    versions: dict[str, str]
    precision: str
    mode: str
    health: dict[str, Any]
    error: str | None
    bulk: NotRequired[dict[str, str]]  # SHA-256 of the file beside the record that holds an entry, by the entry
    sha256: NotRequired[str]


_SHAPE = TypeAdapter(Record)
_CACHED = TypeAdapter(dict[str, tuple[str, Record]])  # by run: the hash of its file, and the record without its bulk


# One record


def versions() -> dict[str, str]:
    """Versions of the libraries here, for a record; without importing any of them."""
    found = {"noiseproof": __version__, "python": platform.python_version()}
    for name in ("torch", "numpy"):
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def location(folder: Path, name: str) -> Path:
    """Path of the record of run `name`."""
    return folder / "runs" / name / "record.json"


_MARK = b',"sha256":"'  # the last one is the record's own: only status, threads and versions follow it


def seal(record: Record) -> bytes:
    """The bytes of `record.json`: the canonical text with its own hash."""
    bare = {key: value for key, value in record.items() if key != "sha256"}
    digest = hashlib.sha256((canonical(bare) + "\n").encode()).hexdigest()
    return (canonical({**bare, "sha256": digest}) + "\n").encode()


def write(folder: Path, record: Record) -> bool:
    """Record a finished run; when this returns, the record is on the disk.

    Returns:
        False if the run was recorded before: the first result stays, this one is discarded.
    """
    path = location(folder, record["run_id"])
    small, parts = record_arrays.split(record)
    text = seal(small)
    _checked(text, record["run_id"])
    if len(text) > _LARGEST:
        raise DataError(f"the record of {record['run_id'][:12]} has {len(text):,} bytes; at most {_LARGEST:,} are read")
    for digest, content in parts.items():
        record_arrays.write(path.parent, digest, content)
    return files.create_once(path, text)


def read(path: Path) -> Record:
    """The record at `path`, verified.

    Raises:
        DataError: it is damaged, or lies in the folder of another run, or was written by a newer noiseproof.
        MachineError: it cannot be read now, which says nothing about its content.
    """
    record: Record = record_arrays.join(_opened(path, files.read(path, at_most=_LARGEST, follow=True)), path.parent)
    return record


def _opened(path: Path, raw: bytes) -> Record:
    _own_hash(raw)
    return _checked(raw, path.parent.name)


def _own_hash(raw: bytes) -> str:
    """The SHA-256 that a record says of itself, which its content has."""
    start = raw.rfind(_MARK)
    end = start + len(_MARK) + 65
    digest = hashlib.sha256(raw[:start] + raw[end:]).hexdigest()
    if start < 0 or digest.encode() != raw[start + len(_MARK) : end - 1]:
        raise DataError("its content does not match its SHA-256; its grid, run again, computes it anew")
    return digest


def _checked(text: bytes, name: str) -> Record:
    try:
        record: Record = _SHAPE.validate_json(text)
    except ValidationError as error:
        schema = _schema(text)
        if schema > SCHEMA:
            newest = f"this noiseproof reads schemas up to {SCHEMA}: update noiseproof"
            raise DataError(f"it has schema {schema}; {newest}") from None
        first = error.errors()[0]
        raise DataError(f"{'.'.join(map(str, first['loc'])) or 'text'}: {first['msg'].lower()}") from None
    if record["run_id"] != name:
        raise DataError(f"it is the record of run {record['run_id'][:12]}, in the folder of another")
    if run_id(record["run"]) != name:
        raise DataError("its run does not have the name it says")
    return record


def _schema(text: bytes) -> int:
    with suppress(ValueError, RecursionError, AttributeError, TypeError):
        return int(json.loads(text).get("schema"))
    return 0


def is_of_other_files(record: Record) -> bool:
    """Test for a record of schema 1, whose name did not cover that its files were not the official ones."""
    notes = (record["data"] or {"notes": []})["notes"]
    return record["schema"] == 1 and any("the official" in note for note in notes)


# A folder of records


class Damaged(NamedTuple):
    """A record that cannot be used, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@dataclass(frozen=True)
class Reading:
    """All records of a folder, in the order of their names, and the damaged ones."""

    records: tuple[Record, ...]
    damaged: tuple[Damaged, ...]


def read_folder(
    folder: str | os.PathLike[str], *, whole: bool = True, cached: bool = True, parts: bool = False
) -> Reading:
    """Every record under `folder`, verified.

    Args:
        folder: what was given as `--out`.
        whole: False leaves `result.curves` and `noise.transition` empty, which most of a record is.
        cached: with `whole=False`, a large folder may keep the rest in a cache, `records.cache`. Each entry
            counts only if it says, letter for letter, what its record says; the cache can be deleted at any time.
            False takes nothing from it and leaves it alone.
        parts: with `whole=False`, verify the large parts too that lie beside a record.

    Raises:
        DataMissingError: there is no such folder.
    """
    folder = Path(folder)
    names = _names(folder)
    worth = cached and not whole and len(names) >= _WORTH_A_CACHE
    known = _read_cache(folder) if worth else {}
    rows: dict[str, tuple[str, Record]] = {}
    damaged = []
    for name in names:
        path = location(folder, name)
        try:
            raw = files.read(path, at_most=_LARGEST, follow=True)
            digest = _own_hash(raw)
            if (kept := known.get(name)) and kept[0] == digest and _is_short_of(kept[1], raw, name):
                rows[name] = kept
            else:
                record = _checked(raw, name)
                for part in record_arrays.names(record) if parts else ():
                    record_arrays.verified(path.parent, part)
                rows[name] = digest, record_arrays.join(record, path.parent) if whole else _without_bulk(record)
        except DataMissingError:  # a run that has begun and not finished
            continue
        except DataError as error:
            damaged.append(Damaged(path, str(error)))
    if worth and rows != known:
        _write_cache(folder, rows)
    return Reading(tuple(record for _, record in rows.values()), tuple(damaged))


def check(folder: str | os.PathLike[str]) -> tuple[Damaged, ...]:
    """Verify every record and what lies beside it; what is wrong, if anything."""
    return read_folder(folder, whole=False, cached=False, parts=True).damaged


class Merged(NamedTuple):
    """Result of `merge` for each record of the other folder."""

    copied: int
    present: int
    differing: tuple[Path, ...]  # both folders hold the run, with different results; ours stayed
    damaged: tuple[Damaged, ...]


def merge(other: str | os.PathLike[str], into: str | os.PathLike[str]) -> Merged:
    """Copy the records that `into` lacks, and what lies beside them; only a failure makes way, for a result."""
    other, into = Path(other), Path(into)
    reading, copied, present, differing = read_folder(other, whole=False, cached=False), 0, 0, []
    for record in reading.records:
        source, target = location(other, record["run_id"]), location(into, record["run_id"])
        text = files.read(source, at_most=_LARGEST, follow=True)
        if record["status"] != "failed" and _has_failed(target):
            files.move_aside(target, target.parent / "notes")
        if not target.exists():
            _copy_kept(source, target, record)
        if files.create_once(target, text):
            copied += 1
        elif files.read(target, at_most=_LARGEST, follow=True) == text:
            present += 1
        elif record["status"] != "failed":  # a failure says nothing against a result
            differing.append(target)
    return Merged(copied, present, tuple(differing), reading.damaged)


def _has_failed(path: Path) -> bool:
    try:
        return read(path)["status"] == "failed"
    except DataError:
        return False


def _copy_kept(source: Path, target: Path, record: Record) -> None:
    """Copy what lies beside a record: its large parts, and the outputs that were kept on request."""
    for name in record_arrays.names(record):
        files.create_once(target.with_name(name), record_arrays.verified(source.parent, name))
    if (kept := source.with_name(OUTPUTS)).is_file():
        files.write_atomic(target.with_name(OUTPUTS), files.read(kept, at_most=_LARGEST_OUTPUTS, follow=True))


def _names(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise DataMissingError(f"there is no folder {folder}; `noiseproof sweep` and `compare` make one")
    return [path.name for path in files.listing(folder / "runs")]


# The cache

_WORTH_A_CACHE = 500  # fewer records are read faster than the reader notices


def _without_bulk(record: Record) -> Record:
    result: Result = {**record["result"], "curves": {}}
    noise: Realised | None = record["noise"] and {**record["noise"], "transition": []}
    return {**record, "result": result, "noise": noise}


_BULK = ((b'"curves":{', b"}"), (b'"transition":[[', b"]]"))  # how the long parts of a record begin and end


def _is_short_of(entry: Record, raw: bytes, name: str) -> bool:
    """True if an entry of the cache is the record without its bulk; the cache is never believed more than that."""
    short = raw
    for begin, end in _BULK:
        at = short.find(begin)
        if at >= 0:
            inside = at + begin.index(b":") + 2  # behind the first bracket
            short = short[:inside] + short[short.find(end, at) + len(end) - 1 :]
    return canonical(entry).encode() + b"\n" == short and run_id(entry["run"]) == entry["run_id"] == name


def _cache(folder: Path) -> Path:
    return folder / "records.cache"


def _read_cache(folder: Path) -> dict[str, tuple[str, Record]]:
    try:
        digest, _, text = files.read(_cache(folder), at_most=1 << 30).partition(b"\n")
        return _CACHED.validate_json(text) if hashlib.sha256(text).hexdigest().encode() == digest else {}
    except (DataError, ValidationError):
        return {}


def _write_cache(folder: Path, rows: Mapping[str, tuple[str, Record]]) -> None:
    text = canonical(rows).encode()
    try:
        files.write_atomic(_cache(folder), hashlib.sha256(text).hexdigest().encode() + b"\n" + text)
    except (files.NotCommitted, files.DurabilityUncertain):
        return  # a folder that we may only read works as well, only more slowly
