"""The model of a trained network: what `train.fit` gives, with preprocessing, class names and where it came from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof.artifacts.architectures import Architecture, OnFeatures, OnNetwork, OnTokens
from noiseproof.artifacts.model import Model
from noiseproof.artifacts.new_items import columns_of
from noiseproof.data.dataset import Data, Texts
from noiseproof.data.pipeline.crops_and_flips import Augment
from noiseproof.errors import InputError
from noiseproof.learners.heads import Blend, Head, Perceptron
from noiseproof.methods.ensemble import Ensemble
from noiseproof.models import Network, Tokenizer, folder_of
from noiseproof.models.mlp import MLP
from noiseproof.recipes import Recipe
from noiseproof.train import Outcome
from noiseproof.train.input_preparation import as_tokens

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
    assert isinstance(network, Network)
    network = network.cpu().float()
    architecture: Architecture
    if outcome.extractor is not None:
        architecture = OnFeatures(outcome.extractor, _head(network, augment))
    else:
        architecture = _architecture(network, data, recipe, augment)
    against = "given" if data.test.clean is None else "clean"
    facts = {
        "recipe": recipe.name,
        "data": data.name,
        "fingerprint": data.fingerprint,
        "samples": len(data.train),
        "columns": columns_of(data),
        "accuracy": {"percent": round(outcome.accuracy, 2), "samples": len(data.test), "against": against},
        **(about or {}),
    }
    return Model(architecture, data.classes, facts)


def _head(network: Network, augment: Augment) -> Head:
    """The network on vectors as a head of a model folder, the standardisation of its inputs folded into its weights."""
    if isinstance(network, Ensemble) and network.combination == "mean of probabilities":
        heads = [_head(member, augment) for member in network.members]  # type: ignore[arg-type]
        return Blend(heads, [1 / len(heads)] * len(heads))
    layers = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
    if type(network) is not MLP or type(network.fc) is not nn.Linear:
        raise InputError(
            f"a {type(network).__name__} on features is of a kind that no model folder can hold; model.name = mlp is"
        )
    head = Perceptron([layers[0].in_features, *(layer.out_features for layer in layers)])
    head.load_state_dict(
        {f"layers.{n}.{name}": value for n, layer in enumerate(layers) for name, value in layer.state_dict().items()}
    )
    first = head.layers[0]
    assert isinstance(first, nn.Linear)
    mean, std = (torch.tensor(values, dtype=torch.float64) for values in (augment.mean, augment.std))
    with torch.no_grad():
        weight = first.weight.double() / std
        first.bias.copy_(first.bias.double() - weight @ mean)
        first.weight.copy_(weight)
    return head.requires_grad_(False)


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
