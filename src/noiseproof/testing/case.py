"""One loss with made-up scores, and the words in which a check speaks."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Case", "Check", "Skip", "collect"]


class Skip(Exception):
    """The check does not apply to this loss; the text says why."""


@dataclass(frozen=True)
class Check:
    """A sentence that must be true of a loss."""

    name: str
    expected: str
    run: Callable[[Case], None]


def collect(checks: list[Check]) -> Callable[[Callable[[Case], None]], Callable[[Case], None]]:
    """Decorator that adds a function to `checks`: its name is the check's, its docstring what is expected."""

    def add(run: Callable[[Case], None]) -> Callable[[Case], None]:
        checks.append(Check(run.__name__, inspect.getdoc(run) or "", run))
        return run

    return add


class Case:
    """The loss under test with six samples, their labels, soft targets and class weights (all float64).

    Every check has a case of its own, as a loss may spoil what it is given; `first` is where its table is kept.
    """

    def __init__(
        self,
        loss: Callable[..., Tensor],
        num_classes: int,
        shift_invariant: bool | None,
        first: Case | None = None,
    ) -> None:
        self.loss = loss
        self.first = first
        self.classes = num_classes
        self._shift_invariant = shift_invariant
        generator = torch.Generator().manual_seed(20)
        self.scores = 2 * torch.randn(6, num_classes, generator=generator, dtype=torch.float64)
        self.labels = torch.arange(6) % num_classes
        self.soft = torch.rand(6, num_classes, generator=generator, dtype=torch.float64) + 0.1
        self.soft /= self.soft.sum(1, keepdim=True)
        self.weight = torch.rand(num_classes, generator=generator, dtype=torch.float64) + 0.5

    # Calling

    def with_options(self, **options: Any) -> Callable[[Tensor, Tensor], Tensor]:
        """The loss with other options of `cross_entropy`; the loss itself stays as it is."""
        if not options:
            return self.plain
        if isinstance(self.loss, nn.Module):
            missing = [name for name in options if not hasattr(self.loss, name)]
            if not missing:
                changed: Callable[[Tensor, Tensor], Tensor] = copy.deepcopy(self.plain)
                for name, value in options.items():
                    setattr(changed, name, value)
                return changed
        else:
            parameters = _parameters(self.loss)
            missing = [name for name in options if name not in parameters]
            if not missing:
                return partial(self.plain, **options)
        raise Skip(f"it has no option {', '.join(missing)}")

    @cached_property
    def plain(self) -> Callable[..., Tensor]:
        """The loss with the default options, as far as it has options."""
        defaults = {"weight": None, "ignore_index": -100, "reduction": "mean", "label_smoothing": 0.0}
        if isinstance(self.loss, nn.Module):
            loss = copy.deepcopy(self.loss)
            for name, value in defaults.items():
                if hasattr(loss, name):
                    setattr(loss, name, value)
            return loss
        parameters = _parameters(self.loss)
        return partial(self.loss, **{name: value for name, value in defaults.items() if name in parameters})

    def call(self, scores: Tensor | None = None, target: Tensor | None = None, **options: Any) -> Tensor:
        """The loss of the made-up samples, or of others."""
        scores = self.scores if scores is None else scores
        return self.with_options(**options)(scores, self.labels if target is None else target)

    def gradient(self, scores: Tensor | None = None, target: Tensor | None = None, **options: Any) -> Tensor:
        """The derivative of the summed-up value in the scores."""
        leaf = (self.scores if scores is None else scores).detach().clone().requires_grad_()
        (slope,) = torch.autograd.grad(self.call(leaf, target, **options).sum(), leaf)
        return slope

    def table_of(self, scores: Tensor) -> Tensor:
        """The loss of every label of every row, each from a call with one sample: the definition of the loss."""
        count, classes = scores.shape
        cells = [
            self.plain(scores[row : row + 1].detach().clone(), torch.tensor([label])).reshape(()).detach()
            for row in range(count)
            for label in range(classes)
        ]
        return torch.stack(cells).reshape(count, classes)

    @cached_property
    def table(self) -> Tensor:
        """The loss of every label of the made-up samples."""
        return self.table_of(self.scores) if self.first is None else self.first.table.clone()

    @cached_property
    def losses(self) -> Tensor:
        """The loss of each made-up sample with its label."""
        return self.table.gather(1, self.labels[:, None])[:, 0]

    def per_class(self, scores: Tensor) -> Tensor:
        """The loss's own `per_class`."""
        if not hasattr(self.loss, "per_class"):
            raise Skip("it has no per_class")
        result: Tensor = self.loss.per_class(scores)
        return result

    # Claims

    def claims(self, name: str, default: bool) -> bool:
        """Claims that the loss is registered with; of a sum, those of all its terms."""
        terms = self.loss.terms() if hasattr(self.loss, "terms") else []
        found = [self._claim(type(term), name) for _, term in terms]
        return default if not found or None in found else all(found)

    @staticmethod
    def _claim(cls: type, name: str) -> Any:
        from noiseproof.losses import LOSSES

        registered = getattr(cls, "name", "")
        known = registered in LOSSES and LOSSES[registered].cls is cls
        return LOSSES[registered].claims.get(name) if known else None

    @property
    def shift_invariant(self) -> bool:
        """True if adding one number to all scores of a sample must change nothing."""
        return self.claims("shift_invariant", True) if self._shift_invariant is None else self._shift_invariant

    @property
    def held_constant(self) -> bool:
        """True if the gradient holds a factor constant on purpose (`detach=true`)."""
        terms = self.loss.terms() if hasattr(self.loss, "terms") else [(1.0, self.loss)]
        return any(getattr(term, "detach", False) is True for _, term in terms)

    def must_pull(self) -> None:
        """Skip a check that needs a gradient on implausible labels, where the loss is registered to give them up."""
        if self.claims("gives_up", False):
            raise Skip("it gives up implausible labels by definition")

    # Judging

    def equal(self, found: Tensor, expected: Tensor | float, *, tolerance: float = 1e-9) -> None:
        """Same shape and numbers, NaN where NaN is expected."""
        expected = torch.as_tensor(expected, dtype=torch.float64)
        assert found.shape == expected.shape, f"shape {tuple(found.shape)} instead of {tuple(expected.shape)}"
        found = found.detach().double()
        close = torch.isclose(found, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
        assert close.all(), f"{_short(found[~close])} instead of {_short(expected[~close])}"

    def finite(self, found: Tensor) -> None:
        """No NaN and no infinity."""
        assert found.isfinite().all(), f"{_short(found[~found.isfinite()])}"

    def refused_like_cross_entropy(self, scores: Tensor, target: Tensor, **options: Any) -> None:
        """The loss raises the exception type that torch's `cross_entropy` raises."""
        loss = self.with_options(**options)
        try:
            nn.functional.cross_entropy(scores, target, **options)
        except Exception as error:
            wanted = type(error)
        try:
            value = loss(scores, target)
        except wanted:
            return
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} instead of {wanted.__name__}: {error}") from None
        raise AssertionError(f"no {wanted.__name__} but the value {_short(value.detach())}")


def _parameters(function: Callable[..., Any]) -> set[str]:
    try:
        return set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return set()


def _short(numbers: Tensor) -> str:
    shown = ", ".join(f"{number:.9g}" for number in numbers.flatten()[:3].tolist())
    return f"[{shown}, ...]" if numbers.numel() > 3 else shown
