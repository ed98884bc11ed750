"""Recipes: how a data set is trained, and the parameters of each method on it, each with its source.

One TOML file a data set; users write their own with the same keys and give its path.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from noiseproof import losses, methods, models
from noiseproof.data.pipeline.crops_and_flips import Augment
from noiseproof.errors import DataMissingError, InputError, UnknownNameError, did_you_mean
from noiseproof.losses import LOSSES, Loss
from noiseproof.methods import METHODS, split_additions, with_loss
from noiseproof.methods import Method as Rule
from noiseproof.recipes.schema import File, MethodEntry, Model, Train, check, written
from noiseproof.runtime import own_parts
from noiseproof.storage import toml_files
from noiseproof.text import Call, parse_call, parse_sum

__all__ = ["Augment", "Method", "Model", "Recipe", "Train", "check", "load", "names", "register"]

_FOLDER = Path(__file__).parent
_PREPROCESSING = ("mean", "std", "resize", "crop")  # of [augment]: what a pretrained network asks for
_REGISTERED: dict[str, dict[str, Any]] = {}  # the user's own, by name


@dataclass(frozen=True, eq=False)
class Method:
    """Method of a recipe: a loss with its regularisers, as a row of a table names it.

    Attributes:
        name: as the user wrote it, or the canonical text of the loss or method.
        loss: of each sample; for methods without a loss of their own, cross-entropy.
        l1: factor of the sum of |theta| over all parameters, added to the loss.
        l2: weight decay of the optimiser.
        head: a text such as "student(alpha=0.1, lam=0.05)" for a head of its own, or None for a linear one.
        optimizer, lr: None where the recipe's hold.
        source: where the numbers come from.
        method: a method's text such as "elr(lam=7)" or "nce + sam(rho=0.05)"; None: the loss alone, or with the head.
    """

    name: str
    loss: Loss
    l1: float = 0.0
    l2: float = 0.0
    head: str | None = None
    optimizer: str | None = None
    lr: float | None = None
    source: str = ""
    method: str | None = None

    def settings(self) -> dict[str, Any]:
        """Everything that decides a run, as plain values."""
        values = {
            field.name: getattr(self, field.name) for field in fields(self) if field.name not in ("name", "source")
        }
        return written("method", values | {"loss": str(self.loss)}, _defaults(Method))

    def __eq__(self, other: object) -> bool:
        """True for the same name, source and settings; losses by `same_as`."""
        if not isinstance(other, Method):
            return NotImplemented
        ours, theirs = (self.name, self.source, self.settings()), (other.name, other.source, other.settings())
        return ours == theirs and self.loss.same_as(other.loss)

    def __hash__(self) -> int:
        return hash((self.name, self.source))

    def rule(self) -> Rule:
        """The method itself, without state: what training asks for losses and predictions."""
        if self.method is not None:
            return methods.parse(self.method)
        if self.head is None:
            return methods.Plain(self.loss)
        call = parse_call(self.head)
        if call.name != "student" or call.values:
            raise InputError(f"method {self.name}: head must be student(alpha=..., lam=...), got {self.head!r}")
        return METHODS["lt-apl"].build(call, loss=self.loss)


@dataclass(frozen=True)
class Recipe:
    """A data set's training protocol and the methods that were tuned for it."""

    name: str
    source: str
    model: Model
    train: Train
    augment: Augment
    methods: Mapping[str, MethodEntry]

    def method(self, text: str, noise: str | None = None) -> Method:
        """The method of a name ("jal-ce"), else of any loss text, with the recipe's L2.

        Args:
            text: one of `methods`, or a text such as "nce + 4*agce(a=6, q=1.5)".
            noise: the noise text of the run; a few methods were tuned for each kind of noise.

        Raises:
            UnknownNameError: neither a method of this recipe nor a loss.

        Example:
            >>> method = load("cifar10").method("jal-ce")
            >>> str(method.loss), method.l1, method.l2
            ('nce + amse', 5e-05, 0.0)
        """
        base, additions = split_additions(text) if text.strip().lower() not in self.methods else (text, [])
        method = self._row(base.strip().lower(), noise) or self._from_text(base)
        if not additions:
            return method
        rule = method.rule()
        rule.additions = tuple(additions)
        name = " + ".join([method.name, *map(str, additions)])
        return replace(method, name=name, method=str(rule), head=None)

    def _row(self, name: str, noise: str | None) -> Method | None:
        """The method of this name in the recipe's tables."""
        entry = self.methods.get(name)
        if entry is None:
            return None
        loss, text, head, source = entry.loss, entry.method, entry.head, entry.source
        for case in entry.when:
            if noise is not None and _holds(case.noise, case.rates, noise):
                loss, head, source = case.loss or loss, case.head or head, case.source or source
                text = case.method or text
        rule = None if text is None else self._rule(text)
        return Method(
            name,
            losses.parse(loss or "ce") if rule is None else rule.loss,
            l1=entry.l1,
            l2=self.train.l2 if entry.l2 is None else entry.l2,
            head=head,
            optimizer=entry.optimizer,
            lr=entry.lr,
            source=source or self.source,
            method=None if rule is None else str(rule),
        )

    def _from_text(self, text: str) -> Method:
        """Any method's or loss's text, with the recipe's L2."""
        rule = self._rule(text)
        if isinstance(rule, methods.Plain):
            return Method(str(rule.loss), rule.loss, l2=self.train.l2, source="as written")
        return Method(str(rule), rule.loss, l2=self.train.l2, source="as written", method=str(rule))

    def _rule(self, text: str) -> Rule:
        call = _one_call(text)
        if call is not None and call.name.lower() in METHODS:
            return METHODS[call.name].build(with_loss(call, self._loss_text))
        for _, each in parse_sum(text, nested=True):
            if each.name not in LOSSES and each.name.lower() not in LOSSES and each.name not in METHODS:
                others = [name for name in METHODS.names() if name not in self.methods]
                known = [*self.methods, *others, *LOSSES.names()]
                raise UnknownNameError(
                    f"no method or loss named {each.name!r}{did_you_mean(text.strip(), known)} (recipe {self.name} has "
                    f"the methods {', '.join(self.methods)}; there are also {', '.join(others)}; any loss "
                    "text works too, see `noiseproof list losses`)"
                )
        return methods.parse(text)

    def _loss_text(self, text: str) -> str:
        """The loss of a method of this recipe, where a loss is named by it: `elr(loss=jal-ce)`."""
        entry = self.methods.get(text.lower())
        return text if entry is None or entry.loss is None else entry.loss

    def settings(self) -> dict[str, Any]:
        """The protocol as plain values: what decides a run beside its method."""
        return {
            "model": written("model", self.model.model_dump(mode="json", exclude_none=True), _defaults(Model)),
            "train": written("train", self.train.model_dump(mode="json", exclude_none=True), _defaults(Train)),
            "augment": written("augment", asdict(self.augment), _defaults(Augment)),
        }


