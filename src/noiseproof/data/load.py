"""One door to all data: a name that is registered, or the path of the user's own data."""

from __future__ import annotations

import os
import re
from pathlib import Path

from noiseproof.data.dataset import Data
from noiseproof.data.readers.own import load_own
from noiseproof.data.registry import DATASETS, DataSet, default_root
from noiseproof.errors import DataMissingError, UnknownNameError

__all__ = ["load", "named", "path_of"]

_NAME = re.compile(r"\s*[A-Za-z][A-Za-z0-9_-]*\s*(\(.*\))?\s*\Z", re.DOTALL)


def load(text: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None) -> Data:
    """Read a data set by name, or the user's own data by its path.

    Args:
        text: `digits`, `mnist`, `fashion-mnist`, `cifar10`, `cifar100`, `webvision`, `clothing1m`; or the path of a
            folder of class folders, of a `.csv`, of a `.txt` list of images or of an `.npz`.
        root: the folder that holds the files of named data sets, $NOISEPROOF_DATA or else `data` unless given; paths
            of images in a CSV or a list are relative to it, or to the folder of that file.

    Raises:
        UnknownNameError: neither a name nor a path that exists.
        DataError: a file is missing, damaged, unsafe or not what it should be.

    Example:
        >>> data = load("digits")
        >>> tuple(data.train.inputs.shape), data.num_classes
        ((1438, 64), 10)
    """
    words = os.fspath(text)
    path = path_of(words, root)
    entry = None if isinstance(text, Path) else named(words, otherwise=path)
    if entry is not None:
        return entry.load(Path(root) if root is not None else default_root())
    if path is None:
        raise DataMissingError(
            f"no file or folder {words!r}; give a path that exists or one of {', '.join(DATASETS.names())}"
        )
    return load_own(path, root=None if root is None else Path(root))


def named(words: str, *, otherwise: Path | None = None) -> DataSet | None:
    """The data set that a text names; None if it is no name, or an unknown one while a path is there to be taken.

    Raises:
        UnknownNameError: nothing has that name.
    """
    name = words.partition("(")[0].strip().lower()
    if not _NAME.match(words) or (otherwise is not None and name not in DATASETS):
        return None
    try:
        DATASETS[name]
    except UnknownNameError as error:
        raise UnknownNameError(f"{error}, and there is no file or folder of that name") from None
    return DATASETS.build(words)


def path_of(words: str, root: str | os.PathLike[str] | None = None) -> Path | None:
    """The path that a text names, here or under the root, if there is one."""
    places = [Path(words)] if root is None else [Path(words), Path(root) / words]
    try:
        return next((place for place in places if place.exists()), None)
    except (OSError, ValueError):  # longer than any name, or with a NUL
        return None
