"""Data sets in memory: plain tensors or paths, given labels, and the truth where it is known."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import torch

from noiseproof import rng
from noiseproof.data.inputs import Files, Inputs, Texts, concatenated, is_frame, samples
from noiseproof.data.io import file_hashes
from noiseproof.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from noiseproof.data.readers.annotators import Annotations
    from noiseproof.data.reading_account import Reading

__all__ = [
    "Data",
    "Files",
    "HeldOut",
    "Inputs",
    "Origin",
    "Split",
    "Texts",
    "fingerprint",
    "is_frame",
    "offenders",
    "samples",
    "stratified",
]


@dataclass(frozen=True, eq=False)
class Origin:
    """Origin of each sample, in the user's own terms; it follows the samples through every split and output.

    Args:
        source: the file or folder that was read.
        index: zero-based position of each sample among all samples of the source, int64 (N,).
        rows: row of each sample as a spreadsheet or editor counts it (the header is row 1), int64 (N,); files with
            rows only.
        keys: value of the user's key column; with `key`, the column's name.
        paths: the file of each sample, as the user wrote it or relative to the source.
    """

    source: str
    index: np.ndarray
    rows: np.ndarray | None = None
    keys: tuple[str, ...] | None = None
    key: str = ""
    paths: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.index)

    def take(self, index: np.ndarray) -> Origin:
        """The origin of the samples at these positions."""
        where = np.asarray(index, dtype=np.int64)

        def some(texts: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if texts is None else tuple(texts[i] for i in where.tolist())

        rows = None if self.rows is None else self.rows[where]
        return Origin(self.source, self.index[where], rows, some(self.keys), self.key, some(self.paths))

    def followed_by(self, other: Origin) -> Origin:
        """The origin of these samples and then of others from the same source."""

        def both(mine: tuple[str, ...] | None, theirs: tuple[str, ...] | None) -> tuple[str, ...] | None:
            return None if mine is None or theirs is None else mine + theirs

        rows = None if self.rows is None or other.rows is None else np.concatenate([self.rows, other.rows])
        index = np.concatenate([self.index, other.index])
        return Origin(self.source, index, rows, both(self.keys, other.keys), self.key, both(self.paths, other.paths))

    def columns(self) -> dict[str, list[str] | list[int]]:
        """Columns that identify each sample in an output: the key column if there is one, else `row`, else `path`.

        `index` is the zero-based position, for programs; it comes last.
        """
        found: dict[str, list[str] | list[int]] = {}
        if self.keys is not None:
            found[self.key or "id"] = list(self.keys)
        if self.rows is not None:
            found["row"] = self.rows.tolist()
        if self.paths is not None:
            found["path"] = list(self.paths)
        return {**found, "index": self.index.tolist()}

    def name(self, position: int) -> str:
        """One sample, for a message: `pets.csv, row 14` or `pets/cat/a.jpg`.

        Example:
            >>> Origin("pets.csv", np.arange(2), rows=np.array([2, 3])).name(1)
            'pets.csv, row 3'
        """
        if self.paths is not None and self.rows is None:
            return self.paths[position]
        if self.rows is None:
            return f"{self.source}, record {self.index[position]}"
        return f"{self.source}, row {self.rows[position]}"


@dataclass(frozen=True, eq=False)
class Split:
    """Samples with their labels.

    Args:
        inputs: images uint8 (N, C, H, W), features float32 (N, D), the paths of image files, `Texts`, or a pandas
            frame of mixed columns.
        given: the labels the data came with, int64 (N,), 0 to K-1.
        clean: the true labels where they are known; training never looks at them.
        classes: the K names.
        origin: where each sample came from; None for data sets that the package knows by name.
        soft: soft targets, float32 (N, K), where they were asked for: the losses are trained on these in place of
            `given`, which holds the most probable class.

    Raises:
        DataError: the parts do not fit together, or a label lies outside 0 to K-1.
    """

    inputs: Inputs
    given: torch.Tensor
    clean: torch.Tensor | None
    classes: tuple[str, ...]
    origin: Origin | None = None
    soft: torch.Tensor | None = None

    def __post_init__(self) -> None:
        if isinstance(self.inputs, torch.Tensor):
            kind = (self.inputs.dtype, self.inputs.dim())
            if kind not in ((torch.uint8, 4), (torch.float32, 2)):
                raise DataError(
                    "inputs must be uint8 images (N, C, H, W) or float32 features (N, D), "
                    f"got {str(kind[0]).removeprefix('torch.')} {tuple(self.inputs.shape)}"
                )
        if not self.classes:
            raise DataError("a split needs at least one class, got none")
        _check_labels("given", self.given, len(self.inputs), len(self.classes))
        if self.clean is not None:
            _check_labels("clean", self.clean, len(self.inputs), len(self.classes))
        if self.soft is not None and self.soft.shape != (len(self.inputs), len(self.classes)):
            raise DataError(
                f"soft targets must be {(len(self.inputs), len(self.classes))}, got {tuple(self.soft.shape)}"
            )

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, index: Iterable[int]) -> Split:
        """The samples at these positions, in this order."""
        where = np.fromiter(index, np.int64)
        at = torch.from_numpy(where)
        return Split(
            samples(self.inputs, where),
            self.given[at],
            None if self.clean is None else self.clean[at],
            self.classes,
            None if self.origin is None else self.origin.take(where),
            None if self.soft is None else self.soft[at],
        )


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Test split taken out of own data that came without one."""

    stay: np.ndarray
    held_out: np.ndarray
    test: Split
    """The samples held out, with the labels they came with."""

    def joined(self, train: Split) -> Split:
        """Both together again, in the order they came in."""
        back = np.argsort(np.concatenate([self.stay, self.held_out]))
        parts = (train, self.test)
        known = [part.clean for part in parts if part.clean is not None]
        clean = torch.cat(known) if len(known) == len(parts) else None
        origins = [part.origin for part in parts if part.origin is not None]
        origin = origins[0].followed_by(origins[1]) if len(origins) == len(parts) else None
        inputs = concatenated([part.inputs for part in parts])
        given = torch.cat([part.given for part in parts])
        soft = [part.soft for part in parts if part.soft is not None]
        joined = Split(
            inputs, given, clean, train.classes, origin, torch.cat(soft) if len(soft) == len(parts) else None
        )
        return joined.take(back)


