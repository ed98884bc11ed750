"""Roles of the columns of a table: the label, the inputs, and what is no input. One guess or a question."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.column_names import role_of_name
from noiseproof.data.readers.input_columns import find_inputs
from noiseproof.data.readers.label_columns import find_label, find_votes, leave_out_copies, shares
from noiseproof.data.readers.part_names import flag_part, part_in, part_of
from noiseproof.data.readers.table import Column, Roles, Table, shown
from noiseproof.errors import DataError

__all__ = ["Roles", "assign"]

_NO_INPUT = {"fold": "fold numbers", "leftover": "made by noiseproof"}
_MOST_PARTS = 12  # different values of a column that names parts


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
        if name != options.label or not (name.endswith("*") or _listed(table, name)):
            _ = table[name]  # an unknown name is refused
    _said(table, options, roles)
    left = [column for column in table if column.name not in roles.taken()]
    for column in list(left):
        if _is_empty(column) and role_of_name(column.name) != "label":
            roles.ignored[column.name] = "empty"
            left.remove(column)
    left = _by_name(table, left, roles, "clean", "split")
    find_votes(table, left, roles, options)
    left = [column for column in left if column.name not in roles.taken()]
    find_label(table, left, roles)
    left = [column for column in left if column.name not in roles.taken()]
    leave_out_copies(table, left, roles)
    left = [column for column in left if column.name not in roles.taken()]
    find_inputs(table, left, roles, options, pictures)
    return roles


def _said(table: Table, options: ReadingOptions, roles: Roles) -> None:
    """Roles that the options or the form fix."""
    for role in ("label", "path", "text", "id"):
        said = getattr(options, role)
        name = said if said is not None else table.known.get(role)
        if role == "label" and name is not None and name not in table and (name.endswith("*") or _listed(table, name)):
            roles.soft = _listed(table, name) or [
                each for each in table.names if each.casefold().startswith(name[:-1].casefold())
            ]
            if len(roles.soft) < 2 or not shares([table[each] for each in roles.soft]):
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


def _listed(table: Table, name: str) -> list[str]:
    """The columns of a list with commas, such as those of a class each; empty if it is none."""
    listed = [each for each in table.names if each.startswith(f"{name}[")]
    if name not in table and len(listed) > 1:
        return listed
    names = [table[part].name for part in name.split(",") if part in table]
    return names if name not in table and len(names) == name.count(",") + 1 > 1 else []


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
            found = [column for column in found if _names_parts(column)] or [c for c in left if _is_split(c)]
        if len(found) == 1 and getattr(roles, role) is None:
            setattr(roles, role, found[0].name)
            left = [column for column in left if column is not found[0]]
        elif len(found) > 1:
            raise DataError(
                f"{table.source}: {shown([column.name for column in found])} may each be the {role} column; "
                "leave the others out with --drop"
            )
    for column in list(left):
        why = _NO_INPUT.get(role_of_name(column.name))
        if why is not None:
            roles.ignored[column.name] = why
            left = [other for other in left if other is not column]
    return left


def _is_split(column: Column) -> bool:
    """True for a column that marks a part, such as `is_train`, and for one of nothing but parts, whatever its name."""
    if column.numbers is not None and not flag_part(column.name):
        return False
    if "label" in role_of_name(column.name) or len(column.different) > _MOST_PARTS:
        return False
    found = {part_in(column.name, text) for text in column.different if text.strip()}
    return "" not in found and "train" in found and len(found) > 1


def _names_parts(column: Column) -> bool:
    if column.numbers is not None:
        return False
    if column.name.strip().casefold() == "split":
        return True
    return all(part_of(text) for text in column.different if text.strip())
