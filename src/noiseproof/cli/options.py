"""What the commands that train take alike."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from noiseproof.errors import InputError

Data = Annotated[str, typer.Argument(metavar="DATA", help="A data set's name or the path of your own data.")]
DataRoot = Annotated[Path | None, typer.Option(help="The folder that holds the data sets. [$NOISEPROOF_DATA or data]")]
Recipe = Annotated[str | None, typer.Option(help="A recipe's name or a .toml file. [the data set's own]")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's.")]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Any value of the recipe, as train.lr=0.1.")
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


def overrides(epochs: int | None, changes: Sequence[str] | None) -> dict[str, Any]:
    """`--epochs 5 --set train.lr=0.1` as recipe values."""
    found: dict[str, Any] = {} if epochs is None else {"train.epochs": epochs}
    for change in changes or []:
        key, equals, text = change.partition("=")
        if not (equals and re.fullmatch(r"\w+(\.\w+)+", key.strip())):
            raise InputError(f"--set takes KEY=VALUE with a key such as train.lr, got {change!r}")
        try:
            found[key.strip()] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            found[key.strip()] = text.strip()  # a bare word is a text
    return found
