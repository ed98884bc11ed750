"""Dates and times as texts, read as days."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from noiseproof.data.readers.numbers import is_missing

__all__ = ["names_date", "to_days"]

_TIME = r"(?:[T ]\d{1,2}:\d\d(?::\d\d(?:\.\d{1,9})?)?(?:Z| ?[+-]\d\d:?\d\d)?)?"
_YEAR_FIRST = re.compile(rf"\d{{4}}([-/.])\d{{1,2}}\1\d{{1,2}}{_TIME}\Z")
_YEAR_LAST = re.compile(rf"(\d{{1,2}})([-/.])(\d{{1,2}})\2\d{{4}}{_TIME}\Z")


def to_days(texts: Sequence[str]) -> npt.NDArray[np.float64] | None:
    """Days since 1970 of dates, NaN for a gap; None if not every text is one, or day and month cannot be told apart.

    Example:
        >>> to_days(["1970-01-02", "", "1970-01-03 12:00"])
        array([1. , nan, 2.5])
        >>> to_days(["31/01/1970", "02/01/1970"]), to_days(["02/01/1970"]), to_days(["02.01.1970"])
        (array([30.,  1.]), None, array([1.]))
    """
    known = [text.strip() for text in texts if not is_missing(text)]
    if not known:
        return None
    if all(map(_YEAR_FIRST.match, known)):
        day_first = False
    else:
        found = [_YEAR_LAST.match(text) for text in known]
        if not all(found):
            return None
        dotted = all(match and match[2] == "." for match in found)  # no country writes the month first with dots
        first, second = (max(int(match[place]) for match in found if match) for place in (1, 3))
        if not dotted and (first > 12) == (second > 12):
            return None
        day_first = dotted or first > 12
    import pandas as pd

    try:
        times = pd.to_datetime(pd.Series(known), dayfirst=day_first, format="mixed", utc=True)
    except (ValueError, OverflowError):  # such as a 13th month
        return None
    days = np.full(len(texts), np.nan)
    days[[not is_missing(text) for text in texts]] = times.to_numpy("datetime64[ns]").astype(np.int64) / 8.64e13
    return days


def names_date(text: str) -> bool:
    """Test for a date in any form: a year, further numbers, and few words, such as the names of a day and a month."""
    words, numbers = re.findall(r"[A-Za-z]+", text), re.findall(r"\d+", text)
    year = any(re.fullmatch(r"(19|20)\d\d", number) for number in numbers)
    return len(text) <= 40 and year and len(numbers) >= 3 and len(words) <= 4 and max(map(len, words), default=0) <= 9
