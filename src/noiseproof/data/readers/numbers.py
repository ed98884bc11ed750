"""Numbers as people and spreadsheets write them: decimal commas, thousands separators, units, gaps."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from math import inf, nan

import numpy as np
import numpy.typing as npt

__all__ = ["MISSING", "decimal_marks", "is_missing", "to_numbers", "unit_of", "without_unit"]

# texts that stand for a gap among numbers; among labels they are names
MISSING = frozenset(
    [
        *("", "na", "n/a", "n.a.", "n.d.", "k.a.", "nan", "null", "none", "nil", "?", "-", "--", "---", ".", "\\n"),
        *("<na>", "missing", "unknown", "not available", "#n/a", "#div/0!", "#error!", "#name?", "#null!", "#num!"),
        *("#ref!", "#value!"),
    ]
)
# what may stand before a number; other words there make names, as in Room 12
_CURRENCIES = frozenset(
    [
        *("aud", "brl", "cad", "chf", "cny", "dkk", "eur", "fr.", "gbp", "inr", "jpy", "kr", "nok", "pln", "r$", "rs"),
        *("rs.", "sek", "us$", "usd", "zar"),
    ]
)
_IN_PARTS = re.compile(r"([+-]?)\s*([^\d\s.,'+-]*\.?)\s*([+-]?[\d.,'\s]*\d)\s*([^\d\s]*)\Z")
_OTHER_SIGNS = str.maketrans({"\u2212": "-", "\u2013": "-", "\u2019": "'", "\u066b": ".", "\u066c": "'", "\uff0e": "."})
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


def is_missing(text: str) -> bool:
    """Test for a text that stands for a gap among numbers.

    Example:
        >>> is_missing("N/A"), is_missing("0")
        (True, False)
    """
    return text.strip().casefold() in MISSING


def without_unit(texts: Sequence[str]) -> Sequence[str]:
    """Texts without the unit or currency that every one of them has, gaps apart.

    Example:
        >>> without_unit(["12%", "", "3.5 %"]), without_unit(["$1,200", "-$3"]), without_unit(["12%", "0.12"])
        (['12', '', '3.5'], ['1,200', '-3'], ['12%', '0.12'])
        >>> without_unit(["12.5 kg", "7 kg"]), without_unit(["EUR 3", "(EUR 4)"]), without_unit(["Room 1", "Room 2"])
        (['12.5', '7'], ['3', '-4'], ['Room 1', 'Room 2'])
    """
    return _split_off(texts)[0]


def unit_of(texts: Sequence[str]) -> str:
    """The unit or currency that every text has, gaps apart; empty if there is none."""
    return _split_off(texts)[1]


def _split_off(texts: Sequence[str]) -> tuple[Sequence[str], str]:
    unit, found = None, []
    for text in texts:
        if is_missing(text):
            found.append(text)
            continue
        parts = _IN_PARTS.match(_plain(text))
        if parts is None or unit not in (None, parts.group(2, 4)):
            return texts, ""
        unit = before, _ = parts.group(2, 4)
        is_money = len(before) == 1 and unicodedata.category(before) == "Sc"
        if unit == ("", "") or not (not before or is_money or before.casefold() in _CURRENCIES):
            return texts, ""
        found.append(parts[1] + parts[3])
    return found, "".join(unit or ())


def _plain(text: str) -> str:
    """A text with ASCII digits and signs; with a minus in front where it stands behind, or where brackets say it."""
    plain = text.strip()
    if not plain.isascii():
        plain = plain.translate(_OTHER_SIGNS)
        if not re.search("[0-9]", plain):  # digits of two scripts in one number are a trick or a slip
            plain = "".join(str(unicodedata.decimal(each)) if each.isdecimal() else each for each in plain)
    if plain[:1].isdigit() and plain[-1:] == "-":
        return f"-{plain[:-1].rstrip()}"
    return f"-{plain[1:-1].strip()}" if plain[:1] == "(" and plain[-1:] == ")" else plain


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
        plain = _plain(text)
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
    plain = _plain(text)
    if plain.casefold() in MISSING:
        return nan
    if not (_POINT if mark == "." else _COMMA).match(plain):
        return _TRUTH.get(plain.casefold(), inf)
    for separator in ("," if mark == "." else ".", "'", " ", "\u00a0", "\u202f"):
        plain = plain.replace(separator, "")
    return float(plain.replace(",", "."))
