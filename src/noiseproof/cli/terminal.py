"""Output that harms no terminal: control sequences are made visible, letters that it lacks are replaced.

Labels and file names come from elsewhere and may hold escape sequences, which a terminal would obey. Everything that
commands print goes through here; only rich, which colours tables and draws bars, writes to the terminal itself.
"""

from __future__ import annotations

import codecs
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from noiseproof.escaping import visible

__all__ = ["harmless", "harmless_output"]

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]|\r(?!\n)")


def harmless(text: str) -> str:
    r"""The text with control characters, and those that turn the direction of the line around, as their codes.

    Example:
        >>> print(harmless("a\x1b[31mb"), harmless("safe\u202eexe.txt"))
        a\x1b[31mb safe\u202eexe.txt
    """
    return _CONTROL.sub(lambda found: visible(found[0]), text)


class _Harmless:
    """A text stream whose every line is made harmless on the way."""

    encoding = "utf-8"  # it takes any text; click goes around a stream that says it is ASCII

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.rich_proxied_file = stream  # where rich writes its own control sequences

    def write(self, text: str) -> int:
        self._stream.write(harmless(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


# What stands for signs that an ASCII terminal lacks; other letters are written as their codes.
_PLAIN = {"±": "+-", "−": "-", "–": "-", "—": "-", "…": "...", "×": "x", "·": "*", "≤": "<=", "≥": ">=", "→": "->"}


def _plainly(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    letters = error.object[error.start : error.end]
    return "".join(_PLAIN.get(c, c.encode("ascii", "backslashreplace").decode()) for c in letters), error.end


@contextmanager
def harmless_output() -> Iterator[None]:
    """Make stdout and stderr harmless, and able to take any text, until the block ends."""
    codecs.register_error("noiseproof-plain", _plainly)
    before = sys.stdout, sys.stderr
    for stream in before:
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="noiseproof-plain")
    sys.stdout, sys.stderr = _Harmless(before[0]), _Harmless(before[1])
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
