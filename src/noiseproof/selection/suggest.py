r"""A method and its parameters from the number of classes and the noise; checked by training where data are given.

Without data the method is NCE + AMSE, the joint asymmetric loss. Its three parameters each answer one question:

- `a`, does it tolerate the noise: at least twice the smallest a of the AMSE theorem, and at least 30;
- NCE's factor, does training start: a model that knows nothing (every p = 1/K) is pulled towards the given label as
  strongly as with 10 classes and factor 0.6, where NCE pulls with $(1 - 1/K) / (K \ln K)$;
- AMSE's factor, does the noise lose: AMSE pulls with $(2 a / K) \, p (1 - p)$, and its factor is as large as it can be
  without pulling a model that knows nothing or one that is half sure (p = 1/2) more strongly than with 10 classes,
  a = 30 and factor 0.12. With few classes the first decides: too much, and the model keeps to what it happened to
  believe first. With many it is the second: too much, and wrong labels are learned too.

How far a sample can pull its own logits, and so memorise its label, goes with the pull times the number of epochs times
the learning rate, divided by the batch size. Both factors are therefore for one such product, that of the digits'
recipe, and grow where a recipe has less of it; where one has more they stay.

The pulls were chosen on the digits, Fashion-MNIST and real tables: half of them wins a point or two on the digits and
underfits on tables, twice as much gains as little on tables and loses more on the digits. With data, generalized
cross-entropy and plain cross-entropy are trained beside the suggestion, and what agrees best with held-out given
labels is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from noiseproof import losses, recipes, rng
from noiseproof.data import Data
from noiseproof.errors import InputError, in_range
from noiseproof.recipes import Recipe
from noiseproof.theory import smallest_a
from noiseproof.theory.kinds import checked_classes
from noiseproof.transition_matrix import transition_matrix

__all__ = ["Suggestion", "checked_by_training", "suggest"]

_A = 30.0
_AT_TEN = 10  # the number of classes whose pulls are matched
_ALPHA_AT_TEN = 0.6
_BETA_AT_TEN = 0.12
_MOST = 10.0  # both factors grow at most so many times for a short training
_LITTLE = 0.1  # share of wrong labels up to which a robust loss gains little
_PLAIN = "a robust loss gains little there; plain ce is as good, and correcting the suspect labels is better"
_SAMPLES = 2_000  # that candidates are trained on, at most


@dataclass(frozen=True)
class Suggestion:
    """A method text and why; `str` gives both."""

    method: str
    a: float
    smallest_a: float
    """The a that the noise asks for; inf where some class's own label does not lead."""
    margin: float | None
    """The smallest lead of a class's own label over its likeliest wrong one; None where the noise is not known."""
    reasons: tuple[str, ...]
    little_noise: bool = False
    """Few labels are wrong: plain cross-entropy is as good."""
    about_parameters: frozenset[str] = frozenset()
    """Those of the reasons that explain the parameters of NCE + AMSE; another method goes without them."""

    def __str__(self) -> str:
        return "\n".join([self.method, *(f"  {reason}" for reason in self.reasons)])

    def to_json(self) -> dict[str, Any]:
        """Plain values; what is infinite is None."""
        return {
            "method": self.method,
            "a": self.a,
            "smallest_a": self.smallest_a if math.isfinite(self.smallest_a) else None,
            "margin": self.margin,
            "reasons": list(self.reasons),
        }


