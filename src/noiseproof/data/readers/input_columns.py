"""The columns that are learned from: paths of pictures, texts or features, and those that name the samples."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.column_names import role_of_name
from noiseproof.data.readers.dates import names_date, to_days
from noiseproof.data.readers.listing import PICTURE_ENDINGS
from noiseproof.data.readers.numbers import is_missing, to_numbers, without_unit
from noiseproof.data.readers.table import Column, Roles, Table
from noiseproof.data.readers.table_pictures import clean
from noiseproof.errors import DataError

__all__ = ["find_inputs", "is_text", "key_of"]

_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}\Z", re.IGNORECASE)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[A-Za-z]{2,}\Z")
_TOKEN = re.compile(r"[\w-]{8,64}\Z", re.ASCII)
_FEWEST = 10  # records from which a column of rising whole numbers is taken for a running number


def find_inputs(
    table: Table, left: list[Column], roles: Roles, options: ReadingOptions, pictures: Callable[[Sequence[str]], bool]
) -> None:
    """Give the columns that are left the roles of inputs and names of samples.

    Raises:
        DataError: two columns may hold the pictures' paths, or nothing is left to learn from.
    """
    if roles.path is None and roles.text is None:
        _find_path(table, left, roles, pictures)
    left = [column for column in left if column.name not in roles.taken()]
    _find_id(left, roles)
    left = [column for column in left if column.name not in roles.taken()]
    if roles.path is not None or roles.text is not None:
        used = "pictures" if roles.path is not None else "texts"
        for column in left:
            roles.ignored[column.name] = f"the {used} are the inputs"
        return
    texts = [column for column in left if is_text(column) and not _is_date(column)]
    dates = [column for column in left if _is_date(column)]
    only_dates = all(column in texts or column in dates or _is_constant(column) for column in left)
    if any(role_of_name(column.name) == "text" for column in texts) or (len(texts) == 1 and only_dates):
        for column in dates:
            roles.ignored[column.name] = "dates beside texts"
            left.remove(column)
    others = [column for column in left if column not in texts and not _is_constant(column)]
    if len(texts) == 1 and not others:
        roles.text = texts[0].name
        if len(table.names) > 2 or roles.text != "text":
            roles.assumed["--text"] = roles.text
        for column in left:
            if column is not texts[0]:
                roles.ignored[column.name] = "never changes"
        return
    if len(left) == 1 and role_of_name(left[0].name) == "path" and left[0].numbers is None:
        roles.path = roles.assumed["--path"] = left[0].name  # names of pictures, whatever they look like
        return
    if len(left) == 1 and left[0].numbers is None and _is_words(left[0]):
        roles.text = left[0].name
        return
    roles.features = [column.name for column in left]
    if not left:
        raise DataError(
            f"{table.source}: nothing is left to learn from beside the label"
            f"{_why(roles)}; needs a column 'path' or 'text' or feature columns"
        )


def _why(roles: Roles) -> str:
    found = {**roles.ignored, **({roles.id: "an id"} if roles.id is not None else {})}
    return f" ({', '.join(f'{name or repr(name)}: {why}' for name, why in list(found.items())[:5])})" if found else ""


def _find_path(table: Table, left: list[Column], roles: Roles, pictures: Callable[[Sequence[str]], bool]) -> None:
    words = [column for column in left if column.numbers is None]
    named = [column for column in words if column.name.strip().casefold() == "path"]
    found = named or [column for column in words if _pictures_by_ending(column)]
    if not found:
        found = _pictures_without_ending(left, pictures)
    if len(found) > 1:
        names = [column.name for column in found]
        preferred = [column for column in found if role_of_name(column.name) == "path"]
        if len(preferred) != 1:
            raise DataError(
                f"{table.source}: {' and '.join(map(repr, names[:5]))} may each hold the pictures' paths; "
                f"say which with --path {names[0]!r}"
            )
        found = preferred
    if found:
        roles.path = found[0].name
        if roles.path != "path":
            roles.assumed["--path"] = roles.path


def _pictures_without_ending(left: list[Column], pictures: Callable[[Sequence[str]], bool]) -> list[Column]:
    """The column of pictures' names, by its own name or its texts; a running number only where there is no feature."""
    if any(is_text(column) for column in left):
        return []
    features = [column for column in left if not role_of_name(column.name)]
    called = [column for column in left if role_of_name(column.name) == "path"]
    words = [c for c in left if c.numbers is None and not all(text.strip().isdigit() for text in c.different)]
    numbered = [column for column in left if role_of_name(column.name) == "id" and features in ([], [column])]
    for column in (*called, *words, *numbered):
        if 2 * len(column.different) > len(column.coded[1]) and pictures(column.different):
            return [column]
    return []


