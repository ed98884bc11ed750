"""The name of a run: SHA-256 of everything that decides its result.

A run's specification is words: names, options and paths. Where a word stands for something that can change, `content`
holds its hash: of the data, of a transition matrix, of starting weights, of the user's own code. The name covers the
words without those paths, and the content.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from noiseproof.text import parse_call, write_call

__all__ = ["FILE", "canonical", "run_id", "words"]

FILE = re.compile(r"\bfile\((?:path=)?(['\"])(.*?)\1\)")  # of a method's transition matrix


def canonical(value: object) -> str:
    """The one JSON text of a value.

    Example:
        >>> canonical({"b": [1.0, 0.1], "a": None})
        '{"a":null,"b":[1.0,0.1]}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def run_id(run: Mapping[str, Any]) -> str:
    """The name of a run: SHA-256 of its words and content.

    The constant beside them belongs to the names of the first version, which all later versions keep.
    """
    return hashlib.sha256(canonical({"run": words(run), "schema": 1}).encode()).hexdigest()


def words(run: Mapping[str, Any]) -> Mapping[str, Any]:
    """The specification without the paths whose content it holds.

    Example:
        >>> run = {"data": "d.csv", "noise": "clean", "content": {"data": "1f"}}
        >>> words(run) == words({**run, "data": "moved/d.csv"})
        True
    """
    content = run.get("content") or {}
    bare = dict(run)
    if not content:
        bare.pop("content", None)
    if "data" in content:
        bare["data"] = ""
    if "matrix" in content:
        call = parse_call(run["noise"])
        bare["noise"] = write_call(call.name, {**dict(call.named), "file": ""})
    if "method matrix" in content:
        settings = bare["settings"]
        method = {**settings["method"], "method": FILE.sub("file('')", settings["method"]["method"])}
        bare |= {"method": FILE.sub("file('')", bare["method"]), "settings": {**settings, "method": method}}
    if "weights" in content:
        settings = bare["settings"]
        bare["settings"] = {**settings, "model": {**settings["model"], "weights": ""}}
    return bare
