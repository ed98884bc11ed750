"""New items without labels: what a user holds in Python, or files, folders and tables on the disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from noiseproof.data.dataset import Data, Inputs, Origin, Texts, is_frame
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.feature_columns import features
from noiseproof.data.readers.folders import is_text_file, read_texts
from noiseproof.data.readers.input_columns import key_of
from noiseproof.data.readers.listing import PICTURE_ENDINGS, is_picture, walk
from noiseproof.data.readers.table import Column, Table
from noiseproof.data.readers.table_files import ENDINGS, is_table, read_table
from noiseproof.data.readers.table_pictures import Pictures
from noiseproof.errors import DataError, DataMissingError, InputError

__all__ = ["Items", "as_inputs", "columns_of", "read_items"]

_PATH_COLUMNS = ("path", "file", "filename", "file_name", "image", "image_path", "picture", "img")
_TEXT_COLUMNS = ("text", "sentence", "message", "body", "content", "review", "comment")


@dataclass(eq=False)
class Items:
    """Items to predict, and where each came from.

    Attributes:
        inputs: as a split holds them.
        origin: of each.
        skipped: name and reason of items that were left out.
        notes: what the user should know, such as columns that are ignored.
    """

    inputs: Inputs
    origin: Origin
    skipped: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def columns_of(data: Data) -> dict[str, str]:
    """Columns of a training table that new tables are read by: `id`, and `text` or `path`; empty for other data."""
    origin = data.train.origin
    found = {} if origin is None or not origin.key else {"id": origin.key}
    columns = () if data.reading is None else data.reading.columns
    if len(columns) == 1 and isinstance(data.train.inputs, tuple):
        found["text" if isinstance(data.train.inputs, Texts) else "path"] = columns[0]
    return found


def as_inputs(X: Any, kind: str) -> Inputs:
    """Inputs in the form of a split.

    Args:
        X: see `Model.predict`.
        kind: of the model's inputs.

    Raises:
        InputError: they are of another kind.
    """
    if kind == "text":
        if isinstance(X, str):
            return Texts([X])
        texts = list(X.iloc[:, 0]) if is_frame(X) and X.shape[1] == 1 else list(X)
        if not all(isinstance(text, str) for text in texts):
            raise InputError(f"this model takes texts, got {type(texts[0]).__name__}; give a list of strings")
        return Texts(texts)
    if kind == "pictures":
        return _pictures(X)
    if isinstance(X, str | Path):
        return read_items(Path(X), kind, []).inputs
    if is_frame(X):
        return X
    if hasattr(X, "toarray"):
        X = X.toarray()
    try:
        rows = torch.as_tensor(np.asarray(X), dtype=torch.float32)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"this model takes rows of numbers or a DataFrame; numpy cannot read these ({error})"
        ) from None
    return rows[None] if rows.dim() == 1 else rows


def _pictures(X: Any) -> Inputs:
    if isinstance(X, str | Path):
        return read_items(Path(X), "pictures", []).inputs
    if isinstance(X, list | tuple) and X and all(isinstance(one, str | Path) for one in X):
        return tuple(Path(one) for one in X)
    if isinstance(X, list | tuple) and X and all(hasattr(one, "convert") for one in X):  # of Pillow
        X = [torch.from_numpy(np.array(one.convert("RGB"))).permute(2, 0, 1) for one in X]
    if isinstance(X, list | tuple):
        return tuple(_pictures(one)[0] for one in X)
    pixels = X.detach().cpu() if isinstance(X, Tensor) else torch.from_numpy(np.ascontiguousarray(X))
    if pixels.dim() == 2 or (pixels.dim() == 3 and (pixels.shape[0] in (1, 3) or pixels.shape[2] == 3)):
        pixels = pixels[None]
    if pixels.dim() == 3:
        pixels = pixels[:, None]
    if pixels.dim() == 4 and pixels.shape[1] not in (1, 3) and pixels.shape[3] in (1, 3):
        pixels = pixels.permute(0, 3, 1, 2)
    if pixels.dim() != 4 or pixels.shape[1] not in (1, 3):
        raise InputError(
            f"pictures must be (N, H, W), (N, H, W, 3) or (N, C, H, W) with 1 or 3 channels, got {tuple(pixels.shape)}"
        )
    if pixels.dtype != torch.uint8:
        whole = not pixels.is_floating_point() or bool((pixels == pixels.round()).all())
        if not whole or pixels.min() < 0 or pixels.max() > 255 or (pixels.is_floating_point() and pixels.max() <= 1):
            raise InputError(
                f"pictures must be whole numbers from 0 to 255, got {str(pixels.dtype).removeprefix('torch.')} from "
                f"{float(pixels.min()):g} to {float(pixels.max()):g}; for 0 to 1 give (255 * X).round()"
            )
    return pixels.to(torch.uint8).contiguous()


def read_items(
    source: Path,
    kind: str,
    columns: list[str],
    *,
    categories: frozenset[str] = frozenset(),
    options: ReadingOptions | None = None,
    trained: Mapping[str, str] | None = None,
) -> Items:
    """Read items without labels.

    Args:
        source: a folder of pictures or texts, a picture, a table (CSV, JSON, Parquet, Excel, ...), a .txt with a text a
            line, or an .npz or .npy of arrays.
        kind: of the model's inputs.
        columns: of training, for a table.
        categories: those of them that hold categories.
        options: of reading; a column that they name as label or drop is left out.
        trained: `columns_of` the training data, for what the options do not name.

    Raises:
        DataMissingError, DataError: there is no such file, or it cannot be read.
        InputError: it holds nothing of this kind.
    """
    options = options or ReadingOptions()
    if not source.exists():
        raise DataMissingError(f"no file or folder {source}; give the path of new items")
    name = source.name.lower().removesuffix(".gz")
    if source.is_dir() or is_picture(name):
        if kind == "text" and source.is_dir():
            return _folder_of_texts(source, options)
        if kind != "pictures":
            raise InputError(f"this model takes {kind}, and {source} is a {'folder' if source.is_dir() else 'picture'}")
        if source.is_dir():
            return _folder(source)
        return Items((source,), Origin(str(source), np.arange(1), paths=(str(source),)))
    if name.endswith((".npz", ".npy")):
        return _arrays(source, kind)
    if kind == "text" and name.endswith(".txt"):
        lines = source.read_text(encoding=options.encoding or "utf-8").splitlines()
        return Items(Texts(lines), Origin(str(source), np.arange(len(lines)), rows=np.arange(1, len(lines) + 1)))
    if not is_table(source):
        raise InputError(f"{source}: cannot be read; give a folder, a picture or a table ({', '.join(ENDINGS)})")
    table = read_table(source, options)
    usual = {role: name for role, name in (trained or {}).items() if name in table.names}
    options = replace(
        options,
        id=options.id or usual.get("id"),
        text=options.text or usual.get("text"),
        path=options.path or usual.get("path"),
    )
    inputs = {*columns, *options.columns(), *_TEXT_COLUMNS}
    if options.id is None and (kind == "text" or not inputs.isdisjoint(table.names)):
        options = replace(options, id=key_of([column for column in table if column.name not in inputs]))
    keys = None if options.id is None else tuple(table[options.id].texts)
    index = np.arange(table.count) if table.index is None else table.index
    rows = None if table.rows is None else np.asarray(table.rows, np.int64)
    origin = Origin(str(source), index, rows, keys, options.id or "")
    if kind == "pictures":
        named = tuple(_column(table, options.path, _PATH_COLUMNS, "--path").texts)
        known = Pictures(options.root or source.parent)
        fits = [known.find(one) for one in named]
        paths = tuple(
            known.root / (found[0] if len(found) == 1 else one) for found, one in zip(fits, named, strict=True)
        )
        return Items(paths, replace(origin, paths=named))
    if kind == "text":
        return _without_blanks(_column(table, options.text, _TEXT_COLUMNS, "--text").texts, origin)
    return Items(*_rows(table, columns, categories, options, origin))


def _without_blanks(texts: Sequence[str], origin: Origin) -> Items:
    """The texts but for blank ones, which say nothing."""
    kept = [place for place, text in enumerate(texts) if text.strip()]
    skipped = [(origin.name(place), "the text is blank") for place, text in enumerate(texts) if not text.strip()]
    return Items(Texts(texts[place] for place in kept), origin.take(np.array(kept, np.int64)), skipped)


def _rows(
    table: Table, columns: list[str], categories: frozenset[str], options: ReadingOptions, origin: Origin
) -> tuple[Any, Origin, list[tuple[str, str]], list[str]]:
    """A frame with the columns of training, as far as they are there, and a note of those that are not known."""
    import pandas as pd

    known = set(options.columns())
    names = [name for name in table.names if name not in known]
    if not set(columns) & set(names) and len(names) == len(columns) and all(name.isdigit() for name in columns):
        wanted = dict(zip(columns, names, strict=True))  # a model of arrays, whose columns have no names
    else:
        wanted = {name: name for name in columns if name in names}
    if not wanted:
        raise InputError(
            f"{table.source}: holds none of the columns of training ({', '.join(columns[:8])}); found "
            f"{', '.join(names[:8]) or 'none'}"
        )
    notes: list[str] = []
    plain = [name for name in wanted if name not in categories]
    # at once: one column's decimal mark tells that of another
    numbers = features(table, [wanted[name] for name in plain], notes, slips=True)
    frame: dict[str, Any] = dict.fromkeys(wanted) | dict(zip(plain, numbers, strict=True))
    for name in categories & wanted.keys():
        frame[name] = np.array([text if text.strip() else None for text in table[wanted[name]].texts], object)
    extra = [name for name in names if name not in wanted.values()]
    if extra:
        notes.append(f"columns that the model does not know are ignored: {', '.join(extra[:8])}")
    return pd.DataFrame(frame), origin, [], notes


def _folder(source: Path) -> Items:
    """The pictures in a folder and below, by path, as the training data were listed."""
    found = sorted(
        (f"{relative}/{name}" if relative else name, folder.path, name)
        for relative, folder in walk(str(source), str(source))
        for name in folder.pictures
    )
    if not found:
        raise DataError(f"{source}: holds no pictures ({', '.join(PICTURE_ENDINGS)})")
    names = tuple(name for name, _, _ in found)
    return Items(
        tuple(Path(home, name) for _, home, name in found), Origin(str(source), np.arange(len(found)), paths=names)
    )


def _folder_of_texts(source: Path, options: ReadingOptions) -> Items:
    """The texts in a folder and below, by path; those that cannot be decoded are left out."""
    files = sorted(
        (f"{relative}/{name}" if relative else name, f"{folder.path}/{name}")
        for relative, folder in walk(str(source), str(source), takes=is_text_file)
        for name in folder.pictures
    )
    if not files:
        raise DataError(f"{source}: holds no texts (.txt)")
    texts, bad = read_texts([file for _, file in files], options)
    names = tuple(files[place][0] for place in texts)
    origin = Origin(str(source), np.array(list(texts), np.int64), paths=names)
    return Items(Texts(texts.values()), origin, [(files[place][0], reason) for place, reason in bad.items()])


def _arrays(source: Path, kind: str) -> Items:
    try:
        held = np.load(source, allow_pickle=False)
        if not isinstance(held, np.ndarray):
            held = held[next(key for key in ("x", "X", "x_test", "X_test", "inputs", "images") if key in held.files)]
    except StopIteration:
        raise DataError(f"{source}: holds no array x of new items") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{source}: cannot be read ({str(error)[:120]})") from None
    return Items(as_inputs(held, kind), Origin(str(source), np.arange(len(held))))


def _column(table: Table, named: str | None, usual: tuple[str, ...], option: str) -> Column:
    """The column that an option names, or the one with a usual name, or the only one."""
    if named is not None:
        return table[named]
    found = {name.strip().lower(): name for name in table.names}
    fitting = [found[name] for name in usual if name in found] or (table.names if len(table.names) == 1 else [])
    if not fitting:
        raise InputError(f"{table.source}: which column? type {option} COLUMN; found {', '.join(table.names)[:200]}")
    return table[fitting[0]]
