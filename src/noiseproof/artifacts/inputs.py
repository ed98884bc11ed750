"""New items without labels: what a user holds in Python, or files, folders and tables on the disk."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from noiseproof.data.dataset import Inputs, Origin, Texts, is_frame
from noiseproof.errors import DataError, DataMissingError, InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Items", "as_inputs", "read_items"]

_ENDINGS = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".gif", ".ppm", ".pgm")
_TABLES = (".csv", ".tsv", ".txt", ".jsonl", ".json", ".parquet", ".xlsx", ".xls")
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
    path_column: str | None = None,
    text_column: str | None = None,
    key: str | None = None,
    delimiter: str | None = None,
    root: Path | None = None,
) -> Items:
    """Read items without labels.

    Args:
        source: a folder of pictures, a picture, a table (CSV, TSV, JSON, JSON lines, Parquet, Excel), a file with a
            text a line, or an .npz or .npy of arrays.
        kind: of the model's inputs.
        columns: of training, for a table.
        path_column, text_column, key: columns of the table, where they have unusual names.
        delimiter: of a CSV, where it is unusual.
        root: folder of the pictures that a table names; the table's own unless given.

    Raises:
        DataMissingError, DataError: there is no such file, or it cannot be read.
        InputError: it holds nothing of this kind.
    """
    if not source.exists():
        raise DataMissingError(f"no file or folder {source}; give the path of new items")
    name = source.name.lower().removesuffix(".gz")
    if source.is_dir() or name.endswith(_ENDINGS):
        if kind != "pictures":
            raise InputError(f"this model takes {kind}, and {source} is a {'folder' if source.is_dir() else 'picture'}")
        return (
            _folder(source)
            if source.is_dir()
            else Items((source,), Origin(str(source), np.arange(1), paths=(str(source),)))
        )
    if name.endswith((".npz", ".npy")):
        return _arrays(source, kind)
    if kind == "text" and name.endswith(".txt"):
        lines = source.read_text(encoding="utf-8").splitlines()
        return Items(Texts(lines), Origin(str(source), np.arange(len(lines)), rows=np.arange(1, len(lines) + 1)))
    if not name.endswith(_TABLES):
        raise InputError(f"{source}: cannot be read; give a folder, a picture or a table ({', '.join(_TABLES)})")
    frame = _frame(source, delimiter)
    first = 1 if name.endswith((".json", ".jsonl")) else 2  # the header is row 1
    keys = None
    if key is not None:
        keys = tuple(map(str, frame[_column(frame, key, (), source, "--id")]))
    origin = Origin(str(source), np.arange(len(frame)), np.arange(first, first + len(frame)), keys, key or "")
    if kind == "pictures":
        chosen = _column(frame, path_column, _PATH_COLUMNS, source, "--path")
        names = tuple(map(str, frame[chosen]))
        base = root or source.parent
        paths = Origin(origin.source, origin.index, origin.rows, origin.keys, origin.key, names)
        return Items(tuple(base / name for name in names), paths)
    if kind == "text":
        chosen = _column(frame, text_column, _TEXT_COLUMNS, source, "--text")
        return Items(Texts(map(str, frame[chosen])), origin)
    extra = [str(name) for name in frame.columns if str(name) not in columns and str(name) != key]
    if columns and all(name.isdigit() for name in columns) and not set(columns) & set(map(str, frame.columns)):
        rest = frame.drop(columns=[name for name in (key,) if name])
        if rest.shape[1] == len(columns):
            return Items(rest.set_axis(columns, axis=1), origin)
    notes = [f"columns that the model does not know are ignored: {', '.join(extra[:8])}"] if extra else []
    return Items(frame, origin, notes=notes)


def _folder(source: Path) -> Items:
    found = sorted(
        path
        for path in source.rglob("*")
        if path.name.lower().endswith(_ENDINGS) and not any(p.startswith(".") for p in path.relative_to(source).parts)
    )
    if not found:
        raise DataError(f"{source}: holds no pictures ({', '.join(_ENDINGS)})")
    names = tuple(str(path.relative_to(source)) for path in found)
    return Items(tuple(found), Origin(str(source), np.arange(len(found)), paths=names))


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


def _frame(source: Path, delimiter: str | None) -> pd.DataFrame:
    """A table, every cell of a text format as text."""
    import pandas as pd

    name = source.name.lower().removesuffix(".gz")
    try:
        if name.endswith(".parquet"):
            return pd.read_parquet(source)
        if name.endswith((".xlsx", ".xls")):
            return pd.read_excel(source, dtype=object)
        if name.endswith((".json", ".jsonl")):
            return pd.read_json(source, lines=name.endswith(".jsonl"), dtype=False, convert_dates=False)
        return pd.read_csv(source, sep=delimiter or _delimiter(source), dtype=str, keep_default_na=False)
    except ImportError as error:
        raise InputError(f"{source}: reading it needs another package ({error})") from None
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{source}: cannot be read as a table ({str(error)[:160]})") from None


def _delimiter(source: Path) -> str:
    """The delimiter that cuts the header into most columns."""
    import gzip

    with gzip.open(source, "rt") if source.name.endswith(".gz") else source.open() as file:
        header = file.readline()
    return max(",;\t|", key=header.count)


def _column(frame: pd.DataFrame, named: str | None, usual: tuple[str, ...], source: Path, option: str) -> Any:
    found = {str(name).strip().lower(): name for name in frame.columns}
    if named is not None:
        if named.lower() not in found:
            raise InputError(f"{source}: no column {named!r}; found {', '.join(map(str, frame.columns))[:200]}")
        return found[named.lower()]
    fitting = [found[name] for name in usual if name in found]
    if not fitting and frame.shape[1] == 1:
        fitting = [frame.columns[0]]
    if not fitting:
        shown = ", ".join(map(str, frame.columns))[:200]
        raise InputError(f"{source}: which column? type {option} COLUMN; found {shown}")
    return fitting[0]
