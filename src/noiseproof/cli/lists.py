"""`noiseproof list`: what exists, by name."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noiseproof.cli import source_recipes
from noiseproof.cli.source_registry import SourceEntry, entries
from noiseproof.errors import one_of
from noiseproof.registry import Entry

if TYPE_CHECKING:
    from noiseproof.recipes import Method, Recipe

Rows = list[dict[str, str]]
KINDS = ("losses", "methods", "noise", "data", "models", "features", "augmentations", "recipes")


def list_names(
    what: Annotated[
        str, typer.Argument(metavar="|".join(KINDS), autocompletion=lambda: list(KINDS), help="What to list.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    recipe: Annotated[str, typer.Option(help="The recipe whose methods are listed.")] = "cifar10",
) -> None:
    """List the losses, methods, noises, data sets, models, features, augmentations or recipes that exist.

    \b
    Examples:
    noiseproof list losses
    noiseproof list methods --recipe cifar100
    """
    listings: dict[str, Callable[[], Rows]] = {
        "losses": _losses,
        "methods": lambda: _methods(recipe),
        "noise": _noise,
        "data": _data,
        "models": _models,
        "features": _features,
        "augmentations": _augmentations,
        "recipes": _recipes,
    }
    rows = listings[one_of("what to list", what, listings)]()
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    longest = max(rows[0], key=lambda column: max(len(row[column]) for row in rows))
    for column in rows[0]:
        table.add_column(column, no_wrap=column != longest)
    for row in rows:
        table.add_row(*(value.replace("[", r"\[") for value in row.values()))
    Console().print(table)


def _features() -> Rows:
    return _registered(_entries("EXTRACTORS", "features"))


def _augmentations() -> Rows:
    return _registered(_entries("AUGMENTATIONS", "data/augmentations"), "paper")


def _registered(registry: Iterable[Entry[Any] | SourceEntry], *claims: str) -> Rows:
    return [
        {
            "text": entry.usage,
            **{claim: _plain(entry.claims.get(claim)) for claim in claims},
            "what": entry.summary.partition(", see `")[0],  # the pointer to the formula is for readers of the code
        }
        for entry in sorted(registry, key=lambda entry: entry.name)
    ]


def _plain(claim: object) -> str:
    if isinstance(claim, bool):
        return "yes" if claim else "no"
    return "" if claim is None else str(claim)


def _losses() -> Rows:
    return _registered(_entries("LOSSES", "losses"), "symmetric", "active", "paper")


def _entries(registry: str, folder: str) -> Iterable[Entry[Any] | SourceEntry]:
    """The entries of a registry: from the sources, unless parts of the user's own may have joined."""
    package = f"noiseproof.{folder.partition('/')[0]}"
    found = None if package in sys.modules else entries(registry, folder)
    return found or getattr(import_module(package), registry)


def _noise() -> Rows:
    return _registered(_entries("NOISES", "noise"))


def _data() -> Rows:
    return _registered(_entries("DATASETS", "data/named"))


def _models() -> Rows:
    return _registered(_entries("MODELS", "models"))


def _recipes() -> Rows:
    if "noiseproof.recipes" in sys.modules:  # the user's own may have joined
        from noiseproof import recipes

        return [_recipe_row(recipes.load(name)) for name in recipes.names()]
    return [
        {
            "recipe": name,
            "model": values["model"]["name"],
            "epochs": str(values["train"]["epochs"]),
            "methods": str(len(values.get("methods", {}))),
            "source": values["source"],
        }
        for name, values in ((name, source_recipes.recipe(name)) for name in source_recipes.names())
    ]


def _recipe_row(recipe: Recipe) -> dict[str, str]:
    return {
        "recipe": recipe.name,
        "model": recipe.model.name,
        "epochs": str(recipe.train.epochs),
        "methods": str(len(recipe.methods)),
        "source": recipe.source,
    }


def _methods(recipe: str) -> Rows:
    registered = {entry.name: entry for entry in _entries("METHODS", "methods")}
    rows = _of_recipe(recipe, registered)
    there = {"plain", *(row["method"] for row in rows)}
    rows += [_registered_row(registered[name].usage, registered[name]) for name in sorted(registered.keys() - there)]
    additions = sorted(_entries("ADDITIONS", "methods/additions"), key=lambda entry: entry.name)
    return rows + [_registered_row(f"+ {entry.usage}", entry) for entry in additions]


def _of_recipe(recipe: str, registered: Mapping[str, Entry[Any] | SourceEntry]) -> Rows:
    """The methods of a recipe, in its order; a recipe of the package is read without torch."""
    if recipe not in source_recipes.names() or "noiseproof.recipes" in sys.modules:
        from noiseproof import recipes

        loaded = recipes.load(recipe)
        return [_method_row(loaded.method(name)) for name in loaded.methods]
    known = {entry.name: entry.parameters for entry in [*_entries("LOSSES", "losses"), *registered.values()]}
    values = source_recipes.recipe(recipe)
    return [
        {
            "method": name,
            "loss": source_recipes.canonical(entry.get("method") or entry["loss"], known),
            "L1": f"{entry.get('l1', 0):g}",
            "L2": f"{entry.get('l2', values['train'].get('l2', 0)):g}",
            "source": entry.get("source", values["source"]),
        }
        for name, entry in values.get("methods", {}).items()
    ]


def _registered_row(text: str, entry: Entry[Any] | SourceEntry) -> dict[str, str]:
    paper, cost = entry.claims.get("paper", ""), entry.claims.get("cost")
    costs = "" if cost is None else f", costs {cost:.2g} times ce"
    return {"method": text, "loss": "", "L1": "", "L2": "", "source": f"{paper}{costs}".lstrip(", ")}


def _method_row(method: Method) -> dict[str, str]:
    return {
        "method": method.name,
        "loss": method.method or str(method.loss),
        "L1": f"{method.l1:g}",
        "L2": f"{method.l2:g}",
        "source": str(method.source),
    }
