"""One door to all data: a name that is registered, or the path of the user's own data."""

from __future__ import annotations

import os
import re
from pathlib import Path

from noiseproof.data.own import load_own
from noiseproof.data.registry import DATASETS, default_root
from noiseproof.data.split import Data
from noiseproof.errors import DataMissingError
from noiseproof.text import parse_call

__all__ = ["load"]

_NAME = re.compile(r"\s*[A-Za-z][A-Za-z0-9_-]*\s*(\(.*\))?\s*\Z", re.DOTALL)


def load(text: str | os.PathLike[str], *, root: str | os.PathLike[str] | None = None) -> Data:
    """Read a data set by name, or the user's own data by its path.

    Args:
        text: `digits`, `mnist`, `fashion-mnist`, `cifar10`, `cifar100`, `webvision`, `clothing1m`; or the path of a
            folder of class folders, of a CSV file or of an `.npz` file.
        root: the folder that holds the files of named data sets; $NOISEPROOF_DATA, else `data`, unless given.

    Raises:
        UnknownNameError: neither a name nor a path that exists.
        DataError: a file is missing, damaged, unsafe or not what it should be.

    Example:
        >>> data = load("digits")
        >>> tuple(data.train.inputs.shape), data.num_classes
        ((1438, 64), 10)
    """
    folder = Path(root) if root is not None else default_root()
    words = os.fspath(text)
    if isinstance(text, str) and _NAME.match(words):
        call = parse_call(words)
        if call.name.lower() in DATASETS or not _own(words, root):
            return DATASETS[call.name].build(call).load(folder)
    path = _own(words, root)
    if path is None:
        raise DataMissingError(
            f"no file or folder {words!r}; give a path that exists or one of {', '.join(DATASETS.names())}"
        )
    return load_own(path, root=None if root is None else Path(root))


def _own(words: str, root: str | os.PathLike[str] | None) -> Path | None:
    """The path that the text names, here or under the root, if there is one."""
    places = [Path(words)] if root is None else [Path(words), Path(root) / words]
    return next((place for place in places if "\0" not in words and place.exists()), None)
