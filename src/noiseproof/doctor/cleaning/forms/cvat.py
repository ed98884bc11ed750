"""CVAT for images 1.1: pictures and tags changed in the text of the annotations file, all else as it was."""

from __future__ import annotations

import re
from pathlib import Path
from xml.sax.saxutils import escape, unescape

from noiseproof.doctor.cleaning.forms.base import Edit, Job, whole
from noiseproof.errors import InputError
from noiseproof.storage import files

__all__ = ["accepts", "write"]

_IMAGE = re.compile(r"[ \t]*<image\b[^>]*?(?:/>|>.*?</image>)[ \t]*(?:\r?\n)?", re.DOTALL)
_ID = re.compile(r"<image\b[^>]*?\bid=(\"|')(.*?)\1")
_TAG = re.compile(r"(<tag\b[^>]*?\blabel=)(\"|')(.*?)\2")


def accepts(path: Path) -> bool:
    """Test for an annotations file of CVAT."""
    return path.suffix.lower() == ".xml"


def write(job: Job) -> list[Edit]:
    """Write the annotations.

    Raises:
        InputError: weights, which have no place in this form.
    """
    if job.weighted:
        raise InputError(f"{job.source}: CVAT's form has no place for weights; use --drop or --relabel")
    raw = job.source.read_bytes()
    changes = job.by_key("id")

    def changed(match: re.Match[str]) -> str:
        found = _ID.search(match[0])
        change = changes.get(unescape(found[2]) if found else "")
        if change is None:
            return match[0]
        if change.drop:
            return ""
        if change.label is None:
            return match[0]
        label = escape(change.label, {'"': "&quot;", "'": "&apos;"})
        return _TAG.sub(lambda tag: f"{tag[1]}{tag[2]}{label}{tag[2]}", match[0])

    made = _IMAGE.sub(changed, raw.decode("utf-8")).encode("utf-8")
    files.write_atomic(job.out, made, exist_ok=False)
    return whole(raw, made)
