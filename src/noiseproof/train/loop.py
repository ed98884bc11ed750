"""One training loop for every data set, method and device.

All methods of a seed see the same labels, initial weights and order; nothing in an epoch waits for the device; the
result is the accuracy of the last epoch.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from noiseproof import models, rng
from noiseproof.data.augment import Augment
from noiseproof.data.batches import Batches
from noiseproof.data.split import Data, Split
from noiseproof.errors import InputError
from noiseproof.models import Network, StudentHead
from noiseproof.noise import NoisyLabels
from noiseproof.recipes import Method, Recipe
from noiseproof.text import parse_call
from noiseproof.train import checkpoint
from noiseproof.train.health import LIMIT, health
from noiseproof.train.place import Place, choose, flags
from noiseproof.train.step import Captured, Step, optimiser, rate, set_rate

__all__ = ["Outcome", "Training", "evaluate", "fit", "network_for", "predict"]

Progress = Callable[[int, dict[str, float]], object]


@dataclass
class Outcome:
    """What a run gives.

    Attributes:
        status: "done", or "diverged" when the loss was no finite number; `diverged_at` is then the step, from 0.
        accuracy: test accuracy of the last epoch, percent.
        curves: one value an epoch: `test_accuracy`, `train_accuracy` (on the given labels, as trained, percent),
            `train_loss` (the method's loss without its L1 penalty), `seconds`.
        also: last-epoch accuracy on the data set's further test splits, percent.
        health: how the training set was fitted, see `noiseproof.train.health`.
        outputs: on request, of the last epoch and on the CPU: `train_scores` and `test_scores` (N, K),
            `train_probability_given`, `train_max_probability`, `flipped` (where the truth is known), `test_features`,
            `test_clean`.
    """

    status: str
    accuracy: float
    curves: dict[str, list[float]]
    precision: str
    mode: str
    device: str
    seconds: float
    model: nn.Module
    also: dict[str, float] = field(default_factory=dict)
    health: dict[str, Any] = field(default_factory=dict)
    outputs: dict[str, Tensor] | None = None
    diverged_at: int | None = None
    notes: tuple[str, ...] = ()


def fit(
    data: Data,
    noisy: NoisyLabels | None,
    method: Method | str,
    recipe: Recipe,
    *,
    seed: int,
    device: str = "auto",
    precision: str = "auto",
    mode: str = "deterministic",
    checkpoint_dir: str | Path | None = None,
    on_epoch: Progress | None = None,
    keep_outputs: bool = False,
    checkpoint_every: float = 30.0,
) -> Outcome:
    """Train one method on given labels.

    Args:
        data: what to train and test on.
        noisy: the given labels; None: those the data came with.
        method: a method, or its name or loss text in this recipe.
        recipe: model, optimiser, schedule and augmentation.
        seed: of the initial weights, the order and the augmentation.
        device: "auto", "cpu", "cuda", "cuda:1", "mps".
        precision: "fp32", "tf32", "bf16"; "auto": bf16 for convolutions where the processor has it, else fp32.
        mode: "deterministic": the same bits every time on the same machine; or "fast".
        checkpoint_dir: where to save the state as the run goes; a run that finds its own state there goes on from it.
        on_epoch: called after every epoch with its number, from 0, and its row of the curves.
        keep_outputs: also give the scores and features of the last epoch.
        checkpoint_every: seconds between two saves, which follow the end of an epoch; the last epoch is always saved.

    Example:
        >>> from noiseproof import data, recipes
        >>> recipe = recipes.load("digits", {"train.epochs": 5})
        >>> fit(data.load("digits"), None, "ce", recipe, seed=1).accuracy > 90
        True
    """
    training = Training(data, noisy, method, recipe, seed=seed, device=device, precision=precision, mode=mode)
    with flags(mode, training.place):
        for _ in training.steps(checkpoint_dir=checkpoint_dir, on_epoch=on_epoch, checkpoint_every=checkpoint_every):
            pass
        return training.outcome(keep_outputs=keep_outputs)


class Training:
    """A run in progress; see `fit` for the arguments."""

    def __init__(
        self,
        data: Data,
        noisy: NoisyLabels | None,
        method: Method | str,
        recipe: Recipe,
        *,
        seed: int,
        device: str = "auto",
        precision: str = "auto",
        mode: str = "deterministic",
    ) -> None:
        if isinstance(method, str):
            method = recipe.method(method, noise=None if noisy is None else noisy.text)
        self.data, self.noisy, self.method, self.recipe, self.seed, self.mode = data, noisy, method, recipe, seed, mode
        given = data.train.given if noisy is None else torch.as_tensor(noisy.labels)
        if len(given) != len(data.train):
            raise InputError(f"noise gives {len(given)} labels, the training set of {data.name} has {len(data.train)}")
        self.augment = _measured(recipe.augment, data.train)
        network = network_for(data, method, recipe, seed=seed)
        self.place = choose(device, precision, network)
        self.network: Network = network.to(device=self.place.device, memory_format=self.place.memory_format)  # type: ignore[call-overload]
        self.loss = method.loss.to(self.place.device)
        self.given = given.to(self.place.device)
        train = recipe.train
        self.batches = Batches(
            data.train, train.batch_size, augment=self.augment, seed=seed, train=True, device=self.place.device
        )
        self.test = self._as_they_are(data.test)
        self.optimizer = optimiser(self.network, method, train, self.place)
        self.curves: dict[str, list[float]] = {
            name: [] for name in ("test_accuracy", "train_loss", "train_accuracy", "seconds")
        }
        self.diverged_at: int | None = None
        self.notes: tuple[str, ...] = ()

    def _as_they_are(self, split: Split) -> Batches:
        """The samples of a split in their own order, not augmented."""
        return Batches(split, self.recipe.train.eval_batch_size, augment=self.augment, device=self.place.device)

    @property
    def epoch(self) -> int:
        """Epochs that are behind it."""
        return len(self.curves["seconds"])

    def steps(
        self,
        *,
        checkpoint_dir: str | Path | None = None,
        on_epoch: Progress | None = None,
        checkpoint_every: float = 30.0,
    ) -> Iterator[None]:
        """Train to the last epoch; stops after every step, so that several runs can take turns."""
        folder = None if checkpoint_dir is None else Path(checkpoint_dir)
        if folder is not None:
            self._resume(folder)
        step = Step(self.network, self.loss, self.optimizer, self.place, self.method.l1, self.recipe.train.clip_norm)
        update = Captured(step) if self.place.device.type == "cuda" else step
        saved = time.monotonic()
        while self.epoch < self.recipe.train.epochs and self.diverged_at is None:
            started = time.perf_counter()
            losses, correct = yield from self._epoch(update)
            row = self._close_epoch(losses, correct)
            row["seconds"] = time.perf_counter() - started
            for name, value in row.items():
                self.curves[name].append(value)
            due = self.epoch == self.recipe.train.epochs or time.monotonic() - saved >= checkpoint_every
            if folder is not None and due and self.diverged_at is None:
                checkpoint.save(folder, self._state())
                saved = time.monotonic()
            if on_epoch is not None:
                on_epoch(self.epoch - 1, row)

    # What has to be kept to go on bit for bit: the order and the augmentation follow from (seed, epoch).

    def _state(self) -> checkpoint.State:
        tensors = {f"model.{name}": tensor for name, tensor in self.network.state_dict().items()}
        return checkpoint.State(
            self._identity(), self.epoch, {"curves": self.curves}, tensors | checkpoint.moments(self.optimizer)
        )

    def _resume(self, folder: Path) -> None:
        own = {f"model.{name}": tensor for name, tensor in self.network.state_dict().items()}
        checkpoint.make_room(folder, own)
        state, self.notes = checkpoint.newest(folder, self._identity())
        if state is None:
            return
        for name, tensor in own.items():
            tensor.copy_(state.tensors[name])
        checkpoint.restore_moments(self.optimizer, state.tensors)
        self.curves = {name: list(state.values["curves"][name]) for name in self.curves}
        self.notes += (f"went on from epoch {state.epoch} of {self.recipe.train.epochs}",)

    def _identity(self) -> dict[str, Any]:
        """Everything that decides the weights."""
        return {
            "data": self.data.fingerprint,
            "given": hashlib.sha256(self.given.cpu().numpy().tobytes()).hexdigest(),
            "method": self.method.settings(),
            "recipe": self.recipe.settings(),
            "seed": self.seed,
            "precision": self.place.precision,
            "mode": self.mode,
            "device": self.place.device.type,
        }

    def _epoch(self, update: Step | Captured) -> Generator[None, None, tuple[Tensor, Tensor]]:
        train, epoch = self.recipe.train, self.epoch
        self.network.train()
        set_rate(self.optimizer, rate(epoch, self.method.lr or train.lr, train))
        losses = torch.zeros(len(self.batches), device=self.place.device)
        correct = torch.zeros((), dtype=torch.int64, device=self.place.device)
        for number, (inputs, index) in enumerate(self.batches.epoch(epoch)):
            if len(index) == 1 and self._normalises_rows():
                continue  # one sample has no spread: torch refuses to normalise it
            value, hits = update(_laid_out(inputs, self.place), self.given[index])
            losses[number] = value
            correct += hits
            yield
        return losses, correct

    def _close_epoch(self, losses: Tensor, correct: Tensor) -> dict[str, float]:
        """The row of the curves; the only place of an epoch that waits for the device."""
        count, size = self.batches.count, self.batches.batch_size
        sizes = torch.full_like(losses, size)
        sizes[-1] = count - size * (len(losses) - 1)
        hits, finite = evaluate(self.network, self.test, self.data.test.given, self.place)
        total = (losses * sizes).sum() / count
        loss, fitted, right, whole = torch.stack([total, correct, hits, finite.float()]).tolist()
        if not (math.isfinite(loss) and whole):
            broken = (~losses.isfinite()).nonzero()
            within = int(broken[0]) if len(broken) else len(losses) - 1
            self.diverged_at = self.epoch * len(losses) + within
        return {
            "test_accuracy": 100 * right / len(self.data.test),
            "train_loss": loss,
            "train_accuracy": 100 * fitted / count,
        }

    def _normalises_rows(self) -> bool:
        return any(isinstance(module, nn.BatchNorm1d) for module in self.network.modules())

    def outcome(self, *, keep_outputs: bool = False) -> Outcome:
        """The result so far."""
        also = {
            name: 100 * evaluate(self.network, self._as_they_are(split), split.given, self.place)[0].item() / len(split)
            for name, split in self.data.also.items()
        }
        return Outcome(
            status="done" if self.diverged_at is None else "diverged",
            accuracy=self.curves["test_accuracy"][-1],
            curves=self.curves,
            precision=self.place.precision,
            mode=self.mode,
            device=str(self.place),
            seconds=sum(self.curves["seconds"]),
            model=self.network,
            also=also,
            health=self._health(),
            outputs=self._outputs() if keep_outputs else None,
            diverged_at=self.diverged_at,
            notes=self.notes,
        )

    def _health(self) -> dict[str, Any]:
        if self.diverged_at is not None:
            return {}
        clean = self._clean()
        _, scores = self._judge(self._as_they_are(self.data.train), at_most=LIMIT)
        count = len(scores)
        return health(self.loss, scores, self.given[:count], None if clean is None else clean[:count])

    def _clean(self) -> Tensor | None:
        clean = self.data.train.clean
        return None if clean is None else clean.to(self.place.device)

    def _judge(self, batches: Batches, *, at_most: int | None = None) -> tuple[Tensor, Tensor]:
        """Features and scores, float32, in the samples' order."""
        features, scores, seen = [], [], 0
        for some_features, some_scores, _ in predict(self.network, batches, self.place):
            features.append(some_features.float())
            scores.append(some_scores.float())
            seen += len(some_scores)
            if at_most is not None and seen >= at_most:
                break
        return torch.cat(features), torch.cat(scores)

    def _outputs(self) -> dict[str, Tensor]:
        _, train_scores = self._judge(self._as_they_are(self.data.train))
        test_features, test_scores = self._judge(self.test)
        p = train_scores.softmax(1)
        outputs = {
            "train_scores": train_scores,
            "train_probability_given": p.gather(1, self.given[:, None]).squeeze(1),
            "train_max_probability": p.amax(1),
            "test_scores": test_scores,
            "test_features": test_features,
            "test_clean": self.data.test.given if self.data.test.clean is None else self.data.test.clean,
        }
        if (clean := self._clean()) is not None:
            outputs["flipped"] = self.given != clean
        return {name: tensor.cpu().contiguous() for name, tensor in outputs.items()}


def network_for(data: Data, method: Method, recipe: Recipe, *, seed: int) -> Network:
    """The recipe's network with the method's head and the seed's initial weights, on the CPU."""
    options = recipe.model.model_dump(exclude={"name", "weights"}, exclude_none=True)
    inputs = data.train.inputs
    if isinstance(inputs, Tensor):
        shape: Sequence[int] = inputs.shape[1:]
    else:
        shape = (3, recipe.augment.crop or 224, recipe.augment.crop or 224)
    generator = rng.generator(seed, "init")
    network = models.build(recipe.model.name, shape=shape, classes=data.num_classes, generator=generator, **options)
    if recipe.model.weights is not None:
        models.load_weights(network, recipe.model.weights)
    if method.head is not None:
        call = parse_call(method.head)
        if call.name != "student" or call.values:
            raise InputError(f"method {method.name}: head must be student(alpha=..., lam=...), got {method.head!r}")
        head = StudentHead(network.width, data.num_classes, **{key: float(value) for key, value in call.named})
        head.initialise(rng.generator(seed, "init", "head"))
        network.fc = head
    return network


@torch.inference_mode()
def predict(network: Network, batches: Batches, place: Place) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Features, scores and positions of each batch, as the network judges when it is not learning."""
    network.eval()
    for inputs, index in batches.epoch():
        with place.autocast():
            features = network.features(_laid_out(inputs, place))
            scores = network.fc(features)
        yield features, scores, index


def evaluate(network: Network, batches: Batches, labels: Tensor, place: Place) -> tuple[Tensor, Tensor]:
    """How many labels are predicted, and whether all scores are finite; both still on the device."""
    labels = labels.to(place.device)
    correct = torch.zeros((), dtype=torch.int64, device=place.device)
    finite = torch.ones((), dtype=torch.bool, device=place.device)
    for _, scores, index in predict(network, batches, place):
        correct += (scores.argmax(1) == labels[index]).sum()
        finite &= scores.isfinite().all()
    return correct, finite


def _laid_out(inputs: Tensor, place: Place) -> Tensor:
    return inputs.contiguous(memory_format=place.memory_format) if inputs.dim() == 4 else inputs


def _measured(augment: Augment, split: Split) -> Augment:
    """With mean and spread of the training inputs, where the recipe gives none; files of images stay in [0, 1]."""
    if augment.mean or not isinstance(split.inputs, Tensor):
        return augment
    inputs = split.inputs
    if inputs.dim() == 2:
        mean, std = inputs.double().mean(0), inputs.double().std(0, correction=0)
    else:
        counts = torch.stack([channel.flatten().bincount(minlength=256) for channel in inputs.transpose(0, 1)]).double()
        levels = torch.arange(256, dtype=torch.float64) / 255
        mean = (counts * levels).sum(1) / counts.sum(1)
        std = ((counts * levels.square()).sum(1) / counts.sum(1) - mean.square()).clamp_min(0).sqrt()
    std = torch.where(std > 1e-6 * mean.abs().clamp_min(1e-6), std, 1.0)  # what never changes is only shifted
    return replace(augment, mean=tuple(mean.tolist()), std=tuple(std.tolist()))
