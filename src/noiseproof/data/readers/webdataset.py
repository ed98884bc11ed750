"""WebDataset: shards `x-000000.tar` in which the files of one name before the first dot are one sample."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from noiseproof.data.io.archives import MIB, read_text
from noiseproof.data.io.unpack import ARCHIVES
from noiseproof.data.readers.listing import Folder, walk
from noiseproof.data.readers.part_names import part_of
from noiseproof.data.readers.record_table import as_text, table_of
from noiseproof.data.readers.table import Table
from noiseproof.errors import DataError

__all__ = ["is_unpacked", "read_shards", "shards"]

_LABELS = (".cls", ".label", ".cls.txt")
_KEYS = ("cls", "label", "class", "category", "target")


def shards(path: Path) -> list[Path]:
    """The tar files of a folder that holds nothing else; empty if it holds something else."""
    if not path.is_dir():
        return []
    top = Folder(str(path), str(path))
    tars = sorted(name for name in top.others if name.lower().endswith(ARCHIVES) and ".tar" in name.lower())
    rest = [name for name in top.others if name not in tars and not name.lower().endswith((".json", ".md", ".txt"))]
    return [path / name for name in tars] if tars and not rest and not top.folders and not top.pictures else []


def is_unpacked(folder: Path) -> bool:
    """Test for pictures with a label file of the same name beside each of the first."""
    for _, here in walk(str(folder), str(folder)):
        if here.pictures:
            others = set(here.others)
            return all(_label_file(name, others) for name in here.pictures[:5])
    return False


def read_shards(folders: dict[str, Path], source: str) -> Table:
    """The samples of unpacked shards, one a picture.

    Args:
        folders: the folder of each shard, by the shard's name.
        source: for messages.
    """
    parts = {name: part_of(name.partition(".")[0]) for name in folders}
    rows: list[dict[str, Any]] = []
    for shard, folder in folders.items():
        for relative, here in walk(str(folder), str(folder)):
            others = set(here.others)
            for name in here.pictures:
                file = _label_file(name, others)
                label = "" if file is None else _label(Path(here.path) / file)
                inner = f"{relative}/{name}" if relative else name
                key = f"{shard}/{inner}" if len(folders) > 1 else inner
                row = {"id": key, "path": f"{here.path}/{name}", "label": label}
                rows.append({**row, **({"split": parts[shard]} if all(parts.values()) else {})})
    found = table_of(rows, source, "WebDataset", known={"label": "label", "path": "path", "id": "id"})
    return found


def _label_file(picture: str, others: set[str]) -> str | None:
    stem = picture.partition(".")[0]
    return next((stem + ending for ending in (*_LABELS, ".json") if stem + ending in others), None)


def _label(path: Path) -> str:
    text = read_text(path, MIB).strip()
    if path.suffix != ".json":
        return text
    try:
        content = json.loads(text)
    except ValueError as error:
        raise DataError(f"{path}: not JSON ({str(error)[:100]})") from None
    found = [content[key] for key in _KEYS if key in content] if isinstance(content, dict) else []
    return as_text(found[0]) if found else ""
