"""What a run starts from: the network with the seed's weights, and the normalisation of the inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from noiseproof import models, rng
from noiseproof.data.dataset import Data, Split
from noiseproof.data.pipeline.augment import Augment
from noiseproof.errors import InputError
from noiseproof.models import Network
from noiseproof.recipes import Method, Recipe

__all__ = ["in_reach", "measured", "network_for"]


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


def in_reach(data: Data, augment: Augment) -> Data:
    """With image files read into memory, where the recipe does not say how to cut them to one size."""
    paths = data.train.inputs
    if isinstance(paths, Tensor) or augment.crop is not None or augment.resize is not None:
        return data
    from noiseproof.data.pipeline.decoding import in_memory, size_of  # Pillow, only where it is needed

    size = size_of(paths[0])

    def read(split: Split) -> Split:
        return split if isinstance(split.inputs, Tensor) else replace(split, inputs=in_memory(split.inputs, size))

    also = {name: read(split) for name, split in data.also.items()}
    return replace(data, train=read(data.train), test=read(data.test), also=also)


def measured(augment: Augment, split: Split) -> Augment:
    """With mean and spread of the training inputs, where the recipe gives none; files of images stay in [0, 1]."""
    if augment.mean or not isinstance(split.inputs, Tensor):
        return augment
    inputs = split.inputs
    if inputs.dim() == 2:
        mean, std = inputs.double().mean(0), inputs.double().std(0, correction=0)
    else:
        counts = torch.stack([channel.flatten().bincount(minlength=256) for channel in inputs.transpose(0, 1)]).double()
        levels = torch.arange(256, dtype=torch.float64, device="cpu") / 255
        mean = (counts * levels).sum(1) / counts.sum(1)
        std = ((counts * levels.square()).sum(1) / counts.sum(1) - mean.square()).clamp_min(0).sqrt()
    std = torch.where(std > 1e-6 * mean.abs().clamp_min(1e-6), std, 1.0)  # what never changes is only shifted
    return replace(augment, mean=tuple(mean.tolist()), std=tuple(std.tolist()))
