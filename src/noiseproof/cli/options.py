"""Options that the commands that train share."""

from __future__ import annotations

import inspect
import re
import tomllib
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import typer

from noiseproof.errors import InputError, one_of

# Panels of a command's help.
TRAINING = "Training"
RUNNING = "Running"


def choice(*names: str, option: str = "", words: Sequence[str] = (), help: str, panel: str | None = None) -> Any:
    """Option that takes one of a few words: shown in the help, completed by the shell, checked before anything runs.

    Args:
        names: the words.
        option: the option, as `--format`.
        words: further words that the shell completes, of an option that takes others, too.
        help: what it is.
        panel: the group of the help that it belongs to.
    """
    shown = [*names, *words]

    def complete(incomplete: str) -> list[str]:
        return [name for name in shown if name.startswith(incomplete)]

    def check(value: str | None) -> str | None:
        return value if value is None or not names else one_of(option, value, names)

    metavar = f"[{'|'.join(names)}]" if names else "|".join(words)
    return typer.Option(
        option, metavar=metavar, autocompletion=complete, callback=check, help=help, rich_help_panel=panel
    )


Data = Annotated[str, typer.Argument(metavar="DATA", help="A data set's name or the path of your own data.")]
DataRoot = Annotated[
    Path | None,
    typer.Option(help="The folder that holds the data sets. [$NOISEPROOF_DATA or data]", rich_help_panel=RUNNING),
]
Recipe = Annotated[
    str | None, typer.Option(help="A recipe's name or a .toml file. [the data set's own]", rich_help_panel=TRAINING)
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Number of epochs. [the recipe's]", rich_help_panel=TRAINING)]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change a value of the recipe: train.lr=0.1; none removes it.",
        rich_help_panel=TRAINING,
    ),
]
Device = Annotated[
    str,
    choice(
        option="--device",
        words=("auto", "cpu", "cuda", "mps"),
        help="Where to compute; cuda:1 is the second GPU.",
        panel=RUNNING,
    ),
]
Precision = Annotated[
    str | None,
    choice("auto", "fp32", "tf32", "bf16", option="--precision", help="Precision of the arithmetic.", panel=TRAINING),
]
Mode = Annotated[
    str | None,
    choice("deterministic", "fast", option="--mode", help="Repeat bit for bit, or run faster.", panel=TRAINING),
]
KeepOutputs = Annotated[
    bool,
    typer.Option(
        "--keep-outputs",
        help="Also keep logits and features, for `figure histogram` and `tsne`.",
        rich_help_panel=RUNNING,
    ),
]
SaveEvery = Annotated[
    float,
    typer.Option(
        "--save-every", min=0, metavar="SECONDS", help="Time between two checkpoints of a run.", rich_help_panel=RUNNING
    ),
]
TensorBoard = Annotated[
    bool, typer.Option("--tensorboard", help="Also write curves for TensorBoard.", rich_help_panel=RUNNING)
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Number of processes. [one a GPU, else one a core]", rich_help_panel=RUNNING)
]
StuckAfter = Annotated[
    float | None,
    typer.Option(
        "--stuck-after",
        min=1,
        metavar="SECONDS",
        help="Stop a run that makes no progress for so long. [never]",
        rich_help_panel=RUNNING,
    ),
]
Imports = Annotated[
    list[str] | None,
    typer.Option(
        "--import",
        metavar="FILE.py|MODULE",
        help="Load your own parts; may be given several times.",
        rich_help_panel=RUNNING,
    ),
]


def wrap_commands(app: typer.Typer, wrap: Callable[[Callable[..., None]], Callable[..., None]]) -> None:
    """Replace every command of the app, and of the apps in it, by what `wrap` makes of it."""
    for command in app.registered_commands:
        assert command.callback is not None
        command.callback = wrap(command.callback)
    for group in app.registered_groups:
        assert group.typer_instance is not None
        wrap_commands(group.typer_instance, wrap)


def accept_imports(app: typer.Typer) -> None:
    """Give every command of the app, and of the apps in it, the option `--import`, loaded before the command runs."""
    wrap_commands(app, _with_imports)


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
