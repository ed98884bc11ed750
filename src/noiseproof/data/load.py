"""One door to all data: a registered name, the path of the user's own data, or objects of Python."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from noiseproof.data.dataset import Data
from noiseproof.data.dataset_registry import DATASETS, DataSet, default_root
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.python_objects import holds_labels, load_arrays, load_table
from noiseproof.data.readers.recognition import load_own
from noiseproof.errors import DataMissingError, InputError, UnknownNameError, did_you_mean
from noiseproof.text import parse_call, write_value

__all__ = ["load", "named", "path_of", "with_options"]

_NAME = re.compile(r"\s*[A-Za-z][A-Za-z0-9_-]*\s*(\(.*\))?\s*\Z", re.DOTALL)
_FILE = re.compile(r"\s*file\s*\(", re.IGNORECASE)


def load(
    source: Any,
    labels: Any = None,
    *,
    root: str | os.PathLike[str] | None = None,
    label: str | None = None,
    path: str | None = None,
    text: str | None = None,
    id: str | None = None,
    drop: str | Iterable[str] = (),
    annotators: str | Iterable[str] = (),
    delimiter: str | None = None,
    encoding: str | None = None,
    soft: bool = False,
    strict: bool = False,
) -> Data:
    """Read a data set by name, the user's own data by its path, or data that Python holds.

    Args:
        source: `digits`, `mnist`, `fashion-mnist`, `cifar10`, `cifar100`, `webvision`, `clothing1m`; the path of a
            folder of class folders, of a table (CSV, JSON, parquet, Excel, ...), of arrays (`.npz`) or of a labelling
            tool's export; a path with options as a text, `file("pets.csv", label=breed)`; a pandas frame, a
            dictionary of columns or a Hugging Face `Dataset`; or, with `labels`, inputs: vectors (N, D), also
            sparse, pictures, texts, paths, a frame.
        labels: one label a sample, of any type; only with inputs.
        root: the folder that holds the files of named data sets, $NOISEPROOF_DATA or else `data` unless given; paths
            of pictures in a table are relative to it, or to the folder of that file.
        label: column of the labels.
        path: column of the pictures' paths.
        text: column of the texts.
        id: column that names each sample; it is no feature.
        drop: columns that are not learned from.
        annotators: columns with one annotator's answers each, or the one column that names the annotator.
        delimiter: character between the values of a row.
        encoding: of a text file, such as `latin-1`; UTF-8 unless given.
        soft: train on soft targets, the shares of several annotators' answers or a probability a class, and not on the
            most probable class alone.
        strict: stop at the first item that cannot be used instead of leaving it out.

    Raises:
        UnknownNameError: neither a name nor a path that exists.
        DataError: a file is missing, damaged, unsafe or not what it should be, or a guess would be needed.

    Example:
        >>> data = load("digits")
        >>> tuple(data.train.inputs.shape), data.num_classes
        ((1438, 64), 10)
        >>> load({"text": ["so good", "so bad"] * 5, "label": ["+", "-"] * 5}).classes
        ('+', '-')
    """
    options = ReadingOptions(
        label, path, text, id, _names(drop), _names(annotators), delimiter, encoding, soft, strict,
        None if root is None else Path(root),
    )  # fmt: skip
    if labels is not None:
        return load_arrays(source, labels, options)
    if holds_labels(source):
        return load_table(source, options)
    if isinstance(source, tuple) and len(source) == 2:
        return load_arrays(source[0], source[1], options)
    if not isinstance(source, str | os.PathLike):
        raise InputError(
            f"data is a name, a path, a frame, records or inputs with labels, load(X, y); got a {type(source).__name__}"
        )
    return _load_text(source, options)


def with_options(source: str, **options: Any) -> str:
    """A path with the options of its reading as one text, which `load` takes; the path itself if there are none.

    Example:
        >>> with_options("pets.csv", label="breed", drop=["id", "age"])
        "file('pets.csv', label=breed, drop='id,age')"
        >>> with_options("pets.csv", label=None)
        'pets.csv'
    """
    given = {
        name: ",".join(value) if isinstance(value, list | tuple) else value for name, value in options.items() if value
    }
    said = "".join(f", {name}={write_value(value)}" for name, value in given.items())
    return f"file({write_value(source)}{said})" if given else source


def _load_text(source: str | os.PathLike[str], options: ReadingOptions) -> Data:
    words = os.fspath(source)
    if isinstance(source, str) and _FILE.match(source) and not os.path.exists(source):
        words, said = _file(source)
        options = replace(options, **said)
    root = options.root
    own = path_of(words, root)
    given = options.given()
    entry = None if isinstance(source, Path) or given else named(words, otherwise=own)
    if entry is not None:
        return entry.load(root if root is not None else default_root())
    if own is None:
        known = ", ".join(DATASETS.names())
        raise DataMissingError(f"no file or folder {words!r}; give a path that exists or one of {known}{_near(words)}")
    found = load_own(own, options)
    return replace(found, name=with_options(str(own), **given)) if given else found


def _near(words: str) -> str:
    """A hint at a file beside a path that is not there; for an address, that it is not fetched."""
    if re.match(r"\w+://", words):
        return " (addresses are not fetched; download the file first)"
    path = Path(words)
    try:
        return did_you_mean(path.name, sorted(os.listdir(path.parent)))
    except OSError:
        return ""


def _file(text: str) -> tuple[str, dict[str, Any]]:
    """Path and options of `file(PATH, label=..., ...)`."""
    call = parse_call(text)
    if len(call.values) != 1:
        raise InputError(f"write file(PATH, label=COLUMN, ...), got {text!r}")
    said: dict[str, Any] = {}
    for name, value in call.named:
        if name == "root" or name not in ReadingOptions.__dataclass_fields__:
            known = ", ".join(each for each in ReadingOptions.__dataclass_fields__ if each != "root")
            raise UnknownNameError(f"file has no parameter {name!r} (it has: {known})")
        said[name] = (
            _names(str(value))
            if name in ("drop", "annotators")
            else value
            if name in ("soft", "strict")
            else str(value)
        )
    return str(call.values[0]), said


def named(words: str, *, otherwise: Path | None = None) -> DataSet | None:
    """The data set that a text names; None if it is no name, or an unknown one while a path is there to be taken.

    Raises:
        UnknownNameError: nothing has that name.
    """
    name = words.partition("(")[0].strip().lower()
    if not _NAME.match(words) or _FILE.match(words) or (otherwise is not None and name not in DATASETS):
        return None
    try:
        DATASETS[name]
    except UnknownNameError as error:
        raise UnknownNameError(f"{error}, and there is no file or folder of that name") from None
    return DATASETS.build(words)


def path_of(words: str, root: str | os.PathLike[str] | None = None) -> Path | None:
    """The path that a text names, here or under the root, if there is one; of `file(PATH, ...)` that path."""
    if _FILE.match(words) and not os.path.exists(words):
        words = _file(words)[0]
    places = [Path(words)] if root is None else [Path(words), Path(root) / words]
    try:
        return next((place for place in places if place.exists()), None)
    except (OSError, ValueError):  # longer than any name, or with a NUL
        return None


def _names(names: str | Iterable[str]) -> tuple[str, ...]:
    """Names of columns, from a list or a text with commas between them."""
    return tuple(name.strip() for name in names.split(",") if name.strip()) if isinstance(names, str) else tuple(names)
