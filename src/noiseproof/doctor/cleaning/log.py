"""Log of a cleaning: what was changed and why, and everything that is needed to reverse it."""

from __future__ import annotations

import base64
import hashlib
import json
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from noiseproof import __version__
from noiseproof.data.io.archives import MIB, read_bytes
from noiseproof.doctor.cleaning.decisions import Decision
from noiseproof.doctor.cleaning.forms import Edit, Move
from noiseproof.doctor.cleaning.forms.folder import removed_folder, transfer
from noiseproof.errors import DataError, InputError
from noiseproof.storage import files

__all__ = ["log_path", "undo", "write_log"]

_SCHEMA = 1
_LONGEST = 2048 * MIB


def log_path(out: Path) -> Path:
    """The log's place: beside the cleaned data set, `NAME.clean-log.json`."""
    return out.with_name(f"{out.name}.clean-log.json")


def write_log(
    source: Path, out: Path, form: str, how: Sequence[Edit] | Sequence[Move], decisions: Sequence[Decision]
) -> Path:
    """Write the log of a data set that was cleaned.

    Returns:
        The log's path.
    """
    content: dict[str, Any] = {
        "schema": _SCHEMA,
        "noiseproof": __version__,
        "source": str(source),
        "out": out.name,
        "form": form,
        "before": _digest(source) if source.is_file() else None,
        "after": _digest(out) if out.is_file() else None,
        "decisions": [decision.row() for decision in decisions],
        "edits": [
            {"at": edit.at, "old": _packed(edit.old), "new": len(edit.new)} for edit in how if isinstance(edit, Edit)
        ],
        "moves": [
            {"old": move.old, "new": move.new, "sha256": _digest(source / move.old)}
            for move in how
            if isinstance(move, Move)
        ],
    }
    path = log_path(out)
    files.write_atomic(path, json.dumps(content, indent=1) + "\n", exist_ok=False)
    return path


def undo(log: str | Path, out: str | Path) -> Path:
    """Write the original data set again, byte for byte, from a cleaned one and its log.

    Args:
        log: `NAME.clean-log.json`; the cleaned data set lies beside it.
        out: the file or folder to write; it must not exist.

    Raises:
        DataError: the log or the cleaned data set is not what was written, or the result is not the original.
        InputError: something lies at `out` already.

    Returns:
        `out`.
    """
    log, out = Path(log), Path(out)
    content = _read(log)
    if out.exists():
        raise InputError(f"{out} exists already; choose another name for the original")
    cleaned = log.with_name(content["out"])
    if not cleaned.exists():
        raise DataError(f"{log}: the cleaned data set {cleaned} is not beside it")
    if content["moves"]:
        return _undo_moves(content["moves"], cleaned, out, log)
    raw = read_bytes_plain(cleaned)
    if hashlib.sha256(raw).hexdigest() != content["after"]:
        raise DataError(f"{cleaned} has changed since it was cleaned; the log reverses only what it wrote")
    pieces, done, shift = [], 0, 0
    for edit in content["edits"]:
        at = edit["at"] + shift
        old = zlib.decompress(base64.b64decode(edit["old"]))
        pieces += [raw[done:at], old]
        done = at + edit["new"]
        shift += edit["new"] - len(old)
    original = b"".join([*pieces, raw[done:]])
    if hashlib.sha256(original).hexdigest() != content["before"]:
        raise DataError(f"{log}: what it gives is not the original; was the log edited?")
    files.write_atomic(out, original, exist_ok=False)
    return out


def _undo_moves(moves: list[dict[str, Any]], cleaned: Path, out: Path, log: Path) -> Path:
    places = [(removed_folder(cleaned) / one["old"] if one["new"] is None else cleaned / one["new"]) for one in moves]
    for place, one in zip(places, moves, strict=True):
        if not place.is_file() or _digest(place) != one["sha256"]:
            raise DataError(f"{log}: {place} is missing or has changed since; nothing was written")
    files.make_folder(out)
    for place, one in zip(places, moves, strict=True):
        transfer(place, out / one["old"], link=False)
    return out


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_bytes(path, _LONGEST))
        schema = content["schema"]
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: not the log of a cleaning ({error})") from None
    if schema != _SCHEMA:
        raise DataError(f"{path}: written by another version (schema {schema}); this one reads schema {_SCHEMA}")
    names = [content["out"], *(name for one in content["moves"] for name in (one["old"], one["new"]) if name)]
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in names):
        raise DataError(f"{path}: refused, it names files outside the data set")
    return dict(content)


def read_bytes_plain(path: Path) -> bytes:
    """The bytes of a file as they lie on the disk, not unpacked."""
    return path.read_bytes()


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _packed(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode()
