"""Account of a reading: what was read, what was left out and why, and what was assumed."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CANNOT", "Reading", "Skipped", "announce", "ascii_quoted", "listening"]

CANNOT = "pictures cannot be read"  # the reason of a picture that is damaged or none

_VERBS = {
    "have": "has", "are": "is", "were": "was", "lie": "lies", "lead": "leads", "repeat": "repeats", "stand": "stands",
    "hold": "holds",
}  # fmt: skip
_SHOWN = 5  # skipped items, classes and the like that a line names one by one


@dataclass(frozen=True)
class Skipped:
    """An item that was left out: its name in the user's terms, and the reason."""

    what: str
    why: str


@dataclass
class Reading:
    """Account of a reading of own data, printed at the top of every command and part of the JSON.

    Args:
        source: the file or folder.
        form: its form in plain words, such as "CSV" or "class folders".
        samples: the number of labelled samples of each part, by its name.
        counts: the number of samples of each class, all parts together.
        columns: columns that are learned from; empty for pictures.
        ignored: columns that are not, each with the reason.
        assumed: what was guessed, as options of the command line: `--delimiter ';'`.
        skipped: what was left out.
        notes: anything else that the user should know.
    """

    source: str
    form: str
    samples: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    ignored: dict[str, str] = field(default_factory=dict)
    assumed: dict[str, str] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def options(self) -> str:
        """Assumptions as options, ready to be typed: `--label class --delimiter ';'`."""
        return " ".join(f"{option} {shlex.quote(_typed(value))}" for option, value in self.assumed.items())

    def lines(self) -> list[str]:
        """The account as lines of text."""
        parts = ", ".join(f"{name} {count:,}" for name, count in self.samples.items())
        total = sum(self.samples.values())
        of_parts = f" ({parts})" if len(self.samples) > 1 else ""
        found = [f"read {self.source} as {self.form}: {total:,} sample{'s' if total != 1 else ''}{of_parts}"]
        if self.counts:
            found.append(f"{len(self.counts)} classes: {_listed([f'{k} {n:,}' for k, n in self.counts.items()], 20)}")
        if self.columns:
            found.append(f"columns used: {_listed(self.columns, 20)}")
        if self.ignored:
            found.append(
                "not used: " + _listed([f"{name or repr(name)} ({why})" for name, why in self.ignored.items()], 20)
            )
        if self.assumed:
            found.append(f"assumed: {self.options()}")
        return [*found, *self.left_out(), *self.notes]

    def left_out(self) -> list[str]:
        """One line for each reason why items were left out, with their number and the first of them."""
        found = []
        for why, names in _by_reason(self.skipped).items():
            line = f"left out: {len(names):,} {why if len(names) > 1 else _of_one(why)} ({_listed(names, _SHOWN)})"
            all_of_them = f"; all of them: noiseproof data check {shlex.quote(self.source)}"
            found.append(line + all_of_them if why.startswith(CANNOT) else line)
        return found

    def to_json(self) -> dict[str, Any]:
        """The account as plain values."""
        return {
            "source": self.source,
            "form": self.form,
            "samples": dict(self.samples),
            "counts": dict(self.counts),
            "classes": list(self.counts),
            "columns": list(self.columns),
            "ignored": dict(self.ignored),
            "assumed": dict(self.assumed),
            "options": self.options(),
            "skipped": [{"what": item.what, "why": item.why} for item in self.skipped],
            "notes": list(self.notes),
        }


_listeners: list[Callable[[Reading], object]] = []


@contextmanager
def listening(listener: Callable[[Reading], object]) -> Iterator[None]:
    """Call the listener with the account of each source that is read meanwhile, once a source."""
    heard: set[str] = set()

    def once(reading: Reading) -> None:
        if reading.source not in heard:
            heard.add(reading.source)
            listener(reading)

    _listeners.append(once)
    try:
        yield
    finally:
        _listeners.remove(once)


def announce(reading: Reading) -> None:
    """Hand an account to all that listen."""
    for listener in _listeners:
        listener(reading)


def ascii_quoted(name: str) -> str:
    """A name in quotes; characters outside ASCII as their codes where the name would look like another one.

    Example:
        >>> ascii_quoted("caf\\u00e9")
        "'caf\\\\xe9'"
    """
    return ascii(name)


def _typed(value: str) -> str:
    return "\\t" if value == "\t" else value


def _listed(names: Sequence[str], most: int) -> str:
    shown = ", ".join(names[:most])
    return shown + (f" and {len(names) - most:,} more" if len(names) > most else "")


def _of_one(why: str) -> str:
    """A reason said of one item.

    Example:
        >>> _of_one("rows have no label"), _of_one("files are no images"), _of_one("pictures cannot be read")
        ('row has no label', 'file is no image', 'picture cannot be read')
    """
    subject, _, rest = why.partition(" ")
    verb, _, others = rest.partition(" ")
    rest = f"{_VERBS.get(verb, verb)} {others}".replace("is no images", "is no image").replace(
        "is no texts", "is no text"
    )
    return f"{subject.removesuffix('s')} {rest}".strip()


def _by_reason(skipped: Sequence[Skipped]) -> Mapping[str, list[str]]:
    found: dict[str, list[str]] = {}
    for item in skipped:
        found.setdefault(item.why, []).append(item.what)
    return found
