"""A small network with a robust loss, judged by cross-validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from noiseproof.data import Data, Split
from noiseproof.doctor.judges.base import folds_of
from noiseproof.errors import MachineError
from noiseproof.recipes import Method, Recipe
from noiseproof.train import fit

__all__ = ["cross_fit"]

Progress = Callable[[int, int], object]


def cross_fit(
    split: Split,
    method: Method | str,
    recipe: Recipe,
    *,
    folds: int = 5,
    seed: int = 1,
    device: str = "auto",
    on_fold: Progress | None = None,
) -> npt.NDArray[np.float64]:
    """Log-probabilities (N, K) of each sample's classes, from networks trained on the other folds.

    Logarithms, since a robust loss makes probabilities that round to 0 and 1, and suspects are ranked among them.

    Args:
        split: the samples with the labels they came with; clean labels are not looked at.
        method: a method or loss text of the recipe.
        recipe: the network and its schedule.
        folds: how many parts; the network of each is trained on all the others.
        seed: of the folds and the training.
        device: as in `train.fit`.
        on_fold: called with (folds done, folds) after each.

    Raises:
        MachineError: the training diverged.
    """
    fold = folds_of(split.given.numpy(), folds, seed)
    blind = replace(split, clean=None)
    found = np.empty((len(split), len(split.classes)))
    for number in range(folds):
        stay, held_out = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        data = Data("cross-fit", blind.take(stay), blind.take(held_out), fingerprint="")
        outcome = fit(data, None, method, recipe, seed=seed, device=device, keep_outputs=True)
        if outcome.status != "done" or outcome.outputs is None:
            raise MachineError(f"training with {method} diverged at step {outcome.diverged_at}; try a smaller train.lr")
        found[held_out] = outcome.outputs["test_scores"].double().log_softmax(1).numpy()
        if on_fold is not None:
            on_fold(number + 1, folds)
    return found
