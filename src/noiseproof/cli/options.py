"""What the commands that train take alike."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from noiseproof.errors import InputError

Data = Annotated[str, typer.Argument(metavar="DATA", help="A data set's name or the path of your own data.")]
DataRoot = Annotated[Path | None, typer.Option(help="The folder that holds the data sets. [$NOISEPROOF_DATA or data]")]
Recipe = Annotated[str | None, typer.Option(help="A recipe's name or a .toml file. [the data set's own]")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A value of the recipe, as train.lr=0.1; none unsets it."),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N or mps.")]
Precision = Annotated[str | None, typer.Option(help="auto, fp32, tf32 or bf16.")]
Mode = Annotated[str | None, typer.Option(help="deterministic (the same bits every time) or fast.")]
KeepOutputs = Annotated[
    bool, typer.Option("--keep-outputs", help="Also keep scores and features, for `figure histogram` and `tsne`.")
]
SaveEvery = Annotated[
    float, typer.Option("--save-every", min=0, metavar="SECONDS", help="Between two checkpoints of a run.")
]
TensorBoard = Annotated[bool, typer.Option("--tensorboard", help="Also write curves for TensorBoard.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes. [one a GPU, else one a core]")]

StuckAfter = Annotated[
    float | None,
    typer.Option("--stuck-after", min=1, metavar="SECONDS", help="Give a run up that makes no progress. [never]"),
]

Imports = Annotated[
    list[str] | None,
    typer.Option("--import", metavar="FILE.py|MODULE", help="Load your own parts; may be given several times."),
]


def accept_imports(app: typer.Typer) -> None:
    """Give every command of the app, and of the apps in it, the option `--import`, loaded before the command runs."""
    for command in app.registered_commands:
        assert command.callback is not None
        command.callback = _with_imports(command.callback)
    for group in app.registered_groups:
        assert group.typer_instance is not None
        accept_imports(group.typer_instance)


def _with_imports(command: Callable[..., None]) -> Callable[..., None]:
    signature = inspect.signature(command, eval_str=True)
    if "own_imports" in signature.parameters:
        return command

    @wraps(command)
    def run(*, own_imports: list[str] | None = None, **given: Any) -> None:
        from noiseproof.runtime import own_parts

        for spec in own_imports or []:
            own_parts.load(spec)
        command(**given)

    option = inspect.Parameter("own_imports", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Imports)
    parameters = [*signature.parameters.values(), option]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run


def overrides(epochs: int | None, changes: Sequence[str] | None) -> dict[str, Any]:
    """`--epochs 5 --set train.lr=0.1` as recipe values."""
    found: dict[str, Any] = {} if epochs is None else {"train.epochs": epochs}
    for change in changes or []:
        key, equals, text = change.partition("=")
        if not (equals and re.fullmatch(r"\w+(\.\w+)+", key.strip())):
            raise InputError(f"--set takes KEY=VALUE with a key such as train.lr, got {change!r}")
        if text.strip().lower() in ("", "none", "null"):
            found[key.strip()] = None  # what the recipe says is taken away, so that the default holds
            continue
        try:
            found[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            found[key.strip()] = text.strip()  # a bare word is a text
    return found
