"""Laws of a method, for anybody's: it repeats, resumes, sees no true label and leaves the global streams alone."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch
from torch import Tensor

from noiseproof import recipes, rng
from noiseproof.data import Data, Split
from noiseproof.methods import Method, parse
from noiseproof.recipes import Recipe
from noiseproof.train import Training

__all__ = ["check_method"]

_CLASSES = 5


class _Stopped(Exception):
    """The run is stopped on purpose."""


def check_method(method: str | Method, *, epochs: int = 4) -> None:
    """Check a method on 96 small samples: text, determinism, resuming, blindness to true labels.

    Args:
        method: its text, or a method of a registered class.
        epochs: of each of the short trainings; enough for every part of the method to act.

    Raises:
        AssertionError: a law does not hold; the message says which.

    Example:
        >>> check_method("elr(lam=1)", epochs=2)
    """
    text = str(parse(method) if isinstance(method, str) else method)
    assert str(parse(text)) == text, f"the text of {text} is read back as {parse(text)}"
    recipe = recipes.load("digits", {"train.epochs": epochs, "train.batch_size": 16, "model.hidden": [16, 16]})
    before = torch.get_rng_state()
    first = _train(text, recipe, truth=True)
    assert torch.equal(torch.get_rng_state(), before), f"{text} draws from torch's global stream; use batch.draw()"
    _same(first, _train(text, recipe, truth=True), f"{text} gives other weights the second time")
    _same(first, _train(text, recipe, truth=False), f"{text} gives other weights where true labels are not known")
    with tempfile.TemporaryDirectory() as folder:
        _stop_after(text, recipe, Path(folder), epochs // 2)
        resumed = _train(text, recipe, truth=True, folder=Path(folder))
    _same(first, resumed, f"{text} stopped and resumed gives other weights; keep its state in buffers")


def _data(truth: bool) -> Data:
    generator = rng.generator(7, "check method")
    labels = torch.arange(96) % _CLASSES
    inputs = 3 * torch.eye(8)[labels] + torch.randn(96, 8, generator=generator)
    wrong = torch.rand(96, generator=generator) < 0.3
    given = torch.where(wrong, (labels + 1) % _CLASSES, labels)
    names = tuple("abcde")
    train = Split(inputs, given, labels if truth else None, names)
    return Data("check", train, Split(inputs[:20], labels[:20], labels[:20], names), "0" * 64)


def _training(text: str, recipe: Recipe, truth: bool) -> Training:
    return Training(_data(truth), None, text, recipe, seed=3, device="cpu", precision="fp32")


def _train(text: str, recipe: Recipe, *, truth: bool, folder: Path | None = None) -> dict[str, Tensor]:
    training = _training(text, recipe, truth)
    for _ in training.steps(checkpoint_dir=folder, checkpoint_every=0):
        pass
    assert training.diverged_at is None, f"{text} diverged"
    return _state(training)


def _state(training: Training) -> dict[str, Tensor]:
    state = {f"network.{name}": each for name, each in training.predictor.state_dict().items()}
    return {name: each.clone() for name, each in (state | training.rule.state_dict(prefix="method.")).items()}


def _stop_after(text: str, recipe: Recipe, folder: Path, epochs: int) -> None:
    training = _training(text, recipe, truth=True)

    def stop(epoch: int, row: dict[str, float]) -> None:
        if epoch + 1 >= epochs:
            raise _Stopped

    try:
        for _ in training.steps(checkpoint_dir=folder, checkpoint_every=0, on_epoch=stop):
            pass
    except _Stopped:
        pass


def _same(one: dict[str, Tensor], other: dict[str, Tensor], complaint: str) -> None:
    differing = [name for name in one if name not in other or not torch.equal(one[name], other[name])]
    differing += [name for name in other if name not in one]
    assert not differing, f"{complaint} ({', '.join(differing[:3])})"