def _pictures_by_ending(column: Column) -> bool:
    texts = [text for text in column.different if text.strip()]
    return bool(texts) and all(clean(text).lower().endswith(PICTURE_ENDINGS) for text in texts)


def _find_id(left: list[Column], roles: Roles) -> None:
    for column in left:
        alone = len(left) == 1 and roles.path is None and roles.text is None
        item = column.name == roles.item and role_of_name(column.name) not in ("path", "text") and not is_text(column)
        why = "an id" if item else _id_reason(column, only=alone)
        if not why:
            continue
        if roles.id is None and _is_unique(column) and column.name:
            roles.id = roles.assumed["--id"] = column.name
        elif column.name not in (roles.id,):
            roles.ignored[column.name] = why
    if roles.id is not None and roles.id not in roles.ignored:
        roles.ignored[roles.id] = "an id"


def key_of(columns: Sequence[Column]) -> str | None:
    """The name of the first of these columns that names each item, as an id does; None: none does."""
    return next((c.name for c in columns if c.name and _is_unique(c) and _id_reason(c, only=False, fewest=1)), None)


def _id_reason(column: Column, only: bool, fewest: int = _FEWEST) -> str:
    role = role_of_name(column.name)
    if role == "id" or role == "annotator":
        return "an id" if role == "id" else "the annotator"
    if column.numbers is not None:
        return "" if only or len(column.numbers) < fewest else _running(column.numbers)
    texts, codes = column.coded
    known = [text for text in texts if not is_missing(text)]
    if known and all(_UUID.match(text.strip()) for text in known):
        return "an id"
    if known and all(_EMAIL.match(text.strip()) for text in known):
        return "an e-mail address"
    if only or len(texts) < len(codes) or len(codes) < fewest:
        return ""
    if all(re.fullmatch(r"\d{1,18}(\.0+)?", text.strip()) for text in texts):
        return _running(np.array([float(text.strip()) for text in texts]))
    if all(re.fullmatch(r"[A-Za-z]{0,8}[-_ /#]?\d{2,18}", text.strip()) for text in texts) and not all(
        text.strip().isdigit() for text in texts
    ):
        return "a code of its own for each row"
    tokens = all(_TOKEN.match(text.strip()) for text in texts) and len({len(text.strip()) for text in texts}) == 1
    mixed = sum(bool(re.search(r"\d", text) and re.search(r"[A-Za-z]", text)) for text in texts)
    return "a code of its own for each row" if tokens and mixed * 2 > len(texts) else ""


def _running(numbers: npt.NDArray[Any]) -> str:
    """The reason why numbers are no measurements: whole, each once, in order or without a gap; empty if they may be."""
    head = numbers[:_FEWEST]  # which settles it for most columns
    if not (np.isfinite(head) & (head >= 0) & (head == np.floor(head))).all() or len(np.unique(head)) < len(head):
        return ""
    if not (np.isfinite(numbers) & (numbers >= 0) & (numbers == np.floor(numbers))).all():
        return ""
    steps = np.diff(numbers)
    if (steps > 0).all() or (steps < 0).all():
        return "unique rising whole numbers, as of an id"
    without_gap = np.ptp(numbers) == len(numbers) - 1 and len(np.unique(numbers)) == len(numbers)
    return "whole numbers without a gap, each once, as of an id" if without_gap else ""


def _is_unique(column: Column) -> bool:
    texts, codes = column.coded
    return len(texts) == len(codes) and all(text.strip() for text in texts)


def is_text(column: Column) -> bool:
    """Test for a column of running text: mostly different values of several words."""
    if column.numbers is not None:
        return False
    texts, codes = column.coded
    known = [text for text in texts if text.strip()][:2000]
    if not known or not _is_words(column):
        return False
    words = sum(len(text.split()) for text in known) / len(known)
    named = role_of_name(column.name) == "text"
    return (words >= 1.5 if named else words >= 3) and (len(texts) * 2 > len(codes) or words >= 5 or named)


def _is_date(column: Column) -> bool:
    """Test for dates and times: a year, further numbers, and at most the names of a day, a month and a time zone."""
    if column.numbers is not None:
        return False
    known = [text.strip() for text in column.different if text.strip()][:200]
    return bool(known) and all(map(names_date, known))


def _is_words(column: Column) -> bool:
    known = [text for text in column.different if not is_missing(text)][:2000]
    if to_days(known) is not None:
        return False
    plain = without_unit(known)
    words = to_numbers(plain, ".")[1] & to_numbers(plain, ",")[1]
    return int(words.sum()) * 2 > len(known)


def _is_constant(column: Column) -> bool:
    if column.numbers is not None:
        return len(column.numbers) > 0 and bool((column.numbers == column.numbers[0]).all())
    return len(column.different) <= 1