def suggest(
    num_classes: int | None = None,
    transition: npt.NDArray[np.floating] | list[list[float]] | None = None,
    rate: float | None = None,
    *,
    recipe: Recipe | str | None = None,
    names: Sequence[str] = (),
    data: Data | None = None,
    seed: int = 1,
) -> Suggestion:
    """Suggest a loss with parameters for this many classes, this noise and this training.

    Args:
        num_classes: K; taken from `data` unless given.
        transition: (K, K), T[i, j] = P(given j | clean i), known or estimated.
        rate: share of wrong labels, where no matrix is known; taken as spread evenly over the wrong classes.
        recipe: the training to come, or its name; as long and as fast as that of the digits unless given.
        names: of the classes, for the reasons; numbers unless given.
        data: samples with their given labels; candidates are trained briefly on some of them, and the one that agrees
            best with the other given labels is kept.
        seed: of that training.

    Raises:
        InputError: both or impossible ones are given, or neither classes nor data.

    Example:
        >>> suggest(10, rate=0.4).method
        '0.6*nce + 0.12*amse'
        >>> suggest(10, rate=0.87).method                         # 30 is not twice the smallest a any more
        '0.6*nce + 0.06*amse(a=60)'
        >>> suggest(10, recipe=recipes.load("digits", {"train.epochs": 10})).method          # a quarter of the epochs
        '2.4*nce + 0.48*amse'
    """
    if num_classes is None:
        if data is None:
            raise InputError("suggest needs num_classes or data, such as suggest(10, rate=0.4)")
        num_classes = data.num_classes
    classes = checked_classes(num_classes)
    noise = _noise(classes, transition, rate)
    need, margin, reasons, parameters = _needed(names or range(classes), noise, rate)
    a = _A if not math.isfinite(need) else max(_A, float(f"{2 * need:.2g}"))
    times = _times(recipe)
    alpha = _rounded(times * _ALPHA_AT_TEN * _pull_of_nce(_AT_TEN) / _pull_of_nce(classes))
    untrained, half_sure = _pulls_of_amse(classes, a)
    most_untrained, most_half_sure = _pulls_of_amse(_AT_TEN, _A)
    beta = _rounded(times * _BETA_AT_TEN * min(most_untrained / untrained, most_half_sure / half_sure))
    loss = alpha * losses.parse("nce") + beta * losses.parse(f"amse(a={a!r})")
    if times != 1:
        parameters.append(f"both factors are {times:.2g} times the usual ones, because this training is short or slow")
    parameters += [
        f"factor {alpha:g} of nce: at the start of training the gradient on the given label's score is "
        f"{alpha * _pull_of_nce(classes):.2g}, as at {_AT_TEN} classes ({_pull_of_nce(classes):.2g} with factor 1)",
        f"factor {beta:g} of amse: its gradient is {beta * untrained:.2g} at the start and {beta * half_sure:.2g} at "
        f"probability 1/2, neither larger than at {_AT_TEN} classes"
        + ("; alone it would underfit with so many classes" if classes > 20 else ""),
    ]
    little = noise is not None and 1 - float(noise.diagonal().mean()) <= _LITTLE
    found = Suggestion(str(loss), a, need, margin, (*reasons, *parameters), little, frozenset(parameters))
    return found if data is None else checked_by_training(found, data, recipe, seed)


def checked_by_training(found: Suggestion, data: Data, recipe: Recipe | str | None = None, seed: int = 1) -> Suggestion:
    """The suggestion, or `gce` or `ce` where that agrees better with held-out given labels after a short training.

    Args:
        found: a suggestion.
        data: its training split is used, at most 2,000 samples of it.
        recipe: the training to come; unless given, a small network on vectors of the inputs.
        seed: of the choice of samples and of the training.

    Raises:
        InputError: too few samples to hold some out, or every candidate diverged.
    """
    from noiseproof import features
    from noiseproof.selection.tune import tune

    few = data.train.take(rng.permutation(len(data.train), seed, "split", "suggest")[:_SAMPLES])
    if recipe is None:
        few = replace(few, inputs=torch.from_numpy(np.asarray(features.vectors(few.inputs), dtype=np.float32)))
    protocol = recipes.load(recipe or "digits") if recipe is None or isinstance(recipe, str) else recipe
    candidates = (
        ["ce", "gce", found.method] if found.little_noise else [found.method, "gce", "ce"]
    )  # ties go to the first
    choice = tune(replace(data, train=few), None, candidates, protocol, seed=seed)
    trained = ", ".join(f"{one.method} {one.accuracy:.1f} %" for one in choice.trials)
    reason = f"agreement with {choice.held_out} held-out given labels after a short training: {trained}"
    kept = [one for one in found.reasons if choice.method == "ce" or not one.endswith(_PLAIN)]  # it came out otherwise
    if choice.method != found.method:
        kept = [one for one in kept if one not in found.about_parameters]
    return replace(found, method=choice.method, reasons=(reason, *kept))


