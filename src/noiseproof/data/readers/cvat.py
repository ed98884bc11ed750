"""CVAT for images 1.1: an `annotations.xml` with a tag for each picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from noiseproof.data.io.archives import MIB, read_bytes
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.record_table import only_label, table_of
from noiseproof.data.readers.table import Table
from noiseproof.errors import DataError

__all__ = ["read_cvat"]


def read_cvat(path: Path, options: ReadingOptions) -> Table:
    """Read the pictures and their tags; boxes and other shapes are left alone."""
    content = read_bytes(path, 1024 * MIB)
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise DataError(f"{path}: refused, an annotation file has no DOCTYPE and no entities")
    try:
        root = ElementTree.fromstring(content)  # noqa: S314 - expat itself limits what entities grow to
    except ElementTree.ParseError as error:
        raise DataError(f"{path}: not sound XML ({error})") from None
    images = root.findall("image")
    if root.tag != "annotations" or not images:
        raise DataError(
            f"{path}: needs <annotations> with an <image> for each picture, as 'CVAT for images 1.1' has it"
        )
    rows: list[dict[str, Any]] = []
    for image in images:
        name = image.get("name") or ""
        tags = [tag.get("label") or "" for tag in image.findall("tag")]
        row = {"id": image.get("id"), "path": name, "label": only_label(tags, f"{path}: picture {name[:80]}")}
        rows.append({**row, **({"split": image.get("subset")} if image.get("subset") else {})})
    return table_of(rows, str(path), "CVAT for images", known={"label": "label", "path": "path", "id": "id"})