@dataclass(frozen=True, eq=False)
class Data:
    """A data set: what is trained on, what is tested on, and how it is told from another copy.

    Args:
        name: how the data set was asked for.
        train: its training split; noise replaces its `given` labels.
        test: its test split.
        fingerprint: SHA-256 of everything in it, hexadecimal.
        notes: what a reader of a result has to know, such as "not the official files".
        also: further test splits that the same model may be measured on, by name.
        held_out: for own data whose test split was taken out of it.
        reading: for own data, what was read, left out and assumed.
        annotations: where several annotators answered, or probabilities were given: votes, soft targets, quality.
        official: its files were compared with the published hashes, so that its name says all.
    """

    name: str
    train: Split
    test: Split
    fingerprint: str
    notes: tuple[str, ...] = ()
    also: Mapping[str, Split] = field(default_factory=lambda: MappingProxyType({}))
    held_out: HeldOut | None = None
    reading: Reading | None = None
    official: bool = False
    annotations: Annotations | None = None

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes."""
        return self.train.classes

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.train.classes)

    def everything(self) -> Split:
        """All samples that may be judged: the training split, with what was held out of own data, in its own order."""
        return self.train if self.held_out is None else self.held_out.joined(self.train)


def fingerprint(*splits: Split, hashes: Mapping[str, bytes] = MappingProxyType({})) -> str:
    """SHA-256 over inputs, labels and class names; of image files over their bytes, wherever they lie.

    Files that have not changed since an earlier call are not read again, see `data.io.file_hashes`.

    Args:
        splits: the splits, whose order matters.
        hashes: SHA-256 of image files that the caller has just read, by path.
    """
    digest = hashlib.sha256(b"noiseproof/data/v1")
    for split in splits:
        if isinstance(split.inputs, torch.Tensor):
            _add(digest, split.inputs)
        elif isinstance(split.inputs, Texts):
            for text in split.inputs:
                digest.update(f"{len(text)}\0{text}".encode("utf-8", "surrogatepass"))
        elif is_frame(split.inputs):
            _add_frame(digest, split.inputs)
        else:
            digest.update(b"files\0")
            names = list(Files(split.inputs).names())
            known = [hashes.get(name, b"") for name in names]
            digest.update(b"".join(known) if all(known) else file_hashes.of(names))
        _add(digest, split.given)
        if split.clean is not None:
            _add(digest, split.clean)
        if split.soft is not None:
            _add(digest, split.soft)
        digest.update("\x1f".join(split.classes).encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def stratified(labels: np.ndarray, share: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Positions of a fixed split, the same share of every class held out; it depends on the labels alone.

    Returns:
        The positions that stay and the positions held out, each ascending.

    Example:
        >>> stay, held_out = stratified(np.array([0, 0, 0, 0, 1, 1, 1, 1]), share=0.25)
        >>> len(stay), len(held_out)
        (6, 2)
    """
    held_out = np.zeros(len(labels), dtype=bool)
    order = rng.permutation(len(labels), 0, "split", "held out")
    for label in np.unique(labels):
        members = order[labels[order] == label]
        held_out[members[: round(share * len(members))]] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)


def offenders(bad: np.ndarray, values: object, *, first_row: int = 0) -> str:
    """The first five rows that are wrong, for a message: "row 3: -1, row 7: 12 (and 40 more)"."""
    rows = np.flatnonzero(bad)
    shown = ", ".join(f"row {row + first_row}: {str(values[row])[:40]}" for row in rows[:5])  # type: ignore[index]
    return shown + (f" (and {len(rows) - 5} more)" if len(rows) > 5 else "")


def _check_labels(name: str, labels: torch.Tensor, count: int, classes: int) -> None:
    if labels.dtype != torch.int64 or labels.shape != (count,):
        got = f"{str(labels.dtype).removeprefix('torch.')} {tuple(labels.shape)}"
        raise DataError(f"{name} labels must be int64 ({count},), got {got}")
    bad = (labels < 0) | (labels >= classes)
    if bool(bad.any()):
        raise DataError(f"{name} labels must lie in 0..{classes - 1}; {offenders(bad.numpy(), labels.tolist())}")


def _add_frame(digest: hashlib._Hash, frame: pd.DataFrame) -> None:
    import pandas as pd

    for name, column in frame.items():
        digest.update(f"{len(str(name))}\0{name}\0{column.dtype}".encode("utf-8", "surrogatepass"))
        digest.update(pd.util.hash_pandas_object(column, index=False).to_numpy().tobytes())


def _add(digest: hashlib._Hash, tensor: torch.Tensor) -> None:
    array = np.ascontiguousarray(tensor.numpy())
    digest.update(f"{array.dtype.str}{array.shape}".encode())
    digest.update(array.reshape(-1).view(np.uint8).data)
