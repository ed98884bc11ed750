"""Roles of the columns of a table: the label, the inputs, and what is no input. One guess or a question."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.listing import PICTURE_ENDINGS
from noiseproof.data.readers.names import role_of_name
from noiseproof.data.readers.numbers import is_missing, to_numbers
from noiseproof.data.readers.table import Column, Table, shown
from noiseproof.errors import DataError

__all__ = ["Roles", "assign", "is_text"]


_UUID = re.compile(r"[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}\Z", re.IGNORECASE)
_ANNOTATOR = re.compile(
    r"(ann|anno|annot|annotator|rater|coder|worker|judge|labell?er|expert|reviewer|user|vote|label|l|r|a|person|doctor|reader)"
    r"[ _.-]?(\d+|[a-z])\Z"
)  # fmt: skip
_SOFT = re.compile(r"(p|prob|proba|probability|soft|score|prediction|pred|label)[ _.:-]+(.+)\Z", re.IGNORECASE)
_FEWEST = 10  # records from which a column of rising whole numbers is taken for a running number


@dataclass
class Roles:
    """Columns of a table by role."""

    label: str | None = None
    clean: str | None = None
    split: str | None = None
    id: str | None = None
    path: str | None = None
    text: str | None = None
    annotator: str | None = None
    votes: list[str] = field(default_factory=list)
    soft: list[str] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    ignored: dict[str, str] = field(default_factory=dict)
    assumed: dict[str, str] = field(default_factory=dict)


def assign(table: Table, options: ReadingOptions, pictures: Callable[[Sequence[str]], bool]) -> Roles:
    """The role of each column.

    Args:
        table: the table.
        options: what the user said.
        pictures: tests whether texts name pictures that lie beside the table.

    Raises:
        DataError: no column, or more than one, may be the label, or nothing is left to learn from.
    """
    roles = Roles()
    for name in options.columns():
        if name != options.label or not name.endswith("*"):
            _ = table[name]  # an unknown name is refused
    _said(table, options, roles)
    left = [column for column in table if column.name not in _taken(roles)]
    for column in list(left):
        if _is_empty(column) and role_of_name(column.name) != "label":
            roles.ignored[column.name] = "empty"
            left.remove(column)
    left = _by_name(table, left, roles, "clean", "split")
    _find_votes(table, left, roles, options)
    left = [column for column in left if column.name not in _taken(roles)]
    _find_label(table, left, roles)
    left = [column for column in left if column.name not in _taken(roles)]
    _find_inputs(table, left, roles, options, pictures)
    return roles


def _said(table: Table, options: ReadingOptions, roles: Roles) -> None:
    """Roles that the options or the form fix."""
    for role in ("label", "path", "text", "id"):
        said = getattr(options, role)
        name = said if said is not None else table.known.get(role)
        if role == "label" and name is not None and name.endswith("*") and name not in table:
            roles.soft = [each for each in table.names if each.casefold().startswith(name[:-1].casefold())]
            if len(roles.soft) < 2 or not _sum_to_one([table[each] for each in roles.soft]):
                raise DataError(
                    f"{table.source}: the columns {name} must be two or more probabilities that add up to 1; "
                    f"there are: {shown(roles.soft) or 'none'}"
                )
        elif name is not None and (said is not None or name in table):
            setattr(roles, role, table[name].name)
    roles.ignored |= table.ignored
    for name in options.drop:
        roles.ignored[table[name].name] = "dropped"
    if len(options.annotators) == 1:
        roles.annotator = table[options.annotators[0]].name
    elif options.annotators:
        roles.votes = [table[name].name for name in options.annotators]


def _taken(roles: Roles) -> set[str]:
    single = (roles.label, roles.clean, roles.split, roles.id, roles.path, roles.text, roles.annotator)
    return {name for name in single if name is not None} | set(roles.votes) | set(roles.soft) | set(roles.ignored)


def _is_empty(column: Column) -> bool:
    if column.numbers is not None:
        return len(column.numbers) > 0 and bool(np.isnan(column.numbers).all())
    return all(text.strip() in ("", "[]", "{}") for text in column.different)


def _by_name(table: Table, left: list[Column], roles: Roles, *wanted: str) -> list[Column]:
    """Give the one column of each role's name that role."""
    for role in wanted:
        found = [column for column in left if role_of_name(column.name) == role]
        exact = [column for column in found if column.name.casefold() == role]
        found = exact if len(exact) == 1 else found
        if role == "split":
            found = [column for column in found if _names_parts(column)]
        if len(found) == 1 and getattr(roles, role) is None:
            setattr(roles, role, found[0].name)
            left = [column for column in left if column is not found[0]]
        elif len(found) > 1:
            raise DataError(
                f"{table.source}: {shown([column.name for column in found])} may each be the {role} column; "
                "leave the others out with --drop"
            )
    for column in list(left):
        if role_of_name(column.name) == "fold":
            roles.ignored[column.name] = "fold numbers"
            left = [other for other in left if other is not column]
    return left


