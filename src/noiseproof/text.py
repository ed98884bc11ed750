"""One text form for losses, noise, methods and data: "nce + 4*agce(a=6, q=1.5)" <-> objects.

A text is `NAME`, `NAME(key=value, ...)` and, for losses, sums of them with numbers in front. Values are
numbers, `true` and `false`, bare words, quoted strings and texts again: `elr(loss=nce + amse(a=30))`.
Texts are read with `ast`: nothing is evaluated.
"""

from __future__ import annotations

import ast
import inspect
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any

from noiseproof.errors import InputError

__all__ = [
    "Call",
    "Expression",
    "Value",
    "parse_call",
    "parse_sum",
    "shortened",
    "split_list",
    "write_call",
    "write_sum",
    "write_usage",
    "write_value",
]


class Expression(str):
    """A value that is itself a text of this form, such as `nce + amse(a=30)` in `elr(loss=nce + amse(a=30))`.

    The string is its canonical text; it is written without quotes.
    """

    __slots__ = ()


Value = bool | int | float | str

_LONGEST = 4096  # characters; every text a person writes is far shorter
_MOST_TERMS = 100


@dataclass(frozen=True)
class Call:
    """A parsed `NAME(key=value, ...)`: a name, positional values and named values."""

    name: str
    values: tuple[Value, ...] = ()
    named: tuple[tuple[str, Value], ...] = ()


# Reading


_LOSSES = "sums such as 'nce + 4*agce(a=6, q=1.5)'"


def parse_call(text: str, *, nested: bool = False, example: str = _LOSSES) -> Call:
    """Read one `NAME(key=value, ...)`. Names may hold hyphens; `nested`: values may be texts again.

    Args:
        text: what was written.
        nested: values may be texts again.
        example: a text of the kind that is read, for the message.

    Raises:
        InputError: the text is not of that form.

    Example:
        >>> parse_call("agce(a=6, q=1.5)")
        Call(name='agce', values=(), named=(('a', 6), ('q', 1.5)))
        >>> parse_call("human(worst)")
        Call(name='human', values=('worst',), named=())
    """
    terms = parse_sum(text, nested=nested, example=example)
    if len(terms) != 1 or terms[0][0] != 1:
        raise InputError(f"expected one NAME or NAME(key=value, ...), got {text!r}")
    return terms[0][1]


def parse_sum(text: str, *, nested: bool = False, example: str = _LOSSES) -> list[tuple[float, Call]]:
    """Read a sum of calls with numbers in front, as (number, call) in the order written.

    Args:
        text: what was written.
        nested: values may be texts again, as in `elr(loss=nce + mae)`; they come as `Expression`.
        example: a text of the kind that is read, for the message.

    Example:
        >>> [(k, call.name) for k, call in parse_sum("nce + 0.5*(mae + 4*rce)")]
        [(1.0, 'nce'), (0.5, 'mae'), (2.0, 'rce')]
    """
    if not isinstance(text, str):
        raise InputError(f"expected a text such as 'nce + amse(a=30)', got {text!r}")
    if len(text) > _LONGEST:
        raise InputError(f"a text has at most {_LONGEST} characters, got {len(text)}")
    try:
        tree = ast.parse(_hyphens_to_names(text.strip()), mode="eval").body
        terms = list(_terms(tree, 1.0, nested))
        if len(terms) > _MOST_TERMS:
            raise _NotThisForm(f"a sum has at most {_MOST_TERMS} terms")
        return terms
    except (SyntaxError, _NotThisForm, RecursionError, MemoryError, ValueError, OverflowError) as error:
        reason = f" ({shortened(str(error))})" if isinstance(error, _NotThisForm) else ""
        raise InputError(
            f"cannot read {shortened(repr(text))}{reason}; write NAME, NAME(key=value, ...) or {example}{_mended(text)}"
        ) from None


def _mended(text: str) -> str:
    """The hint "; did you mean 'symmetric(0.4)'?" for a percentage or a parameter without brackets, else nothing."""
    mended = re.sub(r"(\d+(?:\.\d+)?)\s*%", lambda found: f"{float(found[1]) / 100:g}", text.strip())
    mended = re.sub(r"^([A-Za-z][\w-]*)[\s:=@/]+(\d*\.?\d+|[a-z]\w*)$", r"\1(\2)", mended)
    if mended == text.strip() or len(text) > 100:
        return ""
    try:
        ast.parse(_hyphens_to_names(mended), mode="eval")
    except (SyntaxError, _NotThisForm, ValueError):
        return ""
    return f"; did you mean {mended!r}?"


class _NotThisForm(Exception):
    """A node that the text form does not have."""


def shortened(shown: str) -> str:
    """A text for a message, its middle left out if it is long."""
    return shown if len(shown) <= 200 else f"{shown[:150]} ... {shown[-40:]}"


# `jal-ce` would be a subtraction to Python's grammar; a hyphen between word characters belongs to the name.
_HYPHEN = "_hyphen_"
_QUOTED = re.compile(r"('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")")
_NO_ESCAPE = re.compile(r"\\[^'\"abfnrtvxuUN0-7]")


def _hyphens_to_names(text: str) -> str:
    parts = _QUOTED.split(text)  # what stands outside and inside quotes, in turns
    for outside in parts[::2]:
        if "#" in outside:  # a comment to Python, which would not look further
            raise _NotThisForm("'#' stands in quotes only")
    for quoted in parts[1::2]:
        if _NO_ESCAPE.search(quoted.replace(r"\\", "")):
            raise _NotThisForm("inside quotes a backslash is written twice")
    parts[::2] = [re.sub(r"(?<=[A-Za-z0-9_])-(?=[A-Za-z_])", _HYPHEN, outside) for outside in parts[::2]]
    return "".join(parts)


