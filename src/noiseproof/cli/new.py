"""`noiseproof new`: a small commented file that runs, to start a part of your own from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from noiseproof.errors import InputError, one_of
from noiseproof.storage import files

__all__ = ["KINDS", "new"]

_FOLDER = Path(__file__).parent / "templates"
KINDS = {
    "loss": "noiseproof train digits --import {file} --method {name} --epochs 5",
    "method": "noiseproof train digits --import {file} --method {name} --epochs 5",
    "noise": 'noiseproof noise digits "{name}(0.2)" --import {file}',
    "model": "noiseproof train digits --set model.name={file}:{title} --epochs 5",
    "augmentation": "noiseproof train digits --import {file} --set 'augment.extra=[\"{name}\"]' --epochs 5",
    "data": "noiseproof train {name} --import {file} --recipe digits --epochs 5",
    "recipe": "noiseproof train digits --recipe {file} --method my-gce --epochs 5",
}


def new(
    kind: Annotated[
        str, typer.Argument(metavar="|".join(KINDS), autocompletion=lambda: list(KINDS), help="The kind of part.")
    ],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Its name in texts, such as my-loss.")],
    out: Annotated[Path | None, typer.Option(help="The file to write. [NAME.py, or NAME.toml for a recipe]")] = None,
) -> None:
    """Write a small commented file that runs: a loss, method, noise, network, augmentation, data set or recipe.

    \b
    Examples:
    noiseproof new loss my-loss
    noiseproof new method my-method --out mine.py
    """
    one_of("the kind of part", kind, KINDS)
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z][a-z0-9]*)*", name):
        raise InputError(f"a name has small letters, digits and hyphens, such as my-loss; got {name!r}")
    suffix = ".toml" if kind == "recipe" else ".py"
    path = out or Path(name.replace("-", "_") + suffix)
    title = "".join(word.capitalize() for word in name.split("-"))
    text = (_FOLDER / f"{kind}{suffix}.txt").read_text(encoding="utf-8")
    if not files.create_once(path, text.replace("TITLE", title).replace("NAME", name)):
        raise InputError(f"{path} is there already; give another name, or --out FILE")
    typer.echo(f"wrote {path}; try: {KINDS[kind].format(file=path, name=name, title=title)}")