def _names_parts(column: Column) -> bool:
    from noiseproof.data.readers.partition import part_of

    if column.numbers is not None:
        return False
    if column.name.strip().casefold() == "split":
        return True
    return all(part_of(text) for text in column.different if text.strip())


# Labels


def _find_label(table: Table, left: list[Column], roles: Roles) -> None:
    if roles.label is not None or roles.votes or roles.soft:
        return
    strong = [c for c in left if role_of_name(c.name) == "label" and _may_be_label(c)]
    weak = [c for c in left if role_of_name(c.name) == "weak label" and _may_be_label(c)]
    for candidates in (strong, weak):
        if len(candidates) > 1:
            names = [column.name for column in candidates]
            raise DataError(
                f"{table.source}: {' and '.join(repr(name) for name in names[:5])} may each be the label column; "
                f"say which with --label {names[0]!r} (and leave others out with --drop)"
            )
        if candidates:
            roles.label = candidates[0].name
            if roles.label != "label":
                roles.assumed["--label"] = roles.label
            return
    rest = [c for c in left if not role_of_name(c.name) or role_of_name(c.name) in ("label", "weak label")]
    if len(left) == 2:  # an input and one other column
        inputs = [c for c in left if role_of_name(c.name) in ("path", "text", "id")]
        rest = [c for c in left if c not in inputs] if len(inputs) == 1 else []
        if len(rest) == 1 and _may_be_label(rest[0]):
            roles.label = roles.assumed["--label"] = rest[0].name
            return
    close = next((each for word in ("label", "class", "target") for each in _close(word, table.names)), None)
    likely = [c.name for c in left if c.numbers is None and _may_be_label(c)]
    likely = [close] if close is not None else likely
    say = f" {likely[0]!r}; is it {' or '.join(map(repr, likely[:4]))}?" if likely else " COLUMN"
    raise DataError(
        f"{table.source}: no column is the label; needs a column 'label' in its first row, or --label{say}; "
        f"found {shown(table.names)}"
    )


def _close(word: str, names: Sequence[str]) -> list[str]:
    return difflib.get_close_matches(word, names, 1, 0.7)


def _may_be_label(column: Column) -> bool:
    """True if the values repeat as names of classes do."""
    if column.numbers is not None:
        known = column.numbers[~np.isnan(column.numbers)]
        return len(np.unique(known[:10_000])) * 2 <= max(len(known[:10_000]), 4)
    texts, codes = column.coded
    return len(texts) * 2 <= max(len(codes), 4) or role_of_name(column.name) == "label"


def _find_votes(table: Table, left: list[Column], roles: Roles, options: ReadingOptions) -> None:
    """Columns of several annotators, or of a probability a class, where there is no label column."""
    if roles.votes or roles.annotator or roles.soft:
        return
    named = [roles.label] if roles.label else [c.name for c in left if role_of_name(c.name) == "label"]
    annotator = [column for column in left if role_of_name(column.name) == "annotator"]
    if len(named) == 1 and len(annotator) == 1 and _repeats(table, roles, named[0]):
        roles.annotator = annotator[0].name
        roles.assumed["--annotators"] = roles.annotator
        return
    if named:
        return
    stems: dict[str, list[Column]] = {}
    for column in left:
        if found := _ANNOTATOR.match(column.name.strip().casefold()):
            stems.setdefault(found[1], []).append(column)
    groups = [group for group in stems.values() if len(group) > 1 and _share_values(group)]
    if len(groups) == 1:
        roles.votes = [column.name for column in groups[0]]
        roles.assumed["--annotators"] = ",".join(roles.votes)
        return
    prefixes: dict[str, list[Column]] = {}
    for column in left:
        if found := _SOFT.match(column.name.strip()):
            prefixes.setdefault(found[1].casefold(), []).append(column)
    for prefix, group in prefixes.items():
        if len(group) > 1 and _sum_to_one(group):
            roles.soft = [column.name for column in group]
            roles.assumed["--label"] = f"{roles.soft[0][: len(prefix) + 1]}*"
            return