def _defaults(kind: type[Any]) -> dict[str, Any]:
    """The options of a part of a recipe that need not be given, with their values then."""
    if hasattr(kind, "model_fields"):
        return {key: field.default for key, field in kind.model_fields.items() if not field.is_required()}
    return {field.name: field.default for field in fields(kind) if field.default is not MISSING}


def names() -> list[str]:
    """The recipes that come with the package, and those that were registered."""
    return sorted([*(path.stem for path in _FOLDER.glob("*.toml")), *_REGISTERED])


def register(name: str, text: str) -> None:
    """Give a recipe of your own a name, in a file that `--import` loads.

    Args:
        name: as `--recipe` and grids call it; a data set of the same name is trained by it.
        text: what a recipe file holds, TOML.

    Raises:
        InputError: the name is taken, or the text is no recipe.
    """
    if name in names() or not name or name.endswith(".toml"):
        raise InputError(f"a recipe cannot be named {name!r}: there is one, or it is no name; choose another")
    try:
        values = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InputError(f"recipe {name} is not TOML: {error}") from None
    network = values["model"].get("name") if isinstance(values.get("model"), dict) else None
    if isinstance(network, str) and ":" in network:  # now, while what lies beside the file that registers it is found
        values["model"]["name"] = own_parts.canonical(network)
    _REGISTERED[name] = values
    try:
        load(name)
    except Exception:
        del _REGISTERED[name]
        raise


