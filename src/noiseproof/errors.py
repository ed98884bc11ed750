"""Errors of noiseproof: each says what was accepted, what came and what to type instead.

    NoiseproofError
    ├── InputError            the caller can mend it: a name, a number, a file (exit code 2)
    │   ├── UnknownNameError  no such loss, noise, method, ... ; says the nearest one
    │   └── DataError         a file that is read is missing, damaged or not what it should be
    │       └── DataMissingError
    └── MachineError          the machine or a disk failed; rerunning may work (exit code 3)

A loss that is called raises torch's own exception types and words instead, because it stands in for
`torch.nn.functional.cross_entropy`.
"""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Iterable, Mapping
from numbers import Real

__all__ = [
    "DataError",
    "DataMissingError",
    "InputError",
    "MachineError",
    "NoiseproofError",
    "UnknownNameError",
    "did_you_mean",
    "in_range",
    "one_of",
    "true_or_false",
]


class NoiseproofError(Exception):
    """Base of every error that noiseproof raises on purpose; its text is written for the user."""

    exit_code = 1


class InputError(NoiseproofError, ValueError):
    """Input that cannot be used; the message says what could be."""

    exit_code = 2


class UnknownNameError(InputError, LookupError):
    """A name that nothing is registered under."""


class DataError(InputError):
    """A file that was read is damaged, unsafe or not what it is said to be."""


class DataMissingError(DataError):
    """A file or folder that is needed is not there."""


class MachineError(NoiseproofError):
    """The disk, the memory or a process failed; nothing that was finished is lost."""

    exit_code = 3


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """The hint "; did you mean 'gce'?" for a near miss, else nothing.

    Example:
        >>> did_you_mean("gcee", ["ce", "gce", "mae"])
        "; did you mean 'gce'?"
        >>> did_you_mean("quux", ["ce", "gce", "mae"])
        ''
    """
    written = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), list(written), n=1, cutoff=0.6)
    return f"; did you mean {written[close[0]]!r}?" if close else ""


def one_of(what: str, value: str, accepted: Iterable[str], *, synonyms: Mapping[str, str] | None = None) -> str:
    """`value`, if it is among the accepted words.

    Args:
        what: what the words are, for the message.
        value: the word that came.
        accepted: the words.
        synonyms: the accepted word that others stand for; the message proposes it.

    Raises:
        UnknownNameError: it is not; the message lists them all.
    """
    accepted = list(accepted)
    if value in accepted:
        return value
    meant = (synonyms or {}).get(value.lower())
    hint = f"; did you mean {meant!r}?" if meant else did_you_mean(value, accepted)
    raise UnknownNameError(f"{what} must be one of {', '.join(accepted)}; got {value!r}{hint}")


def in_range(
    name: str, value: float, low: float, high: float = math.inf, *, above: bool = False, below: bool = False
) -> float:
    """`value` as a float, if it lies between the bounds.

    Args:
        name: the parameter's name, for the message.
        value: any finite number.
        low: smallest accepted value.
        high: largest accepted value.
        above: `low` itself is refused.
        below: `high` itself is refused.

    Raises:
        InputError: the value is no number, not finite or outside.

    Example:
        >>> in_range("q", 0.7, 0, 1, above=True)
        0.7
        >>> in_range("q", 1.7, 0, 1, above=True)
        Traceback (most recent call last):
        noiseproof.errors.InputError: q must lie in (0, 1], got q=1.7
    """
    number = isinstance(value, Real) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
    if number and (low < value if above else low <= value) and (value < high if below else value <= high):
        return float(value)
    left, right = "(" if above else "[", ")" if below or high == math.inf else "]"
    raise InputError(f"{name} must lie in {left}{low:g}, {high:g}{right}, got {name}={value!r}")


def true_or_false(name: str, value: bool) -> bool:
    """`value`, if it is a truth value.

    Raises:
        InputError: it is anything else, 0 and 1 included.

    Example:
        >>> true_or_false("detach", 1)
        Traceback (most recent call last):
        noiseproof.errors.InputError: detach must be true or false, got detach=1
    """
    if isinstance(value, bool):
        return value
    raise InputError(f"{name} must be true or false, got {name}={value!r}")