def _noise(classes: int, transition: object, rate: float | None) -> npt.NDArray[np.float64] | None:
    """The transition matrix, or of evenly spread noise its one kind of row, (1, K) with the own label first."""
    if transition is not None and rate is not None:
        raise InputError("give the transition matrix or the rate, not both")
    if rate is not None:
        rate = in_range("rate", rate, 0.0, 1.0, below=True)
        row = np.full((1, classes), rate / (classes - 1))
        row[0, 0] = 1 - rate
        return row
    if transition is None:
        return None
    matrix = transition_matrix(transition)
    if len(matrix) != classes:
        raise InputError(f"the transition matrix is of {len(matrix)} classes, num_classes is {classes}")
    return matrix


def _needed(
    names: Sequence[object], noise: npt.NDArray[np.float64] | None, rate: float | None
) -> tuple[float, float | None, list[str], list[str]]:
    """The smallest a of the hardest class whose own label leads, the smallest margin; words on the noise and on a."""
    if noise is None:
        lead = f"a = {_A:g} tolerates noise under which the true label leads the likeliest wrong one by {1 / _A:.3f}"
        return 1.0, None, [], [lead]
    own = noise.diagonal()
    others = noise.copy()
    np.fill_diagonal(others, -1.0)
    margins = own - others.max(1)
    leading = [row for row, margin in zip(noise, margins, strict=True) if margin > 1e-12]
    lost = np.flatnonzero(margins <= 1e-12)
    needs = [float(smallest_a(row)) for row in leading]
    hardest = int(margins.argmin())
    reasons, about_a = [], []
    if 1 - own.mean() <= _LITTLE:
        reasons.append(f"about {100 * (1 - own.mean()):.0f} % of the labels are wrong: {_PLAIN}")
    if needs and not len(lost):
        which = "each class" if rate is not None else f"class {names[hardest]}"
        rival = "any other" if rate is not None else str(names[int(others[hardest].argmax())])
        lead = f"{which} keeps its label more often than it gets that of {rival}, by {margins[hardest]:.3g}"
        about_a.append(f"the noise needs a >= {max(needs):.3g}: {lead}")
    if len(lost):
        named = (
            "any class" if rate is not None else "class " + ", ".join(str(names[label]) for label in lost[:10].tolist())
        )
        reasons.append(f"no loss can be expected to learn {named}: its own label is not its most frequent one")
    if rate is not None and rate >= 0.5:
        reasons.append("a loss tolerates noise of this rate only if it is spread over many classes, as assumed here")
    return (max(needs) if needs and not len(lost) else math.inf), float(margins.min()), reasons, about_a


def _times(recipe: Recipe | str | None) -> float:
    """Factor by which the pulls must grow for a sample to get at least as far as under the digits' recipe."""
    if recipe is None:
        return 1.0
    chosen = recipes.load(recipe) if isinstance(recipe, str) else recipe
    return float(np.clip(_reach(recipes.load("digits")) / _reach(chosen), 1.0, _MOST))


def _reach(recipe: Recipe) -> float:
    """Distance that a pull of 1 moves a sample's scores: the steps that see it, times the step."""
    return recipe.train.epochs * recipe.train.lr / recipe.train.batch_size


# How strongly a loss pulls the given label's score: the size of its slope.


def _pull_of_nce(classes: int) -> float:
    """Pull of NCE where every p is 1/K."""
    return (1 - 1 / classes) / (classes * math.log(classes))


def _pulls_of_amse(classes: int, a: float) -> tuple[float, float]:
    """Pulls of AMSE where every p is 1/K, and where the given label has 1/2 and the others next to nothing."""
    untrained, half_sure = (2 * a / classes * p * (1 - p) for p in (1 / classes, 1 / 2))
    return untrained, half_sure


def _rounded(number: float) -> float:
    return float(f"{number:.2g}")
