"""Numbers as people and spreadsheets write them: decimal commas, thousands separators, gaps."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from math import inf, nan

import numpy as np
import numpy.typing as npt

__all__ = ["MISSING", "decimal_marks", "is_missing", "to_numbers", "without_unit"]

# texts that stand for a gap among numbers; among labels they are names
MISSING = frozenset(["", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "?", "-", ".", "<na>", "missing", "\\n"])
_UNITS = frozenset("%\u2030$\u20ac\u00a3\u00a5\u20b9")  # per cent, per mille, dollar, euro, pound, yen, rupee
_TRUTH = {"true": 1.0, "false": 0.0}

# a number with separators of thousands does not begin with 0: 0,280 has a decimal comma
_EXPONENT = r"(?:[eE][+-]?\d+)?"
_POINT = re.compile(
    rf"[+-]?(?:\d+\.?\d*|\.\d+|(?:[1-9]\d{{0,2}}(?:[,' \u00a0\u202f]\d{{3}})+|[1-9]\d?(?:,\d\d)+,\d{{3}})(?:\.\d+)?)"
    rf"{_EXPONENT}\Z",
    re.ASCII,
)
_COMMA = re.compile(
    rf"[+-]?(?:\d+,?\d*|,\d+|[1-9]\d{{0,2}}(?:[.' \u00a0\u202f]\d{{3}})+(?:,\d+)?){_EXPONENT}\Z", re.ASCII
)
_INFINITE = re.compile(r"[+-]?inf(inity)?\Z", re.IGNORECASE)


def is_missing(text: str) -> bool:
    """Test for a text that stands for a gap among numbers.

    Example:
        >>> is_missing("N/A"), is_missing("0")
        (True, False)
    """
    return text.strip().casefold() in MISSING


def without_unit(texts: Sequence[str]) -> Sequence[str]:
    """Texts without the sign of per cent or money that every one of them has, gaps apart.

    Example:
        >>> without_unit(["12%", "", "3.5 %"]), without_unit(["$1,200", "-$3"]), without_unit(["12%", "0.12"])
        (['12', '', '3.5'], ['1,200', '-3'], ['12%', '0.12'])
    """
    known = [text.strip() for text in texts if not is_missing(text)]
    first = known[0].lstrip("+-(")[:1] + known[0][-1:] if known else ""
    for sign in _UNITS & set(first):
        if all(text.count(sign) == 1 and (text.endswith(sign) or text.lstrip("+-").startswith(sign)) for text in known):
            return [text if is_missing(text) else text.replace(sign, "").strip() for text in texts]
    return texts


def decimal_marks(texts: Iterable[str]) -> set[str]:
    """Decimal marks under which every text that is no gap is a number; both where no text tells them apart.

    Example:
        >>> decimal_marks(["3,14", "2"]), decimal_marks(["1,234.5"]), decimal_marks(["1,234"]) == {".", ","}
        ({','}, {'.'}, True)
        >>> decimal_marks(["0,280"]), decimal_marks(["0.280"])
        ({','}, {'.'})
    """
    marks = {".", ","}
    for text in texts:
        plain = text.strip()
        if plain.casefold() in MISSING:
            continue
        for mark, pattern in ((".", _POINT), (",", _COMMA)):
            if mark in marks and not pattern.match(plain):
                marks.discard(mark)
        if not marks:
            break
    return marks


def to_numbers(texts: Sequence[str], mark: str = ".") -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Numbers of texts; NaN is a gap.

    Args:
        texts: the texts.
        mark: the decimal mark; the other one separates thousands.

    Returns:
        The numbers, and for each text whether it is neither a number nor a gap (an infinite one is not a number).

    Example:
        >>> to_numbers(["1,234.5", "NA", "x"])[0].tolist()[0], to_numbers(["1,234.5", "NA", "x"])[1].tolist()
        (1234.5, [False, False, True])
    """
    values = np.fromiter((_number(text, mark) for text in texts), np.float64, len(texts))
    return np.where(np.isinf(values), nan, values), np.isinf(values)


def _number(text: str, mark: str) -> float:
    """The number, NaN for a gap, infinity for anything else."""
    plain = text.strip()
    if (plain.casefold()) in MISSING:
        return nan
    if not (_POINT if mark == "." else _COMMA).match(plain):
        return _TRUTH.get(plain.casefold(), inf)
    for separator in ("," if mark == "." else ".", "'", " ", "\u00a0", "\u202f"):
        plain = plain.replace(separator, "")
    return float(plain.replace(",", "."))
