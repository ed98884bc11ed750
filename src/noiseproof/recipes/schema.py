"""Schema of a recipe file. Unknown keys are refused, with the nearest one that exists."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from noiseproof import models
from noiseproof.data.pipeline.crops_and_flips import Augment
from noiseproof.errors import InputError, did_you_mean
from noiseproof.registry import Entry
from noiseproof.runtime import own_parts

__all__ = ["File", "MethodEntry", "Model", "Train", "When", "check", "written"]

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=False)


class Model(_Strict):
    """The network, registered or "my_model:Net"; keys beside those below are its constructor's parameters."""

    model_config = ConfigDict(extra="allow", frozen=True)

    name: str
    weights: str | None = None  # a file of starting weights, or the name of torchvision's
    features: str | None = None  # a frozen extractor, such as "lite0(side=96)": the network learns on its vectors

    @model_validator(mode="before")
    @classmethod
    def _tuples(cls, values: Any) -> Any:
        return {key: _as_tuple(value) for key, value in values.items()} if isinstance(values, dict) else values

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of the network's constructor, beside the shape of the inputs and the number of classes."""
        return {key: value for key, value in (self.model_extra or {}).items() if value is not None}


class Train(_Strict):
    """The optimiser and its schedule."""

    epochs: Count
    batch_size: Count
    samples: Count | None = None  # train on the first so many samples only; None: on all
    hold_out: Annotated[float, Field(ge=0, le=0.5)] = 0.0  # share of each given class that is only judged, not trained
    eval_batch_size: Count = 1000  # changes no number: nothing in evaluation depends on the batch
    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: Positive
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    schedule: Literal["cosine", "step", "constant"] = "cosine"
    step_epochs: Count = 1  # schedule "step": the rate is multiplied by step_factor every so many epochs
    step_factor: Positive = 0.1
    clip_norm: NotNegative = 0.0  # 0 clips nothing
    l2: NotNegative = 0.0  # weight decay of methods that do not say otherwise
    max_steps: Count | None = None  # training ends after so many steps, in the middle of an epoch if need be
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0  # each layer's rate is this times that of the next one
    frozen_layers: Annotated[int, Field(ge=0)] = 0  # so many first layers keep their starting weights


class When(_Strict):
    """Other values of a method under one kind of noise, where its authors tuned it so."""

    noise: str
    rates: tuple[float, ...] = ()  # empty: every rate
    loss: str | None = None
    method: str | None = None
    head: str | None = None
    source: str | None = None


class MethodEntry(_Strict):
    """A row of a table: a loss or a method, its regulariser and, for a few, a head and an optimiser."""

    loss: str | None = None
    method: str | None = None  # a method's text, such as "elr(beta=0.9, lam=7)", in place of a loss
    l1: NotNegative = 0.0
    l2: NotNegative | None = None  # None: the recipe's
    head: str | None = None
    optimizer: Literal["sgd", "adam"] | None = None  # None: the recipe's
    lr: Positive | None = None
    source: str = ""
    when: tuple[When, ...] = ()

    @model_validator(mode="after")
    def _one_of_both(self) -> MethodEntry:
        if (self.loss is None) == (self.method is None):
            raise ValueError("a method needs either loss or method")
        return self


class File(_Strict):
    """A whole recipe file."""

    source: str
    extends: str | None = None  # another recipe, whose values hold where this one says nothing
    model: Model
    train: Train
    augment: Augment = Augment()
    methods: dict[str, MethodEntry] = {}

    @field_validator("augment", mode="before")
    @classmethod
    def _extra_is_a_list(cls, values: Any) -> Any:
        one = isinstance(values, dict) and isinstance(values.get("extra"), str)
        return values | {"extra": [values["extra"]]} if one else values


#: The keys of the first version, which the name of a run holds whatever their values.
_FIRST = {
    "model": {"name", "hidden", "weights"},
    "train": {
        *("epochs", "batch_size", "samples", "eval_batch_size", "optimizer", "lr", "momentum", "nesterov"),
        *("schedule", "step_epochs", "step_factor", "clip_norm", "l2"),
    },
    "augment": {
        *("crop", "crop_padding", "flip", "jitter", "mean", "resize", "resized_crop", "rotation", "std"),
    },
    "method": {"loss", "l1", "l2", "head", "optimizer", "lr"},
}


def written(table: str, values: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a table that a run's specification holds, so that a new option renames no old run.

    A key that the first version did not have is left out where it has its default, which therefore never changes.

    Args:
        table: "model", "train", "augment" or "method".
        values: all settings.
        defaults: of the keys that have one.

    Example:
        >>> written("method", {"l1": 0.0, "warmup": 0}, {"l1": 0.0, "warmup": 0})
        {'l1': 0.0}
    """
    first = _FIRST[table]
    return {
        key: value for key, value in values.items() if key in first or key not in defaults or value != defaults[key]
    }


def check(values: dict[str, Any], where: str) -> File:
    """The recipe that a parsed file holds.

    Raises:
        InputError: a key that does not exist, a value of the wrong kind or out of range; `where` is named.
    """
    try:
        file = File.model_validate(values)
    except ValidationError as error:
        raise InputError("\n".join(f"{where}: {_sentence(one)}" for one in error.errors())) from None
    return file.model_copy(update={"model": _checked(file.model, where)})


def _checked(model: Model, where: str) -> Model:
    """The model, which exists and takes these parameters; the user's own by a name that holds on every machine."""
    if ":" in model.name and not models.is_of_library(model.name):
        model = model.model_copy(update={"name": own_parts.canonical(model.name)})
    entry = models.entry_of(model.name)
    known = models.option_names(entry)
    for key, value in model.options.items():
        if key not in known:
            accepted = ", ".join([*Model.model_fields, *known])
            raise InputError(
                f"{where}: no key 'model.{key}' for the model {model.name} (there are: {accepted})"
                f"{did_you_mean(key, known)}"
            )
        try:
            _annotation(entry, key).validate_python(value)
        except ValidationError as error:
            raise InputError(f"{where}: model.{key}: {error.errors()[0]['msg']}, got {value!r}") from None
    return model


def _annotation(entry: Entry[Any], key: str) -> TypeAdapter[Any]:
    """The type that a constructor's parameter is annotated with, as far as it can be checked."""
    with suppress(Exception):  # an annotation that only a type checker knows
        return TypeAdapter(inspect.signature(entry.cls, eval_str=True).parameters[key].annotation)
    return TypeAdapter(Any)


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list) else value


def _sentence(error: Any) -> str:
    place = [str(part) for part in error["loc"]]
    key = ".".join(place)
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        known = _keys(place[:-1])
        return f"no key {key!r} (there are: {', '.join(known)}){did_you_mean(place[-1], known)}"
    if error["type"] == "missing":
        return f'{key} is missing; write it, or extends = "digits" to take what is not said from there'
    got = "" if isinstance(error["input"], dict) else f", got {error['input']!r}"  # of a whole table: it is named
    return f"{key}: {error['msg'].removeprefix('Value error, ')}{got}"


def _keys(place: Sequence[str]) -> list[str]:
    """The keys that a table of the file may hold."""
    tables: dict[str, type[_Strict]] = {"model": Model, "train": Train}
    if not place:
        return list(File.model_fields)
    if place[0] == "methods":
        return list((When if "when" in place else MethodEntry).model_fields)
    if place[0] == "augment":
        return [field.name for field in fields(Augment)]
    return list(tables[place[0]].model_fields)
