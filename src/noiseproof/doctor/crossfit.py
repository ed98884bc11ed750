"""Out-of-sample probabilities: every sample is judged by a network that has not seen its label."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from noiseproof import rng
from noiseproof.data import Data, Split
from noiseproof.errors import InputError, MachineError
from noiseproof.recipes import Method, Recipe
from noiseproof.train import fit

__all__ = ["cross_fit", "folds_of"]

Progress = Callable[[int, int], object]


def folds_of(given: npt.NDArray[np.int64], folds: int, seed: int) -> npt.NDArray[np.int64]:
    """The fold of each sample, every class spread evenly over the folds.

    Raises:
        InputError: fewer samples than folds, or fewer than two folds.
    """
    if folds < 2 or folds > len(given):
        raise InputError(f"folds must lie in [2, {len(given)}] for {len(given)} samples, got {folds}")
    order = rng.permutation(len(given), seed, "split", "folds")
    by_class = order[np.argsort(given[order], kind="stable")]
    fold = np.empty(len(given), np.int64)
    fold[by_class] = np.arange(len(given)) % folds
    return fold


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
