"""The columns of the labels: one column, one an annotator, or one a class. One guess or a question."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.column_names import role_of_name
from noiseproof.data.readers.input_columns import is_text
from noiseproof.data.readers.numbers import decimal_marks, to_numbers, without_unit
from noiseproof.data.readers.table import Column, Roles, Table, shown
from noiseproof.errors import DataError

__all__ = ["find_label", "find_votes", "shares"]

_ANNOTATOR = re.compile(
    r"(ann|anno|annot|annotator|rater|coder|worker|judge|labell?er|expert|reviewer|user|vote|label|l|r|a|person|doctor|reader)"
    r"[ _.-]?(\d+|[a-z])\Z"
)  # fmt: skip
_SOFT = re.compile(
    r"(p|prob|proba|probability|soft|score|prediction|pred|label|pct|share|votes|count|n|num)[ _.:-]+(.+)\Z",
    re.IGNORECASE,
)
_IN_LIST = re.compile(r"(.+)\[\d+\]\Z")  # the columns of a list of numbers
_MOST_SOFT = 20  # columns that are tried for probabilities
_FEW = 20  # values with decimals, such as stars of 0.5 to 5, that may still be classes
_COUNTS = ("votes", "count", "n", "num")
_ITEMS = ("id", "path", "text")  # roles of columns that name an item
_FORMS = frozenset(
    {"name", "names", "text", "str", "string", "id", "idx", "index", "code", "codes", "num", "number", "encoded", "enc"}
)  # words that say in which form a label is written


def find_label(table: Table, left: list[Column], roles: Roles) -> None:
    """Give one column the role of the label, unless annotators' columns have it.

    Raises:
        DataError: none may be the label, or several; names them.
    """
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
    fits = [column for column in left if _is_class(column)]
    if len(fits) == 1 and not any(role_of_name(column.name) in ("path", "text") for column in fits):
        roles.label = roles.assumed["--label"] = fits[0].name  # the only column whose values repeat as classes do
        return
    close = next((each for word in ("label", "class", "target") for each in _close(word, table.names)), None)
    texts = [c for c in left if c.numbers is None and _may_be_label(c) and not _is_measured(c)]
    texts.sort(key=lambda column: (_has_digits(column), len(column.different)))  # words of few classes come first
    likely = [c.name for c in texts] if close is None else [close]
    say = f" {likely[0]!r}" if len(likely) == 1 else " COLUMN"
    say += f" (is it {' or '.join(map(repr, likely[:4]))}?)" if len(likely) > 1 else ""
    people = [column for column in left if column.name in likely]
    answers = [{text for text in column.different if text.strip()} for column in people]
    if len(people) > 1 and all(len(answers[0] & each) * 2 > len(answers[0] | each) for each in answers):
        say += f" (if each is an annotator's answer: --annotators {','.join(likely)})"
    if soft := _adding_up(left):
        say += f" (if they are the probabilities of the classes: --label {shlex.quote(','.join(soft))})"
    if len(table.names) == 1 and (mark := re.search(r"(?<=\w)([^\w\s\"'.-])(?=\w)", table.names[0])):
        raise DataError(
            f"{table.source}: has one column, {shown(table.names)}; are its values separated by {mark[1]!r}? then add "
            f"--delimiter '{mark[1]}'"
        )
    raise DataError(
        f"{table.source}: which column holds the labels? it needs a column 'label' in its first row, or --label{say}; "
        f"found {shown(table.names)}"
    )


def _adding_up(left: Sequence[Column]) -> list[str]:
    """Names of neighbouring columns that add up to 1 in every row, as probabilities do; empty if there are none."""
    for start in range(min(len(left), _MOST_SOFT)):
        for end in range(min(len(left), start + _MOST_SOFT), start + 1, -1):
            if shares(left[start:end]):
                return [column.name for column in left[start:end]]
    return []


def _close(word: str, names: Sequence[str]) -> list[str]:
    return difflib.get_close_matches(word, names, 1, 0.7)


def _has_digits(column: Column) -> bool:
    return any(map(str.isdigit, "".join(column.different)))


def _may_be_label(column: Column) -> bool:
    """True if the values repeat as names of classes do."""
    if column.numbers is not None:
        known = column.numbers[~np.isnan(column.numbers)]
        return len(np.unique(known[:10_000])) * 2 <= max(len(known[:10_000]), 4)
    texts, codes = column.coded
    return len(texts) * 2 <= max(len(codes), 4) or role_of_name(column.name) == "label"


def _is_class(column: Column) -> bool:
    """True if the values may be classes at all: few different ones, each several times, and no measurements."""
    if _is_measured(column):
        return False
    if column.numbers is not None:
        known = column.numbers[~np.isnan(column.numbers)]
        return bool(len(known)) and 2 <= len(np.unique(known)) <= max(2, len(known) // 5)
    texts = [text for text in column.different if text.strip()]
    return 2 <= len(texts) <= max(2, len(column.coded[1]) // 5)


def _is_measured(column: Column) -> bool:
    """True for numbers with digits after the decimal mark, point or comma, in more than a few values."""
    values = column.numbers
    if values is None:
        texts = [text for text in column.different if text.strip()]
        marks = decimal_marks(texts)
        if not texts or not marks:
            return False
        values = to_numbers(texts, "." if "." in marks else ",")[0]
    known = np.unique(values[~np.isnan(values)])
    return len(known) > _FEW and bool((known != np.floor(known)).any())


def find_votes(table: Table, left: list[Column], roles: Roles, options: ReadingOptions) -> None:
    """Find the columns of several annotators, or of a probability a class, where there is no label column."""
    if roles.votes or roles.annotator or roles.soft:
        return
    named = [roles.label] if roles.label else [c.name for c in left if role_of_name(c.name) == "label"]
    weak = [] if named else [column.name for column in left if role_of_name(column.name) == "weak label"]
    annotator = [column for column in left if role_of_name(column.name) == "annotator"]
    answer = named or weak
    item = _item(table, roles, answer[0], annotator[0]) if len(answer) == len(annotator) == 1 else None
    if item is not None:
        roles.item = item
        if roles.label is None and answer[0] != "label":
            roles.assumed["--label"] = answer[0]
        roles.label, roles.annotator = answer[0], annotator[0].name
        roles.assumed["--annotators"] = roles.annotator
        return
    if named:
        return
    groups = _answers(left)
    if len(groups) == 1:
        roles.votes = [column.name for column in groups[0]]
        roles.assumed["--annotators"] = ",".join(roles.votes)
        return
    prefixes: dict[str, list[Column]] = {}
    for column in left:
        if found := _SOFT.match(column.name.strip()):
            prefixes.setdefault(found[1].casefold(), []).append(column)
    lists: dict[str, list[Column]] = {}
    for column in left:
        if (found := _IN_LIST.match(column.name)) and role_of_name(found[1]) in ("label", "weak label"):
            lists.setdefault(found[1], []).append(column)
    for name, group in lists.items():
        if len(lists) == 1 and shares(group):
            roles.soft = [column.name for column in group]
            roles.assumed["--label"] = f"{name}[*"
            return
    for prefix, group in prefixes.items():
        if len(group) > 1 and shares(group, counts=prefix in _COUNTS):
            roles.soft = [column.name for column in group]
            roles.assumed["--label"] = f"{roles.soft[0][: len(prefix) + 1]}*"
            return
    inputs = roles.path or roles.text or any(role_of_name(column.name) in ("path", "text") for column in left)
    if weak or not inputs:
        return
    marks = [column for column in left if not role_of_name(column.name)]
    if len(marks) > 1 and shares(marks) and all(_is_mark(column) for column in marks):  # a column of 0 and 1 a class
        roles.soft = [column.name for column in marks]
        roles.assumed["--label"] = ",".join(roles.soft)


def _item(table: Table, roles: Roles, label: str, annotator: Column) -> str | None:
    """The column that names the item of each answer, where records are answers and items repeat; None where not.

    A text or picture that differs between records of one item says that the records are no answers about it.
    """
    others = [column for column in table if column.name not in (label, annotator.name, *roles.ignored)]
    named = [c for c in others if c.name in (roles.id, roles.path, roles.text) or role_of_name(c.name) in _ITEMS]
    named.sort(key=lambda c: _ITEMS.index(role_of_name(c.name)) if role_of_name(c.name) in _ITEMS else 0)
    pairs = [c for c in others if c not in named and c.numbers is None and _once_each(c, annotator)]
    for item in (*named, *pairs):
        codes = item.coded[1]
        if not 1 < len(item.coded[0]) < len(codes):
            continue
        contents = [c for c in others if c is not item and (role_of_name(c.name) in ("path", "text") or is_text(c))]
        if all(_depends(content, codes) for content in contents):
            return item.name
    return None


def _once_each(item: Column, annotator: Column) -> bool:
    """True if no annotator answers twice about an item."""
    pairs = np.stack([item.coded[1], annotator.coded[1]])
    return bool(np.unique(pairs, axis=1).shape[1] == pairs.shape[1])


def _depends(column: Column, codes: npt.NDArray[np.int64]) -> bool:
    """True if records with one code have one value."""
    pairs = np.unique(np.stack([codes, column.coded[1]]), axis=1)
    return bool(pairs.shape[1] == len(np.unique(pairs[0])))


def leave_out_copies(table: Table, left: list[Column], roles: Roles) -> None:
    """Leave out the label under another name, as `target_name` beside `target`, and annotators' answers beside it."""
    if roles.label is None:
        return
    label = table[roles.label]
    for group in _answers(left):
        named = all(re.match(r"[A-Za-z]{2}", column.name.strip()) for column in group)  # not a1, a2 among features
        if named and all(set(column.different) <= {*label.different, ""} for column in group):
            roles.ignored |= {column.name: "an annotator's answer beside the label" for column in group}
    for column in left:
        if _stem(column.name) != _stem(label.name) or len(column.different) != len(label.different):
            continue
        if _depends(column, label.coded[1]):
            roles.ignored[column.name] = f"{roles.label!r} under another name"


