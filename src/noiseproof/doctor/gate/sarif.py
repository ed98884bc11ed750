"""Suspect labels as SARIF 2.1.0, which code hosts show beside the lines of a file."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import Any
from urllib.parse import quote

from noiseproof import __version__
from noiseproof.doctor.diagnosis import Diagnosis
from noiseproof.doctor.gate.before import Suspect, suspects

__all__ = ["sarif"]

_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_MOST = 5_000  # results that code hosts keep of one run
_RULE = {
    "id": "suspect-label",
    "name": "SuspectLabel",
    "shortDescription": {"text": "A label that is probably wrong"},
    "fullDescription": {
        "text": "Learners that have not seen this sample's label consider another class more likely than the given one."
    },
    "help": {
        "text": "Look at the sample. Keep, correct or drop it, for instance with: noiseproof clean DATA --issues FILE"
    },
    "defaultConfiguration": {"level": "warning"},
    "properties": {"precision": "medium"},
}


def sarif(diagnosis: Diagnosis, base: Path | None = None) -> dict[str, Any]:
    """The flagged samples as a SARIF log of one run; at most 5,000 results, the most suspect.

    Args:
        diagnosis: of a file or folder.
        base: folder that locations are relative to; the working folder unless given.
    """
    found = suspects(diagnosis)
    driver = {"name": "noiseproof", "version": __version__}
    low, high = diagnosis.rate_interval
    properties = {"rate": diagnosis.rate, "rateInterval": [low, high], "suspects": len(found)}
    results = [_result(diagnosis, one, base or Path.cwd()) for one in found[:_MOST]]
    return {
        "$schema": _SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": {**driver, "rules": [_RULE]}}, "results": results, "properties": properties}],
    }


def _result(diagnosis: Diagnosis, one: Suspect, base: Path) -> dict[str, Any]:
    uri, line = location(diagnosis, one, base)
    key = next(iter(one.key.values()))
    text = f"Label {one.given!r} of {key} is suspect ({one.suspicion:.2f}); more likely {one.likely!r}."
    digest = hashlib.sha256(f"{uri}\0{key}\0{one.given}".encode("utf-8", "replace")).hexdigest()
    return {
        "ruleId": _RULE["id"],
        "ruleIndex": 0,
        "level": "warning",
        "message": {"text": text},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": line}}}],
        "partialFingerprints": {"primaryLocationLineHash": digest[:32]},
        "rank": round(100 * one.suspicion, 1),
    }


def location(diagnosis: Diagnosis, one: Suspect, base: Path) -> tuple[str, int]:
    """The file as a relative URI, and the line: of a table the sample's row, of a picture 1."""
    origin = diagnosis.origin
    source = Path(origin.source)
    if origin.rows is not None:
        return _uri(source, base), int(origin.rows[one.position])
    if origin.paths is not None:
        path = Path(origin.paths[one.position])
        return _uri(path if path.is_absolute() or path.exists() else source / path, base), 1
    return _uri(source, base), int(origin.index[one.position]) + 1


def _uri(path: Path, base: Path) -> str:
    with contextlib.suppress(ValueError):
        path = path.resolve().relative_to(base.resolve())
    return quote(path.as_posix())
