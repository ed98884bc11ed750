"""COCO files in which each picture has one category."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from noiseproof.data.readers.record_table import as_text, only_label, table_of
from noiseproof.data.readers.table import Table
from noiseproof.errors import DataError

__all__ = ["is_export", "table"]


def is_export(content: Any) -> bool:
    """Test for an object with `images`, `annotations` and `categories`."""
    return isinstance(content, dict) and all(
        isinstance(content.get(name), list) for name in ("images", "annotations", "categories")
    )


def table(content: Any, source: str) -> Table:
    """One record a picture; several annotations of one category count as one."""
    try:
        names = {category["id"]: as_text(category["name"]) for category in content["categories"]}
        labels: dict[Any, list[str]] = {}
        for annotation in content["annotations"]:
            labels.setdefault(annotation["image_id"], []).append(names[annotation["category_id"]])
        rows = [
            {
                "id": image["id"],
                "path": str(PurePosixPath(image["file_name"].replace("\\", "/"))),
                "label": only_label(labels.get(image["id"], []), f"{source}: picture {image['file_name'][:80]}"),
            }
            for image in content["images"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{source}: not sound COCO, {error} is missing or of another kind") from None
    if len(set(names.values())) < len(names):
        raise DataError(f"{source}: two categories have one name")
    return table_of(rows, source, "COCO", known={"label": "label", "path": "path", "id": "id"})
