"""The model of a trained network: what `train.fit` gives, with preprocessing, class names and where it came from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from noiseproof.artifacts.architectures import OnNetwork, OnTokens
from noiseproof.artifacts.model import Model
from noiseproof.data.dataset import Data, Texts
from noiseproof.data.pipeline.augment import Augment
from noiseproof.errors import InputError
from noiseproof.models import Network, Tokenizer, folder_of
from noiseproof.recipes import Recipe
from noiseproof.train import Outcome
from noiseproof.train.initial import as_tokens

__all__ = ["of_outcome"]


def of_outcome(outcome: Outcome, data: Data, recipe: Recipe, *, about: dict[str, Any] | None = None) -> Model:
    """The model that a run trained, from raw inputs on.

    Args:
        outcome: of `train.fit`.
        data: what it was trained on.
        recipe: by which.
        about: what the model folder should say besides.

    Raises:
        InputError: the run diverged, or its networks are of a kind that no model folder can hold.

    Example:
        >>> from noiseproof import data, recipes, train
        >>> digits, recipe = data.load("digits"), recipes.load("digits", {"train.epochs": 5})
        >>> outcome = train.fit(digits, None, "ce", recipe, seed=1)
        >>> model = of_outcome(outcome, digits, recipe)
        >>> right = model.predict(digits.test.inputs) == [model.classes[k] for k in digits.test.given.tolist()]
        >>> bool(abs(100 * right.mean() - outcome.accuracy) < 1e-6)
        True
    """
    network, augment = outcome.model, outcome.augment
    if outcome.status != "done" or augment is None:
        raise InputError("the run diverged, so there is no model to keep; try a smaller train.lr")
    if recipe.model.features:
        raise InputError(
            f"recipe {recipe.name} learns on frozen features, whose head alone is no model; "
            "for one, leave out --method and --recipe: a learner on the same features is chosen and kept"
        )
    assert isinstance(network, Network)
    architecture = _architecture(network.cpu().float(), data, recipe, augment)
    against = "given" if data.test.clean is None else "clean"
    facts = {
        "recipe": recipe.name,
        "data": data.name,
        "fingerprint": data.fingerprint,
        "samples": len(data.train),
        "accuracy": {"percent": round(outcome.accuracy, 2), "samples": len(data.test), "against": against},
        **(about or {}),
    }
    return Model(architecture, data.classes, facts)


def _architecture(network: Network, data: Data, recipe: Recipe, augment: Augment) -> OnNetwork:
    name, inputs = recipe.model.name, data.train.inputs
    if isinstance(inputs, Texts):
        tokenizer = Tokenizer.of_folder(folder_of(name))
        tokenizer.length = as_tokens(data, recipe.model).train.inputs.shape[1]
        return OnTokens(network, name, data.num_classes, tokenizer)
    if isinstance(inputs, Tensor):
        shape = tuple(inputs.shape[1:])
        augment = replace(augment, resize=None, crop=None)  # of files only
    else:
        side = augment.crop if augment.crop is not None else augment.resize
        if isinstance(side, tuple):
            shape = (3, *side)
        elif side is not None:
            shape = (3, side, side)
        else:
            from noiseproof.data.pipeline.decoding import size_of

            shape = (3, *size_of(inputs[0]))
    options = recipe.model.model_dump(exclude={"name", "weights"}, exclude_none=True)
    columns = list(data.reading.columns) if data.reading is not None else []
    columns = [str(column) for column in columns] if len(shape) == 1 and len(columns) == shape[0] else []
    return OnNetwork(network, name, options, shape, data.num_classes, augment, columns)
