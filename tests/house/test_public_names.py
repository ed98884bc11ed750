"""What people type stays: names, parameters, registered texts, recipes, commands and their options.

NOISEPROOF_SNAPSHOTS=write pytest tests/house/test_public_names.py     writes tests/snapshots/public.json anew
"""

from __future__ import annotations

import ast
import inspect
import json
import os
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from conftest import ROOT

SNAPSHOT = ROOT / "tests" / "snapshots" / "public.json"
# The modules whose names are a promise; everything else may move.
MODULES = [
    "noiseproof",
    *(f"noiseproof.{part}" for part in ("data", "doctor", "errors", "losses", "models", "noise", "recipes")),
    *(f"noiseproof.{part}" for part in ("selection", "testing", "theory", "train")),
    "noiseproof.integrations.sklearn",
    "noiseproof.integrations.huggingface",
]


def exported(module: Any) -> list[str]:
    """`__all__`, or the names that the module imports under their own name (`X as X`)."""
    if hasattr(module, "__all__"):
        return sorted(set(module.__all__))
    tree = ast.parse(Path(module.__file__).read_text())
    imports = (alias for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names)
    return sorted(alias.asname for alias in imports if alias.asname and alias.asname == alias.name)


def described(thing: Any) -> list[str]:
    """The parameters of a function; of a class those of its constructor, and its public members as `.name`."""
    if not callable(thing) or not str(getattr(thing, "__module__", "")).startswith("noiseproof"):
        return []
    try:
        parameters = list(inspect.signature(thing).parameters)
    except (TypeError, ValueError):
        parameters = []
    if not inspect.isclass(thing):
        return parameters
    ours = [cls for cls in thing.__mro__ if cls.__module__.startswith("noiseproof")]
    members = {f".{name}" for cls in ours for name in vars(cls) if not name.startswith("_")}
    return parameters + sorted(members)


def commands() -> dict[str, list[str]]:
    """Each command of the command line with what may follow it."""
    import typer.main

    from noiseproof.cli.app import app

    def walk(command: Any, words: str) -> Iterator[tuple[str, list[str]]]:
        told = [opt for parameter in command.params for opt in sorted({*parameter.opts, *parameter.secondary_opts})]
        yield words, sorted(told)
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, f"{words} {name}")

    return dict(walk(typer.main.get_command(app), "noiseproof"))


def registered() -> dict[str, list[str]]:
    """Everything that has a name in a text, and the parameters it takes there."""
    from noiseproof.data import AUGMENTATIONS, DATASETS
    from noiseproof.losses import LOSSES
    from noiseproof.methods import ADDITIONS, METHODS
    from noiseproof.models import MODELS
    from noiseproof.noise import NOISES

    registries: dict[str, Any] = {"loss": LOSSES, "noise": NOISES, "data": DATASETS, "model": MODELS}
    registries |= {"method": METHODS, "addition": ADDITIONS, "augmentation": AUGMENTATIONS}
    return {
        f"{kind} {entry.name}": list(entry.parameters) for kind, registry in registries.items() for entry in registry
    }


def recipes_and_methods() -> dict[str, list[str]]:
    from noiseproof import recipes
    from noiseproof.experiments import grid

    found = {f"recipe {name}": sorted(recipes.load(name).methods) for name in recipes.names()}
    return {**found, "grids": grid.names()}


def public() -> dict[str, list[str]]:
    """Every public thing, with what it is made of."""
    found: dict[str, list[str]] = {}
    for name in MODULES:
        module = import_module(name)
        for each in exported(module):
            found[f"{name}.{each}"] = described(getattr(module, each))
    return dict(sorted({**found, **commands(), **registered(), **recipes_and_methods()}.items()))


@pytest.fixture(scope="module")
def found() -> dict[str, list[str]]:
    return public()


@pytest.fixture(scope="module")
def kept(found) -> dict[str, list[str]]:
    if os.environ.get("NOISEPROOF_SNAPSHOTS") == "write":
        SNAPSHOT.write_text(json.dumps(found, indent=0) + "\n")
    return json.loads(SNAPSHOT.read_text())


def test_no_public_name_has_gone(found, kept):
    assert kept.keys() - found.keys() == set()


def test_no_parameter_option_or_method_has_gone(found, kept):
    gone = {name: sorted(set(parts) - set(found.get(name, []))) for name, parts in kept.items()}
    assert {name: parts for name, parts in gone.items() if parts} == {}


def test_the_order_of_positional_parameters_is_what_it_was(found, kept):
    """Arguments without names would otherwise mean something else. New parameters come after the old ones."""
    moved = {
        name: (parts, found[name])
        for name, parts in kept.items()
        if name in found and [part for part in found[name] if part in parts] != parts
    }
    assert moved == {}


ONE_FILE = ("loss ", "noise ", "data ", "model ", "method ", "augmentation ", "recipe ")  # a new one needs no line here


def test_what_is_new_is_written_down(found, kept):
    new = {name for name in found.keys() - kept.keys() if not name.startswith(ONE_FILE)}
    assert new == set(), "write it with NOISEPROOF_SNAPSHOTS=write"


def test_the_list_sees_a_name_that_goes(found):
    """Shown to bite: without one name, one parameter, one option, the comparison differs."""
    assert "noiseproof.losses.parse" in found
    assert found["noiseproof.losses.GCE"][:1] == ["q"]
    assert ".per_class" in found["noiseproof.losses.Loss"]
    assert "--seed" in found["noiseproof noise"]
    assert found["loss amse"] == ["a", "q"]
    assert "jal-ce" in found["recipe cifar10"]


def test_every_public_function_and_class_is_documented(found):
    undocumented = []
    for name in MODULES:
        module = import_module(name)
        for each in exported(module):
            thing = getattr(module, each)
            if (inspect.isfunction(thing) or inspect.isclass(thing)) and not inspect.getdoc(thing):
                undocumented.append(f"{name}.{each}")
    assert undocumented == []
