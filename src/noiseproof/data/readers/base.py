"""Options of a reading, and the registry of the forms that can be read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noiseproof.data.dataset import Split
from noiseproof.data.reading_account import Reading

if TYPE_CHECKING:
    from noiseproof.data.readers.annotators import Annotations

__all__ = ["READERS", "Form", "Parts", "ReadingOptions", "reader"]


@dataclass(frozen=True)
class ReadingOptions:
    """Options of reading as the user gave them; others are guessed, and the guess is printed.

    Args:
        label: column of the labels.
        path: column of the pictures' paths.
        text: column of the texts.
        id: column that names each sample; it is no feature.
        drop: columns that are not learned from.
        annotators: columns with one answer each, or the column that names the annotator.
        delimiter: character between the values of a row.
        encoding: of the characters of a text file, such as `latin-1`; UTF-8 unless given.
        soft: give the losses the shares of the answers, or the probabilities, to train on; not only the consensus.
        strict: stop at the first item that cannot be used, instead of leaving it out.
        root: folder that picture paths are relative to.
    """

    label: str | None = None
    path: str | None = None
    text: str | None = None
    id: str | None = None
    drop: tuple[str, ...] = ()
    annotators: tuple[str, ...] = ()
    delimiter: str | None = None
    encoding: str | None = None
    soft: bool = False
    strict: bool = False
    root: Path | None = None

    def given(self) -> dict[str, Any]:
        """The options that differ from their default, without the root."""
        return {
            f.name: getattr(self, f.name)
            for f in fields(self)
            if f.name != "root" and getattr(self, f.name) != f.default
        }

    def columns(self) -> tuple[str, ...]:
        """Every column that an option names."""
        single = (self.label, self.path, self.text, self.id)
        return (*(name for name in single if name is not None), *self.drop, *self.annotators)


@dataclass(frozen=True)
class Parts:
    """Labelled samples as a reader hands them over: training, test and validation part, where the source has them.

    Args:
        train, test, validation: the parts.
        annotations: votes or probabilities that the labels come from.
        hashes: SHA-256 of the image files, by path, as they were when they were looked at.
    """

    train: Split
    test: Split | None = None
    validation: Split | None = None
    annotations: Annotations | None = None
    hashes: Mapping[str, bytes] = field(default_factory=dict)


Read = Callable[[Path, ReadingOptions, Reading], Parts]


@dataclass(frozen=True)
class Form:
    """A form that can be read: its name, the test whether a path has it, and the reader."""

    name: str
    sniff: Callable[[Path], bool]
    read: Read


READERS: list[Form] = []


def reader(name: str, sniff: Callable[[Path], bool]) -> Callable[[Read], Read]:
    """Register a reader; the first one whose test fits is taken, so the more special ones come first."""

    def register(read: Read) -> Read:
        READERS.append(Form(name, sniff, read))
        return read

    return register
