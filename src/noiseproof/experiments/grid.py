"""A grid: data x noise x methods x seeds, from a TOML file or one of the paper's tables.

    data = ["digits"]
    noise = ["symmetric(0.2)", "symmetric(0.4)"]
    methods = ["ce", "jal-ce", "nce + 4*agce(a=6, q=1.5)"]
    seeds = [1, 2]
    [train]
    epochs = 5

`[train]`, `[model]` and `[augment]` replace values of each data set's recipe. `[[part]]` tables, each with some of
the first four keys, make grids that are no single product; what a part does not say holds from above.
`imports = ["my_loss.py"]` loads the user's own parts, looked for beside the grid file first. `[tune]` adds a track in
which every method spends the same on choosing its parameters, see `tuning`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from noiseproof import recipes
from noiseproof.errors import DataError, DataMissingError, InputError, did_you_mean
from noiseproof.experiments.run_content import Sources
from noiseproof.experiments.single_run import describe, recipe_for
from noiseproof.experiments.specification import Run
from noiseproof.models import is_of_library
from noiseproof.recipes import Recipe
from noiseproof.runtime import own_parts
from noiseproof.storage import toml_files

__all__ = ["Grid", "OnBadData", "Part", "load", "names", "read", "runs"]

OnBadData = Callable[[str, DataError], object]

_FOLDER = Path(__file__).parent / "grids"
_AXES = ("data", "noise", "methods", "seeds")
_TABLES = ("train", "model", "augment")
_WORDS = ("recipe", "precision", "mode")


@dataclass(frozen=True)
class Part:
    """A product of data, noise, methods and seeds.

    Args:
        overrides: recipe values, by dotted key.
        words: `recipe`, `precision` and `mode`, as far as the file says them.
    """

    data: Sequence[str]
    noise: Sequence[str]
    methods: Sequence[str]
    seeds: Sequence[int]
    overrides: Mapping[str, Any]
    words: Mapping[str, Any]


@dataclass(frozen=True)
class Grid:
    """A grid file: its parts, and its table `[tune]` if it has one."""

    name: str
    parts: Sequence[Part]
    tune: Mapping[str, Any] | None = None


def names() -> list[str]:
    """The grids that come with the package.

    Example:
        >>> names()
        ['combination', 'fashion-mnist', 'frozen-cifar', ..., 'table3', 'table4', 'table5', 'table6']
    """
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load(
    grid: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    root: Path | None = None,
    precision: str | None = None,
    mode: str | None = None,
    on_bad_data: OnBadData | None = None,
    sources: Sources | None = None,
) -> list[Run]:
    """The runs of a grid, each once, in the order of the file: data, then noise, then method, then seed.

    Args:
        grid: one of `names()`, or the path of a TOML file.
        overrides: recipe values to set above those of the file, by dotted key: `{"train.epochs": 10}`.
        root: where the data sets lie; looked at only for the user's own data.
        precision, mode: in place of the file's.
        on_bad_data: called with the name and the error of each data set that cannot be read, whose runs are left out;
            None: that is an error.
        sources: in place of `root`: data that was read for other runs.

    Raises:
        InputError: the file says something that a grid cannot say, or names something that does not exist.
    """
    whole = read(grid, overrides=overrides, precision=precision, mode=mode)
    found, sources = list[Run](), sources or Sources(root)
    for part in whole.parts:
        found += runs(
            part.data,
            part.noise,
            part.methods,
            part.seeds,
            overrides=part.overrides,
            sources=sources,
            on_bad_data=on_bad_data,
            **part.words,
        )
    return list(dict.fromkeys(found))


def read(
    grid: str | Path,
    *,
    overrides: Mapping[str, Any] | None = None,
    precision: str | None = None,
    mode: str | None = None,
) -> Grid:
    """The parts of a grid file; arguments and errors as in `load`."""
    path = _find(grid)
    try:
        content = toml_files.read(path)
    except (ValueError, OSError) as error:
        raise InputError(f"{path} is not a TOML file: {error}; write lines such as seeds = [1, 2]") from None
    _check(content, str(grid), (*_AXES, *_TABLES, *_WORDS, "imports", "part", "tune"))
    for spec in content.get("imports", []):
        own_parts.load(spec, beside=path.parent)
    above = {key: content[key] for key in _AXES if key in content}
    set_here = {f"{table}.{key}": value for table in _TABLES for key, value in content.get(table, {}).items()}
    words = {key: content[key] for key in _WORDS if key in content}
    words |= {key: value for key, value in (("precision", precision), ("mode", mode)) if value}
    parts = []
    for number, part in enumerate(content.get("part", [{}]), 1):
        where = f"{grid}, part {number}" if part else str(grid)
        _check(part, where, (*_AXES, "recipe"))
        axes = above | part
        named = words | {key: part[key] for key in ("recipe",) if key in part}
        if missing := [key for key in _AXES if key not in axes]:
            raise InputError(f"{where}: {missing[0]} is missing; write for example {_EXAMPLES[missing[0]]}")
        data, noise, methods, seeds = (axes[key] for key in _AXES)
        parts.append(Part(data, noise, methods, seeds, set_here | dict(overrides or {}), named))
    return Grid(str(grid), parts, content.get("tune"))


def runs(
    data: Sequence[str],
    noise: Sequence[str],
    methods: Sequence[str],
    seeds: Iterable[int],
    *,
    recipe: str | None = None,
    overrides: Mapping[str, Any] | None = None,
    root: Path | None = None,
    precision: str = "auto",
    mode: str = "deterministic",
    sources: Sources | None = None,
    on_bad_data: OnBadData | None = None,
) -> list[Run]:
    """The product of the four, every data set with its recipe unless one is named; networks of libraries: fine-tune."""
    sources = sources or Sources(root)
    protocols: dict[str, Recipe] = {}
    for name in dict.fromkeys(data):
        try:
            sources.data(name)
        except DataError as error:
            if on_bad_data is None:
                raise
            on_bad_data(name, error)
            continue
        network = str((overrides or {}).get("model.name", ""))
        chosen = recipe or ("fine-tune" if is_of_library(network) else recipe_for(name, root, sources))
        protocols[name] = recipes.load(chosen, overrides)
    return [
        describe(
            where, how, method, seed=seed, recipe=protocols[where], precision=precision, mode=mode, sources=sources
        )
        for where, how, method, seed in product(data, noise, methods, seeds)
        if where in protocols
    ]


_EXAMPLES = {
    "data": 'data = ["digits"]',
    "noise": 'noise = ["symmetric(0.4)"]',
    "methods": 'methods = ["ce", "jal-ce"]',
    "seeds": "seeds = [1, 2, 3]",
    "imports": 'imports = ["my_loss.py"]',
}


def _find(grid: str | Path) -> Path:
    if str(grid) in names():
        return _FOLDER / f"{grid}.toml"
    path = Path(grid)
    with suppress(OSError, ValueError):  # longer than any name, or with a NUL
        if path.is_file():
            return path
    hint = did_you_mean(str(grid), names())
    raise DataMissingError(f"no grid {str(grid)!r}{hint} (there are: {', '.join(names())}; or give a .toml file)")


def _check(content: Mapping[str, Any], where: str, known: Sequence[str]) -> None:
    for key, value in content.items():
        if key not in known:
            raise InputError(f"{where}: no key {key!r} (there are: {', '.join(known)}){did_you_mean(key, known)}")
        if key in _EXAMPLES:
            kind = int if key == "seeds" else str
            if not isinstance(value, list) or not value or not all(type(one) is kind for one in value):
                raise InputError(f"{where}: {key} must be a list, such as {_EXAMPLES[key]}; got {value!r}")
        elif key in (*_TABLES, "tune") and not isinstance(value, dict):
            raise InputError(f"{where}: {key} must be a table, such as [train] with epochs = 5; got {value!r}")
        elif key in _WORDS and not isinstance(value, str):
            raise InputError(f"{where}: {key} must be a text; got {value!r}")
        elif key == "part" and not (isinstance(value, list) and all(isinstance(one, dict) for one in value)):
            raise InputError(f"{where}: part must be tables, each begun by [[part]]; got {value!r}")
