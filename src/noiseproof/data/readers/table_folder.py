"""Folders of tables: one table, or one a part, as `train.csv` and `test.csv` or the shards of a data set."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.column_roles import assign
from noiseproof.data.readers.input_columns import is_text
from noiseproof.data.readers.listing import Folder
from noiseproof.data.readers.part_names import parts_of
from noiseproof.data.readers.table import Column, Table
from noiseproof.data.readers.table_files import ENDINGS, is_table, read_table
from noiseproof.data.readers.table_pictures import Pictures
from noiseproof.errors import DataError

__all__ = ["annotation_files", "is_the_data", "joined", "only_table", "part_tables", "read_tables"]

_SHARD = re.compile(r"-\d{4,6}-of-\d{4,6}\Z")
_BESIDE = re.compile(
    r"(readme|licen[cs]e|changelog|citation|requirements|notice|info|about|(data_?)?description"
    r"|(sample_?|gender_?)?submission|classes|class_?names|synsets|words|mapping|vocab)\w*\Z",
    re.IGNORECASE,
)  # fmt: skip
_LISTS = ("annotations", "meta", "splits", "lists")
_LOOKED_AT = 1000  # rows
_DEEP = 2  # folders that are looked through, as `data/` of a repository


def part_tables(path: Path, deep: int = _DEEP) -> dict[Path, str]:
    """Tables in a folder, or in the one folder in it, whose names are those of parts; at least the training part."""
    top = Folder(str(path), str(path))
    stems = {
        path / name: _SHARD.sub("", name.partition(".")[0]) for name in sorted(top.others) if is_table(path / name)
    }
    parts = parts_of(stems.values())
    found = {one: parts[stem] for one, stem in stems.items() if stem in parts}
    if "train" in found.values():
        return found if not _has_class_folders(top) else {}
    if len(top.folders) == 1 and deep and not top.pictures:
        return part_tables(Path(next(iter(top.folders.values()))), deep - 1)
    return {}


def only_table(path: Path) -> Path | None:
    """The one table of a folder, notes such as a readme apart; None if there is none or several."""
    top = Folder(str(path), str(path))
    tables = [name for name in top.others if is_table(path / name)]
    if len(tables) > 1:
        tables = [name for name in tables if not _BESIDE.match(name.partition(".")[0])]
    return path / tables[0] if len(tables) == 1 and not (top.pictures and _BESIDE.match(tables[0])) else None


def is_the_data(path: Path, table: Path, options: ReadingOptions) -> bool:
    """Test for a table that is the data of its folder; where pictures lie in several folders it has to name them."""
    folders = Folder(str(path), str(path)).folders
    notes = table.suffix.lower() == ".txt" and folders  # a text beside pictures is often no more than a note
    return names_pictures(path, table, options) if len(folders) > 1 or notes else True


def names_pictures(path: Path, table: Path, options: ReadingOptions) -> bool:
    """Test for a table that names the pictures in the folders beside it, whose classes are not these folders."""
    try:
        found = read_table(table, options)
    except DataError:
        return False
    pictures = Pictures(path)
    words = [column for column in found if column.numbers is None and 2 * len(column.different) > found.count > 1]
    column = next((each for each in words if not is_text(each) and pictures.hold(each.different)), None)
    if column is None:
        return False
    texts = column.texts[:_LOOKED_AT]
    homes = [pictures.find(text)[0].rpartition("/")[0] for text in texts if text.strip()]
    folders = [home.rpartition("/")[2] for home in homes]
    said = [list(other.texts[:_LOOKED_AT]) for other in found if other is not column]
    return len(folders) < len(texts) or folders not in said


def annotation_files(path: Path) -> dict[Path, str] | None:
    """Annotations or lists of the parts in a folder beside the pictures, as of COCO and Food-101; None if none."""
    for folder in (path / name for name in _LISTS if (path / name).is_dir()):
        if found := part_tables(folder, 0):
            return found
        one = only_table(folder)
        if one is not None and (one.suffix.lower() != ".txt" or names_pictures(path, one, ReadingOptions())):
            return {one: "train"}
    return None


def read_tables(found: Mapping[Path, str], options: ReadingOptions) -> Table:
    """The tables of the parts as one, with a column for the part; those without a label are left out.

    Raises:
        DataError: a table cannot be read, or the training part has no label.
    """
    twice = {path for path in found if path != _first_form(path, found)}
    tables = {path: read_table(path, options) for path in found if path not in twice}
    home = min(found, key=lambda path: len(path.parts)).parent
    train = next(table for path, table in tables.items() if found[path] == "train")
    label = _label(train, options)
    kept = {path: table for path, table in tables.items() if not label or set(label) <= set(table.names)}
    whole = joined({path: (found[path], table) for path, table in kept.items()}, home)
    whole.skipped += [
        (f"{path.name} ({table.count:,} rows)", f"tables have no column {label[0]!r}")
        for path, table in tables.items()
        if path not in kept
    ]
    whole.skipped += [(path.name, f"files hold what {_first_form(path, found).name} holds") for path in sorted(twice)]
    return whole


def _first_form(path: Path, found: Iterable[Path]) -> Path:
    """The file that is read of those which differ in their ending alone: the first by `ENDINGS`."""
    same = [
        one for one in found if one.name.partition(".")[0] == path.name.partition(".")[0] and one.parent == path.parent
    ]
    return min(same, key=lambda one: (list(ENDINGS).index("." + one.name.split(".")[1].lower()), one.name))


def joined(tables: Mapping[Path, tuple[str, Table]], home: Path) -> Table:
    """Tables one behind the other; a column names the part, another one file and row of each record."""
    several = [table for _, table in tables.values()]
    names = list(dict.fromkeys(name for table in several for name in table.names))
    columns = [_joined(name, several) for name in names]
    if len({part for part, _ in tables.values()}) > 1:
        columns = [column for column in columns if column.name != "split"]
        columns.append(Column("split", [part for part, table in tables.values() for _ in range(table.count)]))
    if len(tables) > 1 and not any("id" in table.known for table in several):
        places = [
            f"{path.relative_to(home)}, {table.place(i)}"
            for path, (_, table) in tables.items()
            for i in range(table.count)
        ]
        columns.append(Column("record", places))
    first = several[0]
    form = first.form if len(tables) == 1 else f"{len(tables)} files of {first.form}"
    source = str(home) if len(tables) > 1 else first.source
    rows = first.rows if len(tables) == 1 else None
    whole = Table(source, form, columns, sum(table.count for table in several), rows, first.delimiter)
    whole.known = {**first.known, **({"id": "record"} if "record" in whole else {})}
    whole.ignored = first.ignored
    whole.skipped = [
        (f"{path.name}, {what}", why) for path, (_, table) in tables.items() for what, why in table.skipped
    ]
    return whole


def _joined(name: str, tables: list[Table]) -> Column:
    parts = [table[name] if name in table.names else None for table in tables]
    numbers = [
        np.full(table.count, np.nan) if part is None else part.numbers
        for part, table in zip(parts, tables, strict=True)
    ]

    def texts() -> list[str]:
        found: list[str] = []
        for part, table in zip(parts, tables, strict=True):
            found += [""] * table.count if part is None else list(part.texts)
        return found

    known = [each for each in numbers if each is not None]
    whole = np.concatenate(known) if len(known) == len(tables) and any(part is not None for part in parts) else None
    return Column(name, texts, whole)


def _has_class_folders(top: Folder) -> bool:
    """True if pictures lie in class folders beside the tables: then the folders are the data."""
    below = [Folder(place, top.path) for place in top.folders.values()]
    return any(inside.folders and not inside.pictures for inside in below)


def _label(train: Table, options: ReadingOptions) -> list[str]:
    """Columns that the labels come from."""
    if options.label is not None and not options.label.endswith("*"):
        return [name for name in options.label.split(",") if name in train]
    try:
        roles = assign(train, options, lambda names: False)
    except DataError:
        return []
    return [roles.label] if roles.label is not None else []
