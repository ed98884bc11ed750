"""A file beside the pictures, in the folder or in that of each part: Hugging Face's `metadata`, Roboflow's exports."""

from __future__ import annotations

from pathlib import Path

from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.listing import Folder
from noiseproof.data.readers.part_names import part_of
from noiseproof.data.readers.table import Column, Table
from noiseproof.data.readers.table_files import read_table
from noiseproof.errors import DataError

__all__ = ["has_metadata", "read_metadata"]

_NAMES = ("metadata.csv", "metadata.jsonl", "metadata.parquet", "_annotations.coco.json", "_classes.csv")


def has_metadata(path: Path) -> bool:
    """Test for a folder with a metadata file, in itself or in a folder of a part."""
    return path.is_dir() and bool(_files(path))


def read_metadata(path: Path, options: ReadingOptions) -> Table:
    """Read the metadata files as one table, paths relative to the folder.

    Raises:
        DataError: a folder has several of them, or one lacks `file_name`.
    """
    files = _files(path)
    tables = [_one(path / home / name, home, options) for home, name in files]
    if len(tables) == 1 and not files[0][0]:
        return tables[0]
    names = list(dict.fromkeys(name for table in tables for name in table.names))
    columns = []
    for name in names:
        texts: list[str] = []
        for table in tables:
            texts += table[name].texts if name in table else [""] * table.count
        columns.append(Column(name, texts))
    homes = [home for (home, _), table in zip(files, tables, strict=True) for _ in range(table.count)]
    columns.append(Column("split", homes))
    known = {role: name for role, name in tables[0].known.items() if role != "id"}
    return Table(str(path), tables[0].form, columns, len(homes), None, known=known)


def _files(path: Path) -> list[tuple[str, str]]:
    """Folder, relative to the path, and name of each metadata file."""
    top = Folder(str(path), str(path))
    found = [("", name) for name in top.others if name in _NAMES]
    if found:
        return found
    for folder, place in top.folders.items():
        if part_of(folder) in ("train", "validation", "test"):
            found += [(folder, name) for name in Folder(place, str(path)).others if name in _NAMES]
    return found


def _one(path: Path, home: str, options: ReadingOptions) -> Table:
    siblings = [name for name in _NAMES if (path.parent / name).is_file()]
    if len(siblings) > 1:
        raise DataError(f"{path.parent}: has {' and '.join(siblings)}; keep one of them")
    table = read_table(path, options)
    names = [name for name in ("file_name", "filename", "path") if name in table]
    if not names:
        raise DataError(f"{path}: needs a column file_name with the path of each picture")
    table.form = "an image folder with metadata"
    table.known["path"] = names[0]
    if home:
        plain = [f"{home}/{text}" if text.strip() else "" for text in table[names[0]].texts]
        table.columns = [Column(names[0], plain) if c.name == names[0] else c for c in table.columns]
    return table
