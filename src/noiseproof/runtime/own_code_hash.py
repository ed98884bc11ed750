"""Hash of the user's own code: the source of the modules that a part is made of."""

from __future__ import annotations

import ast
import builtins
import hashlib
import importlib.util
import inspect
import sys
import sysconfig
import uuid
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from noiseproof.runtime import own_parts

__all__ = ["code_of"]

_LIBRARIES = tuple(
    {str(Path(sysconfig.get_paths()[kind]).resolve()) for kind in ("stdlib", "platstdlib", "purelib", "platlib")}
)
_KNOWN = {"noiseproof", "torch"}  # packages whose versions a record holds


def code_of(part: object) -> str:
    """SHA-256 of the source of a part of the user's own: its module, and the user's modules that this one imports.

    Args:
        part: a class, a function, or an object of a class.

    Returns:
        64 hexadecimal digits; nothing for noiseproof's and torch's own classes; "unnamed ..." and a number that no
        other class or process has where there is no source, or where the source has changed since it was imported.
    """
    kind: Any = part if inspect.isclass(part) or inspect.isroutine(part) else type(part)
    own = [one for one in (inspect.getmro(kind) if inspect.isclass(kind) else [kind]) if _is_own(one)]
    if not own:
        return ""
    loaded = own_parts.part_of(kind)
    sources: dict[str, bytes | None] = {}
    for name in sorted(own_parts.modules_of(loaded)) if loaded else [one.__module__ for one in own]:
        _gather(name, sources, root=True)
    if loaded:
        digest = hashlib.sha256(f"{kind.__qualname__}\0{loaded.sha256}".encode())
        sources = {name: source for name, source in sources.items() if name not in own_parts.modules_of(loaded)}
    else:
        digest = hashlib.sha256(f"{kind.__module__}.{kind.__qualname__}".partition(".")[2].encode())
    for name in sorted(sources):
        source = sources[name]
        here = [one for one in own if one.__module__ == name]
        if source is None or _is_stale(name, sys.modules.get(name), source, here):
            return _unnamed(kind)
        digest.update(b"\0" + source)
    return digest.hexdigest()


_numbers: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def _unnamed(kind: Any) -> str:
    return _numbers.setdefault(kind, f"unnamed {uuid.uuid4().hex}")


def _is_own(kind: object) -> bool:
    name = str(getattr(kind, "__module__", None) or "")
    if name == "builtins":  # also what code that was run without a module says
        return getattr(builtins, getattr(kind, "__name__", ""), None) is not kind
    return name.partition(".")[0] not in _KNOWN and not _is_standard(name)


def _is_standard(name: str) -> bool:
    top = name.partition(".")[0]
    return top in sys.stdlib_module_names and top != "__main__"


def _gather(name: str, found: dict[str, bytes | None], *, root: bool = False) -> None:
    """Sources of the module of this name and of the user's modules that it uses, by name."""
    if name in found:
        return
    module = sys.modules.get(name)
    file = _file_of(name, module)
    if not root and (file is None or not _is_users(file)):
        return
    source = found[name] = _source(module, file)
    for used in {*_used(module), *(_imported(source, _package_of(name, module)) if source else ())}:
        if used not in found and not _is_standard(used) and used.partition(".")[0] not in _KNOWN:
            _gather(used, found, root=used in sys.modules and "." in name and used.split(".")[0] == name.split(".")[0])


def _used(module: ModuleType | None) -> Iterator[str]:
    """Modules that the names of a module come from."""
    for value in list(vars(module).values()) if module else []:
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(name, str):
            yield name


@lru_cache(maxsize=256)
def _imported(source: bytes, package: str) -> frozenset[str]:
    """Modules that the import statements of a source name, also those within functions."""
    found: set[str] = set()
    with suppress(SyntaxError, ValueError):
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
                base = ".".join([*above, *([node.module] if node.module else [])])
                found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return frozenset(found - {""})


def _package_of(name: str, module: ModuleType | None) -> str:
    return str(getattr(module, "__package__", None) or name.rpartition(".")[0])


def _file_of(name: str, module: ModuleType | None) -> str | None:
    """The file of a module, also of one that is imported later; nothing of it is run."""
    if module is not None:
        return module.__file__ if isinstance(getattr(module, "__file__", None), str) else None
    parent = name.rpartition(".")[0]
    if parent and parent not in sys.modules:
        return None
    with suppress(ImportError, AttributeError, ValueError):
        found = importlib.util.find_spec(name)
        return found.origin if found and found.has_location else None
    return None


def _is_users(file: str) -> bool:
    """True if a module's file lies outside the folders of the installed libraries."""
    path = Path(file).resolve()
    return not str(path).startswith(_LIBRARIES) and not {"site-packages", "dist-packages"} & set(path.parts)


def _source(module: ModuleType | None, file: str | None) -> bytes | None:
    if not file:
        return None
    try:
        path = Path(inspect.getsourcefile(module) or file) if module else Path(file)
        return path.read_bytes()
    except (OSError, TypeError):
        return None


def _is_stale(name: str, module: ModuleType | None, source: bytes, kinds: list[Any]) -> bool:
    """True if functions in memory are no longer those of the source: those of the parts, and of modules from a file."""
    from_file = isinstance(getattr(module, "__loader__", None), SourceFileLoader)
    spaces = [*kinds, *((each for each in list(vars(module).values()) if inspect.isclass(each)) if from_file else ())]
    live = [one for space in spaces for one in ([space] if inspect.isroutine(space) else list(vars(space).values()))]
    live += list(vars(module).values()) if from_file else []
    there = _codes_of(source)
    return any(
        one.__code__ not in there and not one.__code__.co_filename.startswith("<")  # a dataclass makes such functions
        for one in map(inspect.unwrap, filter(inspect.isfunction, live))
        if isinstance(one, FunctionType) and one.__module__ == name
    )


@lru_cache(maxsize=256)
def _codes_of(source: bytes) -> frozenset[CodeType]:
    with suppress(SyntaxError, ValueError):
        return frozenset(_codes(compile(source, "source", "exec", dont_inherit=True)))
    return frozenset()


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