def _terms(node: ast.expr, factor: float, nested: bool) -> Iterator[tuple[float, Call]]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from _terms(node.left, factor, nested)
        yield from _terms(node.right, factor, nested)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        number, rest = (node.left, node.right) if _is_number(node.left) else (node.right, node.left)
        if not _is_number(number):
            raise _NotThisForm("'*' needs a number on one side")
        yield from _terms(rest, factor * float(_value(number)), nested)
    else:
        yield factor, _call(node, nested)


def _is_number(node: ast.expr) -> bool:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        return _is_number(node.operand)
    return isinstance(node, ast.Constant) and type(node.value) in (int, float)


def _call(node: ast.expr, nested: bool) -> Call:
    if isinstance(node, ast.Name):
        return Call(_name(node))
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise _NotThisForm(f"found {ast.unparse(node).replace(_HYPHEN, '-')!r} where a name belongs")
    named = []
    for given in node.keywords:
        if given.arg is None:
            raise _NotThisForm("'**' is not part of the text form")
        named.append((given.arg, _value(given.value, nested)))
    return Call(_name(node.func), tuple(_value(arg, nested) for arg in node.args), tuple(named))


def _name(node: ast.Name) -> str:
    return node.id.replace(_HYPHEN, "-")


def _value(node: ast.expr, nested: bool = False) -> Value:
    if isinstance(node, ast.Name):
        word = _name(node)
        return word == "true" if word in ("true", "false") else word
    if isinstance(node, ast.Attribute):  # the name of a file, as in transition(T.csv)
        return f"{_value(node.value)}.{node.attr.replace(_HYPHEN, '-')}"
    if _is_number(node):
        if isinstance(node, ast.UnaryOp):
            inner = _value(node.operand)
            assert isinstance(inner, int | float)
            return -inner if isinstance(node.op, ast.USub) else inner
        assert isinstance(node, ast.Constant)
        number = node.value
        assert isinstance(number, int | float)
        if not math.isfinite(number):
            raise _NotThisForm("numbers must be finite")
        return number
    if isinstance(node, ast.Constant) and isinstance(node.value, str | bool):
        return node.value
    if nested and isinstance(node, ast.Call | ast.BinOp):
        return Expression(write_sum(list(_terms(node, 1.0, nested))))
    raise _NotThisForm(f"found {ast.unparse(node).replace(_HYPHEN, '-')!r} where a number, a word or a string belongs")


def split_list(text: str, separator: str = ",") -> list[str]:
    """Split at the commas, or other separators, that stand outside brackets and quotes.

    Example:
        >>> split_list("ce, nce + 4*agce(a=6, q=1.5), jal-ce")
        ['ce', 'nce + 4*agce(a=6, q=1.5)', 'jal-ce']
        >>> split_list("jal-ce + sam(rho=0.05)", "+")
        ['jal-ce', 'sam(rho=0.05)']
    """
    parts, depth = [""], 0
    for number, piece in enumerate(_QUOTED.split(text)):
        if number % 2:
            parts[-1] += piece
            continue
        for character in piece:
            depth += (character in "([") - (character in ")]")
            if character == separator and depth == 0:
                parts.append("")
            else:
                parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


# Writing

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(-[A-Za-z_][A-Za-z0-9_]*)*\Z")


def write_value(value: Value) -> str:
    """The canonical text of a value: 4.0 is `4`, True is `true`, a word needs no quotes.

    Example:
        >>> [write_value(v) for v in (4.0, 1e-8, True, "worst", "a b.csv")]
        ['4', '1e-08', 'true', 'worst', "'a b.csv'"]
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Expression):
        return str(value)
    if isinstance(value, str):
        plain = _WORD.match(value) and value not in ("true", "false") and _HYPHEN not in value
        return value if plain and not iskeyword(value) else repr(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return repr(value)


def write_call(name: str, named: Mapping[str, Value]) -> str:
    """The canonical text of a call: the name alone when there is nothing to say.

    Example:
        >>> write_call("agce", {"a": 6.0, "q": 1.5})
        'agce(a=6, q=1.5)'
    """
    inside = ", ".join(f"{key}={write_value(value)}" for key, value in named.items())
    return f"{name}({inside})" if inside else name


def write_usage(name: str, parameters: Mapping[str, Any]) -> str:
    """The text of a call with its parameters' defaults; the names alone of those that must be given.

    Example:
        >>> write_usage("symmetric", {"rate": inspect.Parameter.empty, "convention": "exact"})
        'symmetric(rate, convention=exact)'
    """
    shown = [
        key if default is inspect.Parameter.empty else f"{key}={write_value(default)}"
        for key, default in parameters.items()
        if default is not None
    ]
    return f"{name}({', '.join(shown)})" if shown else name


def write_sum(terms: list[tuple[float, Call]]) -> str:
    """The canonical text of a sum of calls.

    Example:
        >>> write_sum(parse_sum("nce+4.0*agce(q=1.5)"))
        'nce + 4*agce(q=1.5)'
    """
    return " + ".join(
        (f"{write_value(factor)}*" if factor != 1 else "") + _write_positional(call) for factor, call in terms
    )


def _write_positional(call: Call) -> str:
    inside = [write_value(value) for value in call.values]
    inside += [f"{key}={write_value(value)}" for key, value in call.named]
    return f"{call.name}({', '.join(inside)})" if inside else call.name