def load(name: str | Path, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of a name, or of a TOML file with the same keys.

    Args:
        name: one of `names()`, or a path that ends in .toml.
        overrides: values to set, by dotted key: `{"train.epochs": 10}`; None takes a key away.

    Raises:
        UnknownNameError: no such recipe.
        InputError: the file or an override says something that a recipe cannot say.

    Example:
        >>> load("cifar10", {"train.epochs": 10}).train.epochs
        10
    """
    values, known = _values(name)
    overrides = dict(overrides or {})
    if "model.name" in overrides and overrides["model.name"] != values.get("model", {}).get("name"):
        values = values | {"model": {}}  # another network's parameters are not this one's
        if models.is_of_library(str(overrides["model.name"])):
            kept = {key: value for key, value in values.get("augment", {}).items() if key not in _PREPROCESSING}
            values = values | {"augment": kept}
    for key, value in overrides.items():
        values = _set(values, key.split("."), value)
    where = str(name) if not overrides else f"{name} with {', '.join(overrides)}"
    file: File = check(_as_pretrained(values), f"recipe {where}")
    return Recipe(known, file.source, file.model, file.train, file.augment, file.methods)


def _as_pretrained(values: dict[str, Any]) -> dict[str, Any]:
    """Values with the preprocessing of a network of another library, where the recipe says nothing of its own."""
    network = values.get("model", {}).get("name") if isinstance(values.get("model"), dict) else None
    augment = values.get("augment", {})
    if not isinstance(network, str) or not models.is_of_library(network) or not isinstance(augment, dict):
        return values
    found = models.preprocessing_of(network)
    if {"mean", "std"} & augment.keys():
        found = {key: value for key, value in found.items() if key not in ("mean", "std")}
    if {"resize", "crop"} & augment.keys():
        side = augment.get("crop", augment.get("resize"))
        found |= {"resize": side} if isinstance(side, list | tuple) else {"resize": side, "crop": side}
        found = found if not isinstance(side, list | tuple) else {k: v for k, v in found.items() if k != "crop"}
    return values | {"augment": {**found, **augment}}


def _values(name: str | Path) -> tuple[dict[str, Any], str]:
    """The values of a recipe, those that it extends included, and its name."""
    own = _REGISTERED.get(str(name))
    if own is None:
        path = _find(name)
        return _read(path), path.stem
    parent = own.get("extends")
    return (own if parent is None else toml_files.overlaid(_values(parent)[0], own)), str(name)


def _find(name: str | Path) -> Path:
    if str(name).endswith(".toml"):
        path = Path(name)
        if not _is_file(path):
            raise DataMissingError(f"no recipe file at {path}; give the path of one, or a name: {', '.join(names())}")
        return path
    if str(name) not in names():
        raise UnknownNameError(
            f"no recipe named {str(name)!r}{did_you_mean(str(name), names())} "
            f"(there are: {', '.join(names())}; or give the path of a .toml file)"
        )
    return _FOLDER / f"{name}.toml"


@lru_cache
def _parse(path: Path, state: tuple[int, ...]) -> dict[str, Any]:
    try:
        return toml_files.read(path)
    except ValueError as error:
        raise InputError(f"{path} is not TOML: {error}; write it as the recipes beside the package are") from None


def _read(path: Path, chain: tuple[Path, ...] = ()) -> dict[str, Any]:
    """The file's values over those of the recipe it extends."""
    if path in chain:
        circle = " extends ".join(map(str, (*chain, path)))
        raise InputError(f"{circle}: a recipe cannot extend itself; remove one of these lines")
    found = path.stat()
    own = _parse(path, (found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino))
    parent = own.get("extends")
    if parent is None:
        return own
    if not isinstance(parent, str):
        raise InputError(f"{path}: extends must name a recipe, got {parent!r}")
    beside = path.parent / parent
    if not _is_file(beside) and parent in _REGISTERED:
        return toml_files.overlaid(_values(parent)[0], own)
    return toml_files.overlaid(_read(beside if _is_file(beside) else _find(parent), (*chain, path)), own)


def _is_file(path: Path) -> bool:
    with suppress(OSError, ValueError):  # longer than any name, or with a NUL
        return path.is_file()
    return False


def _set(values: dict[str, Any], key: list[str], value: Any) -> dict[str, Any]:
    if len(key) == 1:
        return {name: old for name, old in values.items() if name != key[0]} | (
            {} if value is None else {key[0]: value}
        )
    inner = values.get(key[0], {})
    if not isinstance(inner, dict):
        raise InputError(f"{key[0]!r} is no table of a recipe; write for example train.epochs=10")
    return values | {key[0]: _set(inner, key[1:], value)}


def _one_call(text: str) -> Call | None:
    terms = parse_sum(text, nested=True)
    return terms[0][1] if len(terms) == 1 and terms[0][0] == 1 else None


def _holds(name: str, rates: tuple[float, ...], noise: str) -> bool:
    call = parse_call(noise)
    given = dict(call.named).get("rate", call.values[0] if call.values else None)
    return call.name == name and (not rates or given in rates)
