"""The user's own parts: Python files and modules that register losses, noises, models, data sets and more.

`--import my_loss.py` or `--import my.module` loads one; what it registers has a name from then on, like what comes with
the package. Parts travel to worker processes as text (`Carried`), so a worker needs neither the file nor the folder.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import pickle
import re
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from noiseproof.errors import DataMissingError, InputError, NoiseproofError, UnknownNameError, did_you_mean

__all__ = [
    "Carried",
    "Part",
    "attribute",
    "canonical",
    "in_own_code",
    "install",
    "load",
    "loaded",
    "modules_of",
    "part_of",
]


@dataclass(frozen=True)
class Part:
    """A loaded file or module of the user's, with the modules beside it that it imported.

    Args:
        module: the name it is imported under, such as "my_loss" or "my.module".
        root: the folder that the names of `files` start from.
        files: (path under `root`, source) of the module and of what it imported from the same folder or package.
    """

    module: str
    root: str
    files: tuple[tuple[str, bytes], ...]

    @property
    def sha256(self) -> str:
        """Hash of the source of all its files, by name."""
        digest = hashlib.sha256()
        for name, source in self.files:
            digest.update(f"{name}\0{len(source)}\0".encode() + source)
        return digest.hexdigest()

    def __str__(self) -> str:
        return f"{self.files[0][0]} (sha256 {self.sha256[:12]})"


_LOADED: dict[str, Part] = {}
_LOADING: dict[str, Path] = {}  # files by the module's name, the innermost last; a module that is no file has its name


def loaded() -> tuple[Part, ...]:
    """The parts that this process has loaded, in that order."""
    return tuple(_LOADED.values())


def part_of(thing: object) -> Part | None:
    """The part that a class or function was defined in; None for what comes with a package."""
    name = getattr(thing, "__module__", None) or getattr(type(thing), "__module__", None)
    return next((part for part in _LOADED.values() if name in modules_of(part)), None)


def in_own_code(error: BaseException) -> str:
    """The error with the file, line and function of the user's parts that it came from; "" if it came from none."""
    known = {str(Path(part.root, name)): name for part in _LOADED.values() for name, _ in part.files}
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in known]
    if not frames:
        return ""
    last = frames[-1]
    text = "".join(traceback.format_exception_only(error)).strip()
    return f"{known[last.filename]}, line {last.lineno}, in {last.name}: {text}"


def load(spec: str, *, beside: Path | None = None) -> Part:
    """Load a Python file or an importable module, once.

    Args:
        spec: "my_loss.py", a path to a file; or "my.module", a name that Python can import from here.
        beside: a folder to look in first, such as that of the grid file that names it.

    Raises:
        DataMissingError: there is no such file.
        UnknownNameError: there is no such module.
        InputError: it fails as it is imported; the message says where (file and line).
    """
    if spec in _LOADED:
        return _LOADED[spec]
    path = _file(spec, beside)
    if path is None:
        return _import(spec, [str(folder) for folder in (beside, Path.cwd()) if folder is not None])
    name = re.sub(r"\W", "_", path.stem)
    known = _LOADED.get(name)
    if known is not None and Path(known.root, known.files[0][0]) == path:
        return known
    there = sys.modules.get(name)
    file = getattr(there, "__file__", None)
    if there is not None and (file is None or Path(file).resolve() != path):
        raise InputError(f"{spec}: a module named {name!r} is loaded already ({file or 'built in'}); rename the file")
    return _import(name, [str(path.parent)], path)


def canonical(spec: str) -> str:
    """The text "my_model:Net" of "../code/my_model.py:Net": the same wherever the file lies."""
    module_spec, _, name = spec.rpartition(":")
    return f"{_module_of(module_spec)}:{name}"


def attribute(spec: str) -> Any:
    """Attribute of a module of the user's, named as "my_model:Net" or "my_model.py:Net".

    Raises:
        UnknownNameError: the module has no such attribute; otherwise as `load`.
    """
    module_spec, _, name = spec.rpartition(":")
    module = sys.modules[_module_of(module_spec)]
    if not hasattr(module, name):
        known = [key for key, value in vars(module).items() if inspect.isclass(value) or inspect.isfunction(value)]
        there = f" (there are: {', '.join(known)})" if known else ""
        raise UnknownNameError(f"{module_spec} defines no {name!r}{there}{did_you_mean(name, known)}")
    return getattr(module, name)


def install(parts: Sequence[Part]) -> None:
    """Load parts that another process has loaded, from the same files or else from the text that came along."""
    for part in parts:
        known = _LOADED.get(part.module)
        if known is not None:
            if known.sha256 != part.sha256:
                raise InputError(f"{part} differs from the {known} that this process has loaded; start it anew")
            continue
        root = Path(part.root)
        if not all(_holds(root / name, source) for name, source in part.files):
            root = Path(tempfile.mkdtemp(prefix="noiseproof-parts-"))  # imported from for as long as the process lives
            for name, source in part.files:
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).write_bytes(source)
        _import(part.module, [str(root)], None if "." in part.module else root / part.files[0][0])


