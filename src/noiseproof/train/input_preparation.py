"""Preparation of inputs before training: images in memory, vectors, tokens, mean and std, and what is held out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from noiseproof import features, models
from noiseproof.data.dataset import Data, Split, is_frame, stratified
from noiseproof.data.pipeline.crops_and_flips import Augment
from noiseproof.errors import InputError
from noiseproof.features import FeatureCache
from noiseproof.features.base import Array
from noiseproof.features.vector_cache import DEFAULT
from noiseproof.recipes import Model

__all__ = ["AS_THEY_ARE", "HELD_OUT", "as_tokens", "as_vectors", "hold_out", "load_images", "with_input_stats"]

HELD_OUT = "held-out given labels"
"""Name of the further test set of a run that holds out a share of its given labels."""

AS_THEY_ARE = Augment(mean=(0.0,), std=(1.0,))
"""Preprocessing that leaves the numbers of tokens as they are."""


def load_images(data: Data, augment: Augment) -> Data:
    """With image files read into memory, where the recipe does not say how to cut them to one size."""
    paths = data.train.inputs
    if is_frame(paths):
        raise InputError(
            f"{data.name} is a table with words, dates or gaps, and the network takes numbers; leave --recipe out, or "
            "add --set model.features=columns"
        )
    if isinstance(paths, Tensor) or augment.crop is not None or augment.resize is not None:
        return data
    from noiseproof.data.pipeline.decoding import in_memory, size_of  # Pillow, only where it is needed

    size = size_of(paths[0], turned=augment.upright)

    def read(split: Split) -> Split:
        return (
            split
            if isinstance(split.inputs, Tensor)
            else replace(split, inputs=in_memory(split.inputs, size, turned=augment.upright))
        )

    also = {name: read(split) for name, split in data.also.items()}
    return replace(data, train=read(data.train), test=read(data.test), also=also)


def with_input_stats(augment: Augment, split: Split) -> Augment:
    """With mean and std of the training inputs, where the recipe gives none; files of images stay in [0, 1]."""
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


def hold_out(data: Data, given: Tensor, share: float) -> tuple[Data, Tensor]:
    """The data without a share of each given class, which becomes a further test set, and the other given labels."""
    stay, held = stratified(given.numpy(), share)
    if not len(held) or not len(stay):
        raise InputError(f"{data.name}: {len(given)} samples are too few to hold out {share:.0%} of each class")
    split = data.train
    judged = replace(replace(split, given=given, clean=None).take(held), origin=None)
    return replace(data, train=split.take(stay), also={HELD_OUT: judged}), given[torch.from_numpy(stay)]


def as_tokens(data: Data, model: Model) -> Data:
    """The data with numbers of tokens for texts, float32 (N, L), padded with -1.

    Raises:
        InputError: the network is not of a Hugging Face folder, the one kind that takes texts.
    """
    if not model.name.startswith("transformers:"):
        raise InputError(
            f"{data.name} holds texts, and model {model.name} takes numbers; leave --recipe and --set out to learn on "
            "TF-IDF (or --set model.features=tfidf), or give a Hugging Face folder: "
            "--set model.name=transformers:FOLDER"
        )
    tokenizer = models.Tokenizer.of_folder(models.folder_of(model.name))
    tokenizer.length = length = tokenizer.encode(data.train.inputs).shape[1]

    def moved(split: Split) -> Split:
        found = torch.full((len(split), length), -1.0, dtype=torch.float32, device="cpu")
        tokens = tokenizer.encode(split.inputs)
        found[:, : tokens.shape[1]] = tokens.float()
        return replace(split, inputs=found)

    others = {name: moved(split) for name, split in data.also.items()}
    return replace(data, train=moved(data.train), test=moved(data.test), also=others)


_Vectors = tuple[Data, features.Extractor]
_newest: list[tuple[tuple[str, int, int, str], _Vectors]] = []  # a worker computes run after run on the same vectors


def as_vectors(data: Data, text: str) -> _Vectors:
    """The data with vectors of a frozen extractor for inputs, and the extractor; the cache keeps those of pictures.

    Args:
        data: pictures, texts or a table.
        text: an extractor, such as `lite0(side=96)`; fitted on the training inputs.
    """
    key = (data.fingerprint, len(data.train), len(data.test), text)
    if not _newest or _newest[0][0] != key:
        extractor = features.extractor_for(data.train.inputs, text)
        extractor.cache = FeatureCache.at(DEFAULT)

        def moved(split: Split, vectors: Array) -> Split:
            return replace(split, inputs=torch.from_numpy(np.ascontiguousarray(vectors, np.float32)))

        train = moved(data.train, extractor.fit_transform(data.train.inputs))
        test, *others = (moved(each, extractor.transform(each.inputs)) for each in (data.test, *data.also.values()))
        found = replace(data, train=train, test=test, also=dict(zip(data.also, others, strict=True)))
        _newest[:] = [(key, (found, extractor))]
    return _newest[0][1]
