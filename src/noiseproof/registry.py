"""Registries: the names of one kind of thing, each registered once, by a decorator on the class it names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, TypeVar

from noiseproof.errors import InputError, UnknownNameError, did_you_mean
from noiseproof.text import Call, Expression, Value, parse_call, shortened, write_call, write_usage, write_value

__all__ = ["Entry", "Registry"]

T = TypeVar("T")


@dataclass(frozen=True)
class Entry(Generic[T]):
    """Entry of a registry: a name, what builds it and its claims."""

    name: str
    cls: Callable[..., T]
    claims: Mapping[str, Any]

    @cached_property
    def parameters(self) -> dict[str, Any]:
        """The parameters a text may set, with their defaults (`inspect.Parameter.empty`: must be given)."""
        wanted = (inspect.Parameter.POSITIONAL_OR_KEYWORD,)
        signature = inspect.signature(self.cls)
        return {name: p.default for name, p in signature.parameters.items() if p.kind in wanted}

    @property
    def positional(self) -> str | None:
        """The parameter that may be given without its name: as the class says, or the only (required) one."""
        if isinstance(named := getattr(self.cls, "positional", None), str):
            return named
        required = [name for name, default in self.parameters.items() if default is inspect.Parameter.empty]
        only = required if len(required) == 1 else list(self.parameters)
        return only[0] if len(only) == 1 else None

    @property
    def summary(self) -> str:
        """The first line of the docstring."""
        return (inspect.getdoc(self.cls) or "").partition("\n")[0]

    @property
    def usage(self) -> str:
        """Text with the defaults, as a user would write it: `gce(q=0.7)`."""
        return write_usage(self.name, self.parameters)

    def build(self, call: Call, **options: Any) -> T:
        """The object that a parsed text names; `options` go to the constructor untouched."""
        named = dict(call.named)
        if len(named) < len(call.named):
            written = ", ".join(f"{key}={write_value(value)}" for key, value in call.named)
            raise InputError(f"{self.name}({written}): a parameter is given twice; write {self.usage}")
        if call.values:
            if self.positional is None or len(call.values) > 1 or self.positional in named:
                raise InputError(f"{self.name}: parameters need their names; write {self.usage}")
            named[self.positional] = call.values[0]
        for key in named:
            if key not in self.parameters:
                accepted = ", ".join(self.parameters) or "none"
                hint = did_you_mean(key, self.parameters)
                raise UnknownNameError(f"{self.name} has no parameter {key!r} (it has: {accepted}){hint}")
        missing = [
            name
            for name, default in self.parameters.items()
            if default is inspect.Parameter.empty and name not in named
        ]
        if missing:
            raise InputError(f"{self.name} needs {', '.join(missing)}; write {self.usage}")
        return self.cls(**named, **options)


class Registry(Generic[T]):
    """The names of one kind of thing ("loss", "noise", ...), each registered beside its definition."""

    def __init__(self, kind: str, plural: str) -> None:
        self.kind, self.plural = kind, plural
        self._entries: dict[str, Entry[T]] = {}

    def register(self, name: str, **claims: Any) -> Callable[[type[T]], type[T]]:
        """Decorator: `@LOSSES.register("gce", bounded=True)`; the claims are tested for every entry."""

        def decorate(cls: type[T]) -> type[T]:
            if name in self._entries:
                raise InputError(f"a {self.kind} named {name!r} is registered already; choose another name")
            self._entries[name] = Entry(name, cls, claims)
            cls.name = name  # type: ignore[attr-defined]
            return cls

        return decorate

    def __iter__(self) -> Iterator[Entry[T]]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def names(self) -> list[str]:
        """All registered names, in the order of registration."""
        return list(self._entries)

    def __getitem__(self, name: str) -> Entry[T]:
        entry = self._entries.get(name) or self._entries.get(name.lower())
        if entry is None:
            hint = did_you_mean(name, self._entries)
            raise UnknownNameError(
                f"no {self.kind} named {shortened(repr(name))}{hint} (there are: {', '.join(self._entries)}; "
                f"see `noiseproof list {self.plural}`)"
            )
        return entry

    def build(self, text: str, **options: Any) -> T:
        """The object that a text such as `symmetric(0.4)` names."""
        usages = [entry.usage for entry in self if entry.parameters]
        call = parse_call(text, example=f"a {self.kind} such as {min(usages, key=len, default=self.kind)}")
        return self[call.name].build(call, **options)

    def write(self, thing: T) -> str:
        """The canonical text of an object: the parameters that differ from their defaults, in the class's order."""
        entry = self[thing.name]  # type: ignore[attr-defined]
        named = {}
        for key, default in entry.parameters.items():
            value = getattr(thing, key)
            if not isinstance(value, Value) and value is not None:
                value = Expression(value)  # a loss or another thing with a text of its own
            if value is not None and value != default:
                named[key] = value
        return write_call(entry.name, named)
