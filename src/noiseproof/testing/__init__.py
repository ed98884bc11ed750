"""`check_loss`: does a loss, anybody's, keep the contract of `torch.nn.functional.cross_entropy`?

>>> from noiseproof import losses
>>> report = check_loss(losses.NCE(), num_classes=4)
>>> bool(report)
True

Needs torch and nothing else. `check_method` checks a method, anybody's: it trains small networks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from noiseproof.errors import InputError, UnknownNameError, did_you_mean
from noiseproof.testing.autograd import CHECKS as AUTOGRAD
from noiseproof.testing.case import Case, Check, Skip
from noiseproof.testing.numerics import CHECKS as NUMERICS
from noiseproof.testing.objects import CHECKS as OBJECTS
from noiseproof.testing.options import CHECKS as OPTIONS
from noiseproof.testing.shapes import CHECKS as SHAPES
from noiseproof.testing.values import CHECKS as VALUES

__all__ = ["CHECKS", "Report", "Result", "check_loss", "check_method"]


def __getattr__(name: str) -> object:
    if name == "check_method":  # needs what training needs
        from noiseproof.testing.method_laws import check_method

        return check_method
    raise AttributeError(f"module 'noiseproof.testing' has no attribute {name!r}")


CHECKS: tuple[Check, ...] = (*VALUES, *OPTIONS, *SHAPES, *NUMERICS, *OBJECTS, *AUTOGRAD)
"""Every check, in the order in which they run."""


@dataclass(frozen=True)
class Result:
    """Result of one check: "passed", "failed" or "skipped", and why."""

    name: str
    outcome: str
    expected: str
    found: str = ""

    def __str__(self) -> str:
        if self.outcome == "failed":
            return f"failed  {self.name}\n          expected: {self.expected}\n          found:    {self.found}"
        return f"{self.outcome} {self.name}" + (f" ({self.found})" if self.found else "")


@dataclass(frozen=True)
class Report:
    """Results of `check_loss`; true if nothing failed."""

    loss: str
    results: tuple[Result, ...]

    def named(self, outcome: str) -> list[str]:
        """The names of the checks that "passed", "failed" or were "skipped"."""
        return [result.name for result in self.results if result.outcome == outcome]

    @property
    def failures(self) -> list[Result]:
        """The checks that failed, with what was expected and what was found."""
        return [result for result in self.results if result.outcome == "failed"]

    def __bool__(self) -> bool:
        return not self.failures

    def __str__(self) -> str:
        counts = ", ".join(f"{len(self.named(outcome))} {outcome}" for outcome in ("passed", "failed", "skipped"))
        lines = [f"{self.loss}: {counts}"]
        lines += [f"  {result}" for result in self.results if result.outcome != "passed"]
        return "\n".join(lines)


def check_loss(
    loss: Callable[[Tensor, Tensor], Tensor],
    *,
    num_classes: int = 5,
    shift_invariant: bool | None = None,
    skip: Collection[str] = (),
    raise_on_failure: bool = False,
) -> Report:
    """Run every check of the contract on a loss.

    The loss of one sample with one label, in float64, is taken as its definition; everything else must follow
    from it: reductions, `weight`, `ignore_index`, `label_smoothing`, soft targets, shapes, precision, derivatives.
    An option that the loss does not have skips its checks, by name.

    Args:
        loss: an instance of `losses.Loss`, any `torch.nn.Module` or any function `loss(scores, target)`.
        num_classes: from 3 on; classes of the made-up scores.
        shift_invariant: whether adding one number to all scores must change nothing. None asks the loss's own
            claim, and assumes so where there is none.
        skip: names of checks to leave out.
        raise_on_failure: raise AssertionError with the printed report if a check fails.

    Example:
        >>> import torch
        >>> def careless(scores, target):
        ...     return -scores.softmax(1)[torch.arange(len(target)), target].log().sum()
        >>> report = check_loss(careless, num_classes=3)
        >>> bool(report), "mean_is_the_average_over_the_samples" in report.named("failed")
        (False, True)
    """
    if num_classes < 3:
        raise InputError(f"num_classes must be 3 or more, got {num_classes}")
    known = [check.name for check in CHECKS]
    for name in skip:
        if name not in known:
            raise UnknownNameError(f"no check named {name!r}{did_you_mean(name, known)}")
    with torch.device("cpu"):
        first = Case(loss, num_classes, shift_invariant)
        results = [
            _result(check, Case(loss, num_classes, shift_invariant, first), skipped=check.name in skip)
            for check in CHECKS
        ]
    report = Report(getattr(loss, "__name__", str(loss)), tuple(results))
    if raise_on_failure and not report:
        raise AssertionError(str(report))
    return report


def _result(check: Check, case: Case, *, skipped: bool) -> Result:
    try:
        if skipped:
            raise Skip("asked for")
        check.run(case)
        outcome, found = "passed", ""
    except (Skip, ModuleNotFoundError) as reason:  # torch.func and torch.compile need numpy
        outcome, found = "skipped", str(reason)
    except Exception as error:
        outcome, found = "failed", _told(error)
    return Result(check.name, outcome, check.expected, found)


def _told(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if isinstance(error, AssertionError) and text else f"{type(error).__name__}: {text}"