def _repeats(table: Table, roles: Roles, label: str) -> bool:
    """True if records repeat items: some column that names an item holds the same value several times."""
    items = (roles.id, roles.path, roles.text)
    for column in table:
        if column.name != label and (column.name in items or role_of_name(column.name) in ("id", "path", "text")):
            texts, codes = column.coded
            if 1 < len(texts) < len(codes):
                return True
    return False


def _share_values(group: Sequence[Column]) -> bool:
    """True if the columns hold the same few texts, as answers do."""
    sets = [{text for text in column.different if text.strip()} for column in group]
    union = set().union(*sets)
    count = len(group[0].coded[1])
    return 1 < len(union) <= max(2, count // 2) and all(len(one & union) and len(one) * 4 >= len(union) for one in sets)


def _sum_to_one(group: Sequence[Column]) -> bool:
    total: np.ndarray | float = 0.0
    for column in group:
        values = column.numbers
        if values is None:
            texts, codes = column.coded
            found, bad = to_numbers(texts)
            if bad.any():
                return False
            values = found[codes]
        if np.isnan(values).any() or values.min() < 0 or values.max() > 1:
            return False
        total = total + values
    return bool(np.all(np.abs(total - 1) < 0.02))


# Inputs


def _find_inputs(
    table: Table, left: list[Column], roles: Roles, options: ReadingOptions, pictures: Callable[[Sequence[str]], bool]
) -> None:
    if roles.path is None and roles.text is None:
        _find_path(table, left, roles, pictures)
    left = [column for column in left if column.name not in _taken(roles)]
    _find_id(left, roles)
    left = [column for column in left if column.name not in _taken(roles)]
    if roles.path is not None or roles.text is not None:
        used = "pictures" if roles.path is not None else "texts"
        for column in left:
            roles.ignored[column.name] = f"the {used} are the inputs"
        return
    for column in list(left):
        if role_of_name(column.name) == "leftover":
            roles.ignored[column.name] = "made by noiseproof noise"
            left.remove(column)
    texts = [column for column in left if is_text(column)]
    others = [column for column in left if column not in texts and not _is_constant(column)]
    if len(texts) == 1 and not others:
        roles.text = texts[0].name
        if len(table.names) > 2 or roles.text != "text":
            roles.assumed["--text"] = roles.text
        for column in left:
            if column is not texts[0]:
                roles.ignored[column.name] = "never changes"
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
        keys = [column for column in left if role_of_name(column.name) in ("path", "id")]
        plain = [column for column in left if not role_of_name(column.name)]
        if keys and not plain:
            found = [column for column in keys if pictures(column.texts)][:1]
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


def _pictures_by_ending(column: Column) -> bool:
    texts = [text for text in column.different if text.strip()]
    return bool(texts) and all(text.strip().lower().endswith(PICTURE_ENDINGS) for text in texts)


def _find_id(left: list[Column], roles: Roles) -> None:
    for column in left:
        why = _id_reason(column, only=len(left) == 1 and roles.path is None and roles.text is None)
        if not why:
            continue
        if roles.id is None and _is_unique(column) and column.name:
            roles.id = roles.assumed["--id"] = column.name
        elif column.name not in (roles.id,):
            roles.ignored[column.name] = why
    if roles.id is not None and roles.id not in roles.ignored:
        roles.ignored[roles.id] = "an id"


def _id_reason(column: Column, only: bool) -> str:
    role = role_of_name(column.name)
    if role == "id" or role == "annotator":
        return "an id" if role == "id" else "the annotator"
    if column.numbers is not None:
        return ""
    texts, codes = column.coded
    known = [text for text in texts if not is_missing(text)]
    if known and all(_UUID.match(text.strip()) for text in known):
        return "an id"
    if only or len(texts) < len(codes) or len(codes) < _FEWEST:
        return ""
    if all(re.fullmatch(r"\d{1,18}(\.0+)?", text.strip()) for text in texts):
        numbers = np.array([float(text) for text in texts])
        steps = np.diff(numbers)
        return "unique rising whole numbers, as of an id" if (steps > 0).all() or (steps < 0).all() else ""
    if all(re.fullmatch(r"[A-Za-z]{0,8}[-_ /#]?\d{2,18}", text.strip()) for text in texts) and not all(
        text.strip().isdigit() for text in texts
    ):
        return "a code of its own for each row"
    return ""


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


def _is_words(column: Column) -> bool:
    known = [text for text in column.different if not is_missing(text)][:2000]
    words = to_numbers(known, ".")[1] & to_numbers(known, ",")[1]
    return int(words.sum()) * 2 > len(known)


def _is_constant(column: Column) -> bool:
    if column.numbers is not None:
        return len(column.numbers) > 0 and bool((column.numbers == column.numbers[0]).all())
    return len(column.different) <= 1