def _module_of(spec: str) -> str:
    """The name of a module, loaded if need be; one that is being loaded may name itself and what lies beside it."""
    if spec in _LOADING:
        return spec
    beside = next(reversed(_LOADING.values())).parent if _LOADING else None
    path = _file(spec, beside) if _LOADING else None
    itself = next((name for name, loading in _LOADING.items() if loading == path), None)
    return itself or load(spec, beside=beside).module


class Carried:
    """A call that brings the loaded parts along: the process that unpickles it loads them first."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self.call(*args, **named)

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpack, (loaded(), pickle.dumps(self.call))


def _unpack(parts: Sequence[Part], packed: bytes) -> Carried:
    install(parts)
    return Carried(pickle.loads(packed))  # noqa: S301 - packed by the parent process beside the user's own code


def _file(spec: str, beside: Path | None) -> Path | None:
    """The file that is meant, or None where it is a module's name."""
    for folder in (beside, Path()):
        if folder is None:
            continue
        found = next((path for path in (folder / spec, folder / f"{spec}.py") if _is_file(path)), None)
        if found is not None and found.suffix != ".py":
            raise InputError(f"{found} is no Python file; own parts stand in .py files")
        if found is not None:
            return found.resolve()
    if spec.endswith(".py") or "/" in spec or "\\" in spec:
        raise DataMissingError(f"no file {spec!r} to import; give the path of a .py file, or the name of a module")
    if not all(word.isidentifier() for word in spec.split(".")):
        raise InputError(f"cannot import {spec!r}: give the path of a .py file, or a module's name such as my.module")
    return None


def _is_file(path: Path) -> bool:
    with suppress(OSError, ValueError):  # longer than any name, or with a NUL
        return path.is_file()
    return False


def _import(name: str, folders: list[str], path: Path | None = None) -> Part:
    if name in _LOADED:
        return _LOADED[name]
    with _first_on_path(folders), _loading(name, path):
        try:
            module = importlib.import_module(name) if path is None else _import_file(name, path)
        except NoiseproofError as error:
            raise type(error)(_at(error, name, path, folders)) from error
        except ModuleNotFoundError as error:
            if error.name is not None and path is None and (name == error.name or name.startswith(error.name + ".")):
                raise UnknownNameError(
                    f"no module named {name!r} can be imported from here; give the path of a .py file, or install it"
                ) from None
            raise InputError(_at(error, name, path, folders)) from error
        except Exception as error:  # whatever the user's code raises
            raise InputError(_at(error, name, path, folders)) from error
    part = _LOADED[name] = _described(name, module)
    return part


def _import_file(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _loading(name: str, path: Path | None) -> Iterator[None]:
    _LOADING[name] = path or Path(name)
    try:
        yield
    finally:
        _LOADING.pop(name, None)


@contextmanager
def _first_on_path(folders: list[str]) -> Iterator[None]:
    """Import from these folders first now, and last of all later on (imports inside functions)."""
    before = list(sys.path)
    sys.path[:0] = folders
    try:
        yield
    finally:
        sys.path[:] = [*before, *(folder for folder in folders if folder not in before)]


def _described(name: str, module: ModuleType) -> Part:
    """The part that a module is, with the source of what it imported from its own folder or package."""
    own = Path(str(module.__file__)).resolve()
    depth = name.count(".") + (own.name == "__init__.py")
    root = own.parents[depth]  # the folder that the import started from
    found, left = {own}, [own]
    while left:
        new = _imported_files(left.pop(), root) - found
        found |= new
        left += new
    if depth:  # the packages around it, which a worker needs to import it
        found |= {folder / "__init__.py" for folder in own.parents[:depth] if (folder / "__init__.py").is_file()}
    files = sorted(found, key=lambda path: (path != own, path))
    return Part(name, str(root), tuple((path.relative_to(root).as_posix(), path.read_bytes()) for path in files))


def _imported_files(path: Path, root: Path) -> set[Path]:
    """The files under `root` that a file's import statements name."""
    found: set[Path] = set()
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            bases = [root.joinpath(*alias.name.split(".")) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = path.parents[node.level - 1] if node.level else root
            base = start.joinpath(*(node.module or "").split("."))
            bases = [base, *(base / alias.name for alias in node.names)]
        else:
            continue
        for base in bases:
            found |= {file for file in (base.with_name(f"{base.name}.py"), base / "__init__.py") if file.is_file()}
    return {file.resolve() for file in found if file.is_relative_to(root)}


def modules_of(part: Part) -> set[str]:
    """Names of the modules that a part is made of."""
    return {name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name, _ in part.files} | {
        part.module
    }


def _holds(path: Path, source: bytes) -> bool:
    with suppress(OSError):
        return path.read_bytes() == source
    return False


def _at(error: Exception, name: str, path: Path | None, folders: list[str]) -> str:
    """The error with the file and line of the user's code it came from."""
    inside = [str(folder) for folder in ([path.parent] if path else map(Path, folders))]
    where = str(path or name)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(tuple(inside))]
    if isinstance(error, SyntaxError) and error.filename:
        where = f"{error.filename}, line {error.lineno}"
        return f"cannot import {where}: {error.msg}"
    if frames:
        where = f"{frames[-1].filename}, line {frames[-1].lineno}"
    kind = "" if isinstance(error, NoiseproofError) else f"{type(error).__name__}: "
    return f"cannot import {where}: {kind}{error}"