def _stem(name: str) -> list[str]:
    """Words of a name, without those that say in which form the value is."""
    words = re.split(r"[\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.strip()).casefold())
    return [word for word in words if word and word not in _FORMS] or words


def _answers(left: Sequence[Column]) -> list[list[Column]]:
    """Columns of several annotators' answers: names that differ in a number or letter, and the same few values."""
    stems: dict[str, list[Column]] = {}
    for column in left:
        if found := _ANNOTATOR.match(column.name.strip().casefold()):
            stems.setdefault(found[1], []).append(column)
    return [group for group in stems.values() if len(group) > 1 and _share_values(group)]


def _share_values(group: Sequence[Column]) -> bool:
    """True if the columns hold the same few texts, as answers do."""
    sets = [{text for text in column.different if text.strip()} for column in group]
    union = set().union(*sets)
    count = len(group[0].coded[1])
    return 1 < len(union) <= max(2, count // 2) and all(len(one & union) and len(one) * 4 >= len(union) for one in sets)


def shares(group: Sequence[Column], *, counts: bool = False) -> bool:
    """Test for columns whose values add up to 1, or to 100, in every row; of counts, to more than nothing."""
    total: np.ndarray | float = 0.0
    for column in group:
        values = column.numbers
        if values is None:
            texts, codes = column.coded
            found, bad = to_numbers(without_unit(texts))
            if bad.any():
                return False
            values = found[codes]
        if np.isnan(values).any() or values.min() < 0 or (counts and (values != np.floor(values)).any()):
            return False
        total = total + values
    if counts:
        return bool(np.all(total > 0))
    return bool(np.all(np.abs(total - 1) < 0.02) or np.all(np.abs(total - 100) < 2))


def _is_mark(column: Column) -> bool:
    if column.numbers is not None:
        return bool(np.isin(column.numbers, (0, 1)).all())
    return {text.strip() for text in column.different} <= {"0", "1", "0.0", "1.0"}
