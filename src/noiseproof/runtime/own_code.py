"""Hash of the user's own code: the source of the modules that a part is made of."""

from __future__ import annotations

import builtins
import hashlib
import inspect
import sys
import sysconfig
import uuid
from collections.abc import Iterator
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
    if loaded := own_parts.part_of(kind):
        return hashlib.sha256(f"{kind.__qualname__}\0{loaded.sha256}".encode()).hexdigest()
    modules: dict[str, ModuleType | None] = {}
    for one in own:
        _gather(one.__module__, modules, root=True)
    digest = hashlib.sha256(f"{kind.__module__}.{kind.__qualname__}".partition(".")[2].encode())
    for name in sorted(modules):
        source = _source(modules[name])
        if source is None:
            return _unnamed(kind)
        digest.update(b"\0" + source)
    if any(_is_stale(one) for one in own):
        return _unnamed(kind)
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


def _gather(name: str, found: dict[str, ModuleType | None], *, root: bool = False) -> None:
    """The module of this name and the user's modules that it uses, by name."""
    if name in found:
        return
    module = sys.modules.get(name)
    if not root and (module is None or not _is_users(module)):
        return
    found[name] = module
    for used in _used(module):
        if used not in found and not _is_standard(used) and used.partition(".")[0] not in _KNOWN:
            _gather(used, found, root=used.partition(".")[0] == name.partition(".")[0] and "." in name)


def _used(module: ModuleType | None) -> Iterator[str]:
    for value in list(vars(module).values()) if module else []:
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
        if isinstance(name, str):
            yield name


def _is_users(module: ModuleType) -> bool:
    """True if a module's file lies outside the folders of the installed libraries."""
    file = module.__file__
    return file is not None and not str(Path(file).resolve()).startswith(_LIBRARIES)


def _source(module: ModuleType | None) -> bytes | None:
    file = getattr(module, "__file__", None)
    if not file:
        return None
    try:
        path = Path(inspect.getsourcefile(module) or file) if module else Path(file)
        return path.read_bytes()
    except (OSError, TypeError):
        return None


def _is_stale(kind: Any) -> bool:
    """True if the functions in memory are no longer those of the source."""
    try:
        path = Path(inspect.getsourcefile(kind) or "")
        there = set(_codes(compile(path.read_bytes(), str(path), "exec", dont_inherit=True)))
    except (OSError, SyntaxError, TypeError, ValueError):
        return True
    live = [kind] if inspect.isfunction(kind) else list(vars(kind).values())
    functions = list(map(inspect.unwrap, filter(inspect.isfunction, live)))
    module = getattr(kind, "__module__", "")
    own = [one for one in functions if isinstance(one, FunctionType) and one.__module__ == module]
    return any(one.__code__ not in there for one in own)


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)
