"""Hashes of what a recipe's model and a method are made of, beyond their names: files, and the user's own code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from noiseproof import losses, models
from noiseproof.data.augmentations import AUGMENTATIONS
from noiseproof.features.base import EXTRACTORS
from noiseproof.runtime.own_code_hash import code_of
from noiseproof.text import parse_call

if TYPE_CHECKING:
    from noiseproof.recipes import Method, Recipe

__all__ = ["code_content", "features_content", "method_content", "recipe_content"]


def recipe_content(recipe: Recipe) -> dict[str, str]:
    """Hashes of starting weights, of a Hugging Face folder, and of the source of own networks and augmentations."""
    name, weights = recipe.model.name, recipe.model.weights
    made = models.folder_content(name) or code_content("model", name, models.entry_of(name).cls)
    if recipe.model.features:
        made |= features_content(recipe.model.features)
    for augmentation in map(AUGMENTATIONS.build, recipe.augment.extra):
        made |= code_content("augmentation", augmentation.name, augmentation)
    return made if weights is None else made | models.weights_content(weights)


def features_content(text: str) -> dict[str, str]:
    """Hash of the source of an extractor of the user's own."""
    return code_content("features", text, EXTRACTORS[parse_call(text).name].cls)


def method_content(method: Method) -> dict[str, str]:
    """The hashes of a method's files, and of the source of losses, rules and additions of the user's own."""
    rule, made = method.rule(), dict[str, str]()
    for module in (*method.loss.modules(), *rule.modules()):
        kind = "loss" if isinstance(module, losses.Loss) else "method"
        made |= code_content(kind, getattr(module, "name", type(module).__name__), module)
    for addition in rule.additions:
        made |= code_content("method", getattr(addition, "name", type(addition).__name__), addition)
    matrix = getattr(rule, "transition", None)
    if matrix is not None:
        made |= code_content("matrix", getattr(matrix, "name", type(matrix).__name__), matrix)
    return made | rule.content()


def code_content(kind: str, name: str, part: object) -> dict[str, str]:
    """The hash of a part's source by its kind and name; nothing for noiseproof's own parts."""
    digest = code_of(part)
    return {f"code {kind} {name}": digest} if digest else {}
