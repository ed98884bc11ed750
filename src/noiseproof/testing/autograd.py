"""The contract of autograd and of modules: what happens between forward and backward, what is held, what is moved."""

from __future__ import annotations

import copy
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from noiseproof.testing.case import Case, Check, Skip, collect

CHECKS: list[Check] = []
check = collect(CHECKS)

_BACKWARDS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "backward": lambda value, leaf: torch.autograd.grad(value, leaf)[0],
    "a second backward": lambda value, leaf: _twice(value, leaf),
    "create_graph": lambda value, leaf: torch.autograd.grad(value, leaf, create_graph=True)[0].detach(),
}


def _twice(value: Tensor, leaf: Tensor) -> Tensor:
    torch.autograd.grad(value, leaf, retain_graph=True)
    return torch.autograd.grad(value, leaf)[0]


def _same_or_raises(case: Case, change: Callable[[Any, Tensor], object], **options: Any) -> None:
    """A change after the call leaves every gradient as it was, or backward raises."""
    for dtype in (torch.float64, torch.float32, torch.float16):
        given = {key: value.to(dtype) if isinstance(value, Tensor) else value for key, value in options.items()}
        if dtype is torch.float16 and "weight" in given:
            given["weight"] = given["weight"].float()
        for name, backward in _BACKWARDS.items():
            expected = changed = None
            for turn in range(2):
                loss = case.with_options(**{key: copy.deepcopy(value) for key, value in given.items()})
                leaf, labels = case.scores.to(dtype).requires_grad_(), case.labels.clone()
                try:
                    value = loss(leaf, labels)
                except RuntimeError:  # it does not take this precision
                    break
                if turn == 0:
                    expected = backward(value, leaf)
                    continue
                change(loss, labels)
                try:
                    changed = backward(value, leaf)
                except RuntimeError:
                    continue
                assert torch.allclose(changed.double(), expected.double(), rtol=1e-2, atol=1e-3), (  # type: ignore[union-attr]
                    f"another gradient in {name} of {dtype}"
                )


@check
def labels_changed_after_the_call_do_no_harm(case: Case) -> None:
    """Labels overwritten between forward and backward: the gradient is that of the call, or backward raises."""
    _same_or_raises(case, lambda loss, labels: labels.fill_(case.classes - 1))


@check
def weights_changed_after_the_call_do_no_harm(case: Case) -> None:
    """Class weights overwritten between forward and backward: the gradient is that of the call, or backward raises."""
    if not isinstance(case.loss, nn.Module):
        raise Skip("it is not a module")
    _same_or_raises(case, lambda loss, labels: loss.weight.mul_(torch.arange(case.classes)), weight=case.weight)


@check
def options_changed_after_the_call_do_no_harm(case: Case) -> None:
    """`reduction` and `weight` set to others between forward and backward: the gradient is that of the call."""
    if not isinstance(case.loss, nn.Module):
        raise Skip("it is not a module")

    def change(loss: Any, labels: Tensor) -> None:
        loss.reduction, loss.weight = "sum", torch.arange(case.classes, dtype=torch.float64)

    _same_or_raises(case, change, reduction="mean", weight=case.weight)


@check
def equal_copies_in_one_model_are_all_moved(case: Case) -> None:
    """Two equal losses in one model: both are modules of it, both are converted and put in evaluation mode."""
    if not isinstance(case.loss, nn.Module):
        raise Skip("it is not a module")
    first, second = copy.deepcopy(case.loss), copy.deepcopy(case.loss)
    if hasattr(first, "weight"):
        first.weight, second.weight = case.weight.clone(), case.weight.clone()
    model = nn.ModuleDict({"first": first, "second": second})
    model.float().eval()
    assert not second.training, "the second stays in training mode"
    assert sum(module is second for module in model.modules()) == 1, "the second is not among the model's modules"
    if hasattr(second, "weight"):
        assert second.weight.dtype == torch.float32, "the second's weight is not converted"


@contextmanager
def _quiet() -> Iterator[None]:
    """The profiler writes to the process's standard error that it starts and stops: not here."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _memory(run: Callable[[], object]) -> tuple[int, int]:
    """The most bytes held while something runs beyond those before, and those still held after it."""
    activities = [torch.profiler.ProfilerActivity.CPU]
    with _quiet(), torch.profiler.profile(activities=activities, profile_memory=True) as profile:
        kept = run()
    most = now = 0
    for event in sorted(profile.events(), key=lambda event: event.time_range.start):
        now += event.self_cpu_memory_usage
        most = max(most, now)
    del kept
    return most, now


def _large(case: Case) -> tuple[Tensor, Tensor]:
    scores = torch.randn(800, 200, generator=torch.Generator().manual_seed(1))
    return scores.requires_grad_(), torch.arange(800) % 200


@check
def checkpointed_call_holds_nothing(case: Case) -> None:
    """No (N, K) tensor stays when hooks take what is saved for backward, as activation checkpointing does."""
    scores, target = _large(case)

    def call() -> Tensor:
        with saved_tensors_hooks(lambda tensor: None, lambda nothing: torch.empty(0)):
            return case.call(scores, target)

    _, held = _memory(call)
    assert held < scores.nbytes / 2, f"{held / scores.nbytes:.2f} of the scores' memory is held after the call"


@check
def options_take_no_more_memory(case: Case) -> None:
    """label_smoothing, probabilities, reduction="none" and float64 take at most thrice what the plain call takes."""
    scores, target = _large(case)

    def used(given: Tensor, labels: Tensor, **options: Any) -> float:
        loss = case.with_options(**options)

        def run() -> None:
            torch.autograd.grad(loss(given, labels).sum(), given)

        run()
        return _memory(run)[0] / given.nbytes

    plain = used(scores, target)
    calls: dict[str, Callable[[], float]] = {
        "label_smoothing": lambda: used(scores, target, label_smoothing=0.1),
        "probabilities": lambda: used(scores, scores.detach().softmax(1)),
        'reduction="none"': lambda: used(scores, target, reduction="none"),
        "float64": lambda: used(scores.detach().double().requires_grad_(), target),
    }
    for name, call in calls.items():
        try:
            taken = call()
        except Skip:
            continue
        assert taken <= 3 * plain + 0.2, f"{name} takes {taken:.1f} times the scores' memory, a plain call {plain:.1f}"


@check
def infinite_scores_are_not_hidden(case: Case) -> None:
    """A score of +infinity (an overflow): loss and gradient are NaN in every precision, as torch's."""
    for dtype in (torch.float64, torch.float32):
        scores = case.scores[:1].to(dtype).clone()
        scores[0, 1] = torch.inf
        for label in range(3):
            value = case.call(scores, torch.tensor([label]))
            assert value.isnan(), f"loss {value.item():.6g} of label {label} in {dtype}"
        slope = case.gradient(scores, torch.tensor([0]))
        assert slope.isnan().all(), f"gradient {slope[0].tolist()[:3]} in {dtype}"
