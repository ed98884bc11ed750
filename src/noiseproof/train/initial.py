"""Start of a run: its data and labels as the network takes them, and the network with the seed's weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from noiseproof import features, models, rng
from noiseproof.data.dataset import Data, Texts
from noiseproof.data.pipeline.crops_and_flips import Augment
from noiseproof.errors import InputError
from noiseproof.models import Network
from noiseproof.noise import NoisyLabels
from noiseproof.recipes import Method, Recipe
from noiseproof.train.input_preparation import (
    AS_THEY_ARE,
    as_tokens,
    as_vectors,
    hold_out,
    load_images,
    with_input_stats,
)

__all__ = ["Start", "network_for", "start_of"]


@dataclass(frozen=True, eq=False)
class Start:
    """Data and labels of a run in the form that its network takes.

    Attributes:
        data: with tensors, or paths of pictures that are cut to one size, for inputs.
        given: the given labels, int64 (N,).
        augment: preprocessing with the mean and std that were measured.
        extractor: fitted, which made vectors of the inputs; None where the network takes them as they are.
        notes: what a reader of the result has to know.
    """

    data: Data
    given: Tensor
    augment: Augment
    extractor: features.Extractor | None
    notes: tuple[str, ...]


def start_of(data: Data, noisy: NoisyLabels | None, recipe: Recipe, augment: Augment | None = None) -> Start:
    """Data and labels of a run; `augment` stands in for the recipe's.

    Raises:
        InputError: the noise is of other data, or the network does not take these inputs.
    """
    given = data.train.given if noisy is None else torch.from_numpy(noisy.labels)
    notes: tuple[str, ...] = ()
    extractor: features.Extractor | None = None
    if len(given) != len(data.train):
        raise InputError(
            f"noise gives {len(given)} labels, the training set of {data.name} has {len(data.train)}; "
            "make it with noise.corrupt from this data set's labels"
        )
    samples = recipe.train.samples
    if samples is not None and samples < len(data.train):
        # The labels were drawn for all samples, so a short run sees some of those that a whole run sees.
        notes = (f"trained on the first {samples} of {len(data.train)} samples",)
        data, given = replace(data, train=data.train.take(range(samples))), given[:samples]
    if recipe.model.features:
        data, extractor = as_vectors(data, recipe.model.features)
    if recipe.train.hold_out:
        data, given = hold_out(data, given, recipe.train.hold_out)
    if isinstance(data.train.inputs, Texts):
        data, augment = as_tokens(data, recipe.model), augment or AS_THEY_ARE
    data = load_images(data, recipe.augment)
    return Start(data, given, augment or with_input_stats(recipe.augment, data.train), extractor, notes)


def network_for(data: Data, method: Method, recipe: Recipe, *, seed: int, number: int = 0) -> Network:
    """The recipe's network as the method wants it, with the seed's initial weights, on the CPU.

    Args:
        data: gives the shape of an input and the classes.
        method, recipe: what is trained.
        seed: of the weights.
        number: of the network, where a method trains several; each has weights of its own.
    """
    options = recipe.model.options
    inputs = data.train.inputs
    if isinstance(inputs, Tensor):
        shape: Sequence[int] = inputs.shape[1:]
    elif recipe.augment.crop is not None:
        shape = (3, recipe.augment.crop, recipe.augment.crop)
    elif isinstance(recipe.augment.resize, tuple):
        shape = (3, *recipe.augment.resize)
    else:
        raise InputError(f"recipe {recipe.name}: files of different sizes need augment.crop beside augment.resize")
    parts = (f"network {number}",) if number else ()
    generator = rng.generator(seed, "init", *parts)
    network = models.build(recipe.model.name, shape=shape, classes=data.num_classes, generator=generator, **options)
    if recipe.model.weights is not None:
        models.load_weights(network, recipe.model.weights)
    method.rule().adapt(network, data.num_classes, rng.generator(seed, "init", *parts, "head"))
    return network
