"""Entries of a registry, read from the sources: `noiseproof list losses` needs no torch, which takes seconds to load.

A new loss is one file and listed as soon as it is there. What this reader cannot understand is left to the registry.
"""

from __future__ import annotations

import ast
import inspect
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import noiseproof
from noiseproof.text import write_usage

__all__ = ["SourceEntry", "entries"]

_PACKAGE = Path(noiseproof.__file__).parent
_OPERATIONS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {ast.Add: operator.add, ast.Div: operator.truediv}


@dataclass(frozen=True)
class SourceEntry:
    """Name, claims, parameters with their defaults, and first line of the docstring of a registered class."""

    name: str
    claims: Mapping[str, Any]
    parameters: Mapping[str, Any]
    summary: str

    @property
    def usage(self) -> str:
        """Text with the defaults, as a user would write it: `gce(q=0.7)`."""
        return write_usage(self.name, self.parameters)


def entries(registry: str, folder: str) -> list[SourceEntry] | None:
    """Entries registered in the files of a folder of the package; None where a file is beyond this reader.

    Example:
        >>> [entry.usage for entry in entries("LOSSES", "losses") if entry.name == "gce"]
        ['gce(q=0.7)']
    """
    try:
        files = sorted((_PACKAGE / folder).glob("*.py"))
        return [entry for file in files for entry in _Module(file).entries(registry)]
    except (OSError, SyntaxError, ValueError, LookupError, AttributeError, TypeError):
        return None


@dataclass(frozen=True)
class _Module:
    file: Path

    @cached_property
    def body(self) -> list[ast.stmt]:
        return ast.parse(self.file.read_bytes()).body

    def entries(self, registry: str) -> Iterator[SourceEntry]:
        for node in self.body:
            for call in node.decorator_list if isinstance(node, ast.ClassDef) else []:
                if isinstance(call, ast.Call) and ast.unparse(call.func) == f"{registry}.register":
                    assert isinstance(node, ast.ClassDef)
                    name = self.value(call.args[0])
                    claims = {str(word.arg): self.value(word.value) for word in call.keywords}
                    summary = (ast.get_docstring(node) or "").partition("\n")[0]
                    yield SourceEntry(name, claims, self.parameters(node), summary)

    def parameters(self, node: ast.ClassDef) -> dict[str, Any]:
        """Positional parameters of the constructor, the class's own or inherited, with their defaults."""
        for each in node.body:
            if isinstance(each, ast.FunctionDef) and each.name == "__init__":
                names = [one.arg for one in each.args.args[1:]]
                required = len(names) - len(each.args.defaults)
                return {
                    name: inspect.Parameter.empty if at < required else self.value(each.args.defaults[at - required])
                    for at, name in enumerate(names)
                }
        for base in node.bases:
            if isinstance(base, ast.Name):
                found = self.definition(base.id)
                if found is not None:
                    return found[0].parameters(found[1])
        return {}

    def definition(self, name: str) -> tuple[_Module, ast.ClassDef] | None:
        """The class of that name, here or in the module of the package that it is imported from."""
        for node in self.body:
            if isinstance(node, ast.ClassDef) and node.name == name:
                return self, node
        source = self.imported(name)
        return None if source is None else source.definition(name)

    def imported(self, name: str) -> _Module | None:
        for node in self.body:
            if isinstance(node, ast.ImportFrom) and name in [one.name for one in node.names]:
                folders = str(node.module).split(".")
                return _Module(_PACKAGE.parent.joinpath(*folders).with_suffix(".py"))
        return None

    def value(self, node: ast.expr) -> Any:
        """A literal, a constant of the module, a function of `math` of one, or a sum or quotient."""
        if isinstance(node, ast.Name):
            return self.constant(node.id)
        if isinstance(node, ast.BinOp):
            return _OPERATIONS[type(node.op)](self.value(node.left), self.value(node.right))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "math.log":
            return math.log(*(self.value(one) for one in node.args))
        return ast.literal_eval(node)

    def constant(self, name: str) -> Any:
        for node in self.body:
            if isinstance(node, ast.Assign) and [ast.unparse(one) for one in node.targets] == [name]:
                return self.value(node.value)
        source = self.imported(name)
        if source is None:
            raise LookupError(name)
        return source.constant(name)
