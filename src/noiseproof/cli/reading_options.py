"""Options of reading, for every command that reads data, and the account of the reading at the top of its output."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from typer.models import ArgumentInfo

from noiseproof.cli.lazy_torch import lazy_torch
from noiseproof.cli.options import wrap_commands

__all__ = ["accept_reading_options", "accounts_shown"]

_SMALL = 256 * 1024  # bytes that are read twice without being felt
_PANEL = "Reading your own data"
_OPTIONS: dict[str, tuple[Any, str, str, str]] = {
    "label": (str | None, "--label", "COLUMN", "Column of the labels."),
    "path": (str | None, "--path", "COLUMN", "Column of the pictures' paths."),
    "text": (str | None, "--text", "COLUMN", "Column of the texts."),
    "id": (str | None, "--id", "COLUMN", "Column that names each sample; it is no feature."),
    "drop": (list[str] | None, "--drop", "COLUMNS", "Columns that are not learned from, with commas between them."),
    "annotators": (list[str] | None, "--annotators", "COLUMNS", "One column an annotator, or that of their names."),
    "delimiter": (str | None, "--delimiter", "CHARACTER", "Character between two values; tab for a tab."),
    "encoding": (str | None, "--encoding", "NAME", "Encoding of a text file, such as latin-1. [utf-8]"),
    "soft": (bool, "--soft", "", "Learn from annotators' shares or probabilities, not from the likeliest class."),
    "strict": (bool, "--strict", "", "Stop at an item that cannot be used, instead of leaving it out."),
}  # fmt: skip


def accept_reading_options(app: typer.Typer) -> None:
    """Give every command with an argument `data` the options of reading; it gets them as part of that text."""
    wrap_commands(app, _with_options)


def _with_options(command: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(command, eval_str=True)
    data = signature.parameters.get("data")
    said = () if data is None else get_args(data.annotation)
    if not any(isinstance(each, ArgumentInfo) for each in said) or said[0] is Path:
        return command  # a path alone: `predict` reads new items, which have no labels
    free = [name for name in _OPTIONS if name not in signature.parameters]

    @wraps(command)
    def run(**given: Any) -> None:
        said = {name: given.pop(name) for name in free}
        form = given.get("format_") or given.get("format") or "text"
        to_stderr = bool(given.get("as_json")) or getattr(form, "value", form) != "text"
        with ExitStack() as until_done:
            with lazy_torch():
                from noiseproof.data.load import with_options

                given["data"] = with_options(given["data"], **said) if given["data"] is not None else None
                until_done.enter_context(accounts_shown(to_stderr))
                if not given.get("own_imports"):  # which may register data sets
                    check(given["data"], given.get("data_root"))
            command(**given)

    options = [_parameter(name) for name in free]
    parameters = [*signature.parameters.values(), *options]
    parameters = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in parameters]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


@contextmanager
def accounts_shown(to_stderr: bool = False) -> Iterator[None]:
    """Print the account of each source of own data that is read meanwhile."""
    from noiseproof.data import reading_account

    with reading_account.listening(lambda found: _tell(found.lines(), to_stderr)):
        yield


def check(data: str | None, root: Path | None) -> None:
    """Read a small table at once, so that a mistake in it is answered before anything else is loaded.

    Raises:
        DataError: the file cannot be used.
        UnknownNameError: neither a data set nor a path.
    """
    from noiseproof.data.load import load, named, path_of
    from noiseproof.data.named.noisy_cifar import FILES

    if data is None or data in FILES:  # published labels, which `data check` looks at
        return
    path = path_of(data, root)
    if path is None:
        if named(data) is None:
            load(data, root=root)  # says what it may be
    elif path.is_file() and path.stat().st_size <= _SMALL:
        load(data, root=root)


def _parameter(name: str) -> inspect.Parameter:
    kind, option, metavar, text = _OPTIONS[name]
    default = False if kind is bool else None
    info = typer.Option(option, metavar=metavar or None, help=text, rich_help_panel=_PANEL)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info])


def _tell(lines: list[str], to_stderr: bool) -> None:
    from noiseproof.escaping import visible

    if os.environ.get("RANK", "0") != "0":
        return  # the first process of a team speaks
    for line in lines:
        print(visible(line, None), file=sys.stderr if to_stderr else sys.stdout, flush=True)
