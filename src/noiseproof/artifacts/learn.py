"""From data to a model in minutes: frozen features once, then the learner that held-out given labels choose."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from noiseproof import features, learners
from noiseproof.artifacts.architectures import OnFeatures
from noiseproof.artifacts.model import Model
from noiseproof.artifacts.new_items import columns_of
from noiseproof.data.dataset import Data, Split, samples
from noiseproof.errors import InputError
from noiseproof.features import Columns, Extractor, FeatureCache, FrozenNetwork
from noiseproof.features.base import Progress

__all__ = ["Learned", "learn", "seconds_per_sample"]


@dataclass(eq=False)
class Learned:
    """A model and how it came about.

    Attributes:
        model: ready to predict, and to save.
        choice: the learners that were judged, and the chosen one.
        accuracy: on the test split, percent; None where it is empty.
        against: "given" or "clean", the labels of the test split that were compared.
        seconds: of the whole.
        notes: what the user should know.
    """

    model: Model
    choice: learners.Choice
    accuracy: float | None
    against: str
    seconds: float
    notes: list[str]


def learn(
    data: Data,
    given: npt.NDArray[np.int64] | None = None,
    *,
    extractor: str | None = None,
    only: str | None = None,
    seed: int = 1,
    cache: str | None = "default",
    time_limit: float | None = None,
    progress: Progress | None = None,
    on_candidate: Callable[[str], object] = lambda name: None,
    about: dict[str, Any] | None = None,
) -> Learned:
    """Train a model on given labels; no clean label is used.

    Args:
        data: what to train and test on.
        given: labels of the training split; those it came with unless given.
        extractor: of features, such as `lite2(side=160)`; chosen by the data unless given.
        only: the one learner to take, such as "discriminant"; chosen by held-out given labels unless given.
        seed: of the folds and the learners.
        cache: folder of vectors of pictures; None keeps none.
        time_limit: seconds after which nothing new is begun; pictures that do not fit are left out, and said so.
        progress: called with (pictures, all) as they are read.
        on_candidate: called with the name of each learner that is judged.
        about: what the model folder should say besides.

    Raises:
        InputError: too few classes or samples, or no such extractor or learner.
    """
    started = time.monotonic()
    train, notes = data.train, []
    if train.soft is not None:
        raise InputError(
            "learners on frozen features take one label a sample; with --soft add --method, such as jal-ce"
        )
    labels = train.given.numpy() if given is None else np.asarray(given, np.int64)
    found = features.extractor_for(train.inputs, extractor)
    found.cache = FeatureCache.at(cache)
    inputs = train.inputs
    if time_limit is not None and found.kind == "pictures":
        kept = _fitting(found, inputs, time_limit)
        if kept < len(inputs):
            chosen = _spread(labels, kept, seed)
            inputs, labels = samples(inputs, chosen), labels[chosen]
            notes.append(f"the time limit allows {kept} of {len(train)} pictures; a random part, every class in it")
    vectors = found.fit_transform(inputs, progress=progress)
    if isinstance(found, Columns) and isinstance(inputs, Tensor):
        found.names = _names(data, found.names)
    choice = learners.choose(
        vectors,
        labels,
        data.num_classes,
        kind=found.kind,
        refit=isinstance(found, FrozenNetwork),
        seed=seed,
        only=only,
        deadline=None if time_limit is None else started + 0.7 * time_limit,
        on_candidate=on_candidate,
    )
    model = Model(OnFeatures(found, choice.head).smaller(), data.classes)
    accuracy, against = _accuracy(model, data.test)
    model.about = {
        "method": choice.name,
        "features": str(found),
        "chosen": choice.reason,
        "candidates": {one.name: round(one.agreement, 4) for one in choice.candidates},
        "settings": {one.name: one.setting for one in choice.candidates if one.setting},
        "data": data.name,
        "fingerprint": data.fingerprint,
        "samples": len(labels),
        "columns": columns_of(data),
        "estimated_rate": round(choice.noise.rate, 4),
        "estimated_transition": choice.noise.transition.round(4).tolist() if data.num_classes <= 100 else None,
        "accuracy": None
        if accuracy is None
        else {"percent": round(accuracy, 2), "samples": len(data.test), "against": against},
        **(about or {}),
    }
    return Learned(model, choice, accuracy, against, time.monotonic() - started, notes)


def seconds_per_sample(extractor: Extractor, inputs: Any) -> float:
    """Seconds that a picture takes, measured on a few; 0 for what takes no time to speak of."""
    if extractor.kind != "pictures" or not len(inputs):
        return 0.0
    some = samples(inputs, np.arange(min(16, len(inputs))))
    cache, extractor.cache = extractor.cache, None
    if not isinstance(extractor, FrozenNetwork):
        extractor.fit(some)
    extractor.transform(samples(some, np.arange(1)))  # the first call loads weights
    begun = time.perf_counter()
    extractor.transform(some)
    extractor.cache = cache
    return (time.perf_counter() - begun) / len(some)


def _fitting(extractor: Extractor, inputs: Any, limit: float) -> int:
    """Pictures whose features fit into half the limit; those that the cache has would be quicker still."""
    each = seconds_per_sample(extractor, inputs)
    return len(inputs) if each * len(inputs) <= 0.6 * limit else max(20, int(0.5 * limit / each))


def _spread(labels: npt.NDArray[np.int64], count: int, seed: int) -> npt.NDArray[np.int64]:
    """Positions of a random part with every class in it."""
    fold = learners.folds_of(labels, max(1, round(len(labels) / count)), seed)
    found: npt.NDArray[np.int64] = np.flatnonzero(fold == 0)
    return found


def _names(data: Data, numbered: list[str]) -> list[str]:
    """Names of a table's columns, where the reading kept them."""
    kept = list(data.reading.columns) if data.reading is not None else []
    return [str(name) for name in kept] if len(kept) == len(numbered) else numbered


def _accuracy(model: Model, test: Split) -> tuple[float | None, str]:
    against = "given" if test.clean is None else "clean"
    if not len(test):
        return None, against
    truth = (test.given if test.clean is None else test.clean).numpy()
    return float(100 * (model.probabilities(test.inputs).argmax(1) == truth).mean()), against
