"""The seam between a method and the training loop.

A method is one class in one file of this folder, registered by name and written as text: `elr(loss=ce, lam=3)`. The
loop calls its hooks and knows no method by name:

    prepare       before training: estimate a matrix, choose samples; may train other networks first
    networks      number of networks, and `groups`: parameters of its own, each with its optimiser
    objective     loss of a batch: views, given labels, sample index, epoch, all networks
    plan          batches of an epoch; the default is every sample once
    epoch_end     after an epoch, with logits and features of the whole training set in index order
    predict       one prediction from the logits of all networks

Everything a method remembers is a buffer or parameter of this module, so it is saved and restored with the weights.
Clean labels and the test split are in none of the hooks.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from noiseproof import losses
from noiseproof.errors import InputError, in_range
from noiseproof.losses import Loss
from noiseproof.methods.ensemble import COMBINATIONS
from noiseproof.models import Network
from noiseproof.registry import Registry
from noiseproof.text import Call, Value

__all__ = [
    "METHODS",
    "Batch",
    "Group",
    "Method",
    "Outputs",
    "Pass",
    "Preparing",
    "Task",
    "Trained",
    "as_loss",
    "epochs_of",
    "per_sample",
    "with_loss",
]

Preparing = Generator[None, None, Any]
"""A generator that stops after every step of the networks it trains, so that several runs can take turns."""


@dataclass(frozen=True, eq=False)
class Outputs:
    """Outputs of one network on the whole training set, not augmented, in index order.

    Args:
        logits: (N, K), float32.
        features: (N, D), what the head sees, float32.
    """

    logits: Tensor
    features: Tensor


@dataclass(frozen=True, eq=False)
class Trained:
    """Result of a training that prepares another.

    Args:
        outputs: on the whole training set, also where it was trained on a part of it.
        method: the method that trained, with its state.
        weights: state dict of the network.
    """

    outputs: Outputs
    method: Method
    weights: dict[str, Tensor]


@dataclass(frozen=True, eq=False)
class Task:
    """Facts of a run that a method may know.

    Args:
        samples: N.
        classes: K.
        given: given labels, int64 (N,), on the device.
        inputs: training inputs as the split holds them.
        epochs: of the main training.
        batch_size: samples a batch.
        seed: of the run.
        device: of the weights.
        train: `train(method, epochs, only=index, given=labels)` trains another network and yields `Trained`; `only`
            some samples, `given` other labels, which may be of one class more.
        oracle: true labels, for texts that say `oracle`; asking for them is written into the record.
    """

    samples: int
    classes: int
    given: Tensor
    inputs: Any
    epochs: int
    batch_size: int
    seed: int
    device: torch.device
    train: Callable[..., Generator[None, None, Trained]]
    oracle: Callable[[], Tensor]


@dataclass(eq=False)
class Batch:
    """Batch as an objective sees it.

    Args:
        views: inputs of the batch, one tensor for each of `Method.views`, differently augmented.
        given: given labels, int64 (B,).
        index: position of each sample in the training set, int64 (B,).
        epoch: epochs done, with the share of the current one: 2.5 in the middle of the third.
        networks: all networks; calling one gives logits, under the run's precision.
        draw: a generator of random numbers for this step, the same one each time it is asked for.
        network: the network that this pass trains; None: all of them.
        again: the step evaluates this batch a second time (SAM); state must not move again.
        modules: the networks themselves.
        autocast: context of the run's precision, for what calls the modules' parts.
        soft: soft targets, float32 (B, K), where the run trains on them; only for a method whose `takes_soft` is true.
    """

    views: tuple[Tensor, ...]
    given: Tensor
    index: Tensor
    epoch: float
    networks: Sequence[Callable[[Tensor], Tensor]]
    draw: Callable[[], torch.Generator]
    network: int | None = None
    again: bool = False
    modules: Sequence[Network] = ()
    autocast: Callable[[], AbstractContextManager[object]] = nullcontext
    soft: Tensor | None = None

    @property
    def targets(self) -> Tensor:
        """Targets of a loss: soft ones where the run has them, else the given labels."""
        return self.given if self.soft is None else self.soft

    @property
    def inputs(self) -> Tensor:
        """The first view."""
        return self.views[0]

    def logits(self, network: int = 0, view: int = 0) -> Tensor:
        """Logits of one network on one view, (B, K)."""
        return self.networks[network](self.views[view])

    def features(self, network: int = 0, view: int = 0) -> Tensor:
        """Inputs of the head of one network for one view, (B, D)."""
        with self.autocast():
            return self.modules[network].features(self.views[view])


@dataclass(eq=False)
class Group:
    """Parameters of a method, with an optimiser of their own; neither L1 nor clipping touches them.

    Args:
        parameters: of the method.
        lr: learning rate.
        momentum, weight_decay: of the optimiser.
        adam: Adam instead of SGD.
        follows: the learning rate is multiplied by the schedule of the weights' one.
    """

    parameters: list[nn.Parameter]
    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    adam: bool = False
    follows: bool = False


@dataclass(eq=False)
class Pass:
    """One run through batches within an epoch.

    Args:
        batches: index of the samples of each batch, int64.
        network: the network that it trains; None: all.
    """

    batches: Sequence[Tensor]
    network: int | None = None


class Method(nn.Module):
    """A way to find weights from given labels.

    Subclasses take their parameters in `__init__`, keep them under the same names, and define `objective`. The other
    hooks have defaults. `METHODS.register(NAME, ...)` claims: `paper`; `cost`, forward and backward passes beside
    cross-entropy over the same epochs; `neutral`, a text with which the method equals its loss alone bit for bit;
    `settings`, published parameters by data set.

    Args:
        loss: a loss text or loss, for methods that work with any.
    """

    name: ClassVar[str]
    networks: ClassVar[int] = 1
    combination: ClassVar[str] = "mean of probabilities"  # of several networks' predictions, see `ensemble`
    views: ClassVar[int] = 1
    captures: ClassVar[bool] = False
    """The objective reads nothing but logits, given labels and index: a step can be recorded as a CUDA graph."""
    takes_soft: ClassVar[bool] = False
    """The objective gives its loss `batch.targets`, which may be soft."""
    distributes: ClassVar[bool] = False
    """The objective needs no state that several processes would have to share."""

    loss: Loss
    additions: Sequence[Any] = ()  # set by `methods.parse`; see additions.py

    def __init__(self, loss: str | Loss = "ce") -> None:
        super().__init__()
        self.loss = as_loss(loss)

    # Hooks

    def setup(self, task: Task) -> None:
        """Allocate buffers and parameters; shapes must follow from the task alone."""

    def attach(self, networks: Sequence[Network]) -> None:
        """Called once with the initial networks, for methods that keep copies of them."""

    def prepare(self, task: Task) -> Preparing:
        """Work before training; skipped where a run resumes. Assign results to buffers made in `setup`.

        Returns:
            Weights to start the first network from, or None for the seed's.
        """
        return None
        yield

    def adapt(self, network: Network, classes: int, generator: torch.Generator) -> None:
        """Change a network after its initial weights were drawn, such as its head."""

    def groups(self) -> list[Group]:
        """Parameters of the method's own."""
        return []

    def objective(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss of a batch, to be minimised, and the logits that its training accuracy is counted with."""
        raise NotImplementedError(f"{type(self).__name__} must define objective(batch) -> (loss, logits)")

    def epoch_start(self, epoch: int, networks: Sequence[Network]) -> None:
        """Called before each epoch, also the first after a resume: freeze or release parameters here."""

    def plan(self, order: Tensor, batch_size: int, epoch: int) -> list[Pass]:
        """Batches of an epoch, from a random order of all samples.

        Args:
            order: int64 (N,), on the device.
            batch_size: of the recipe.
            epoch: from 0.
        """
        return [Pass(torch.split(order, batch_size))]

    def after_step(self, networks: Sequence[Network], step: int) -> None:
        """Called after every update of the weights, counted from 0 over the whole training."""

    def wants_outputs(self, epoch: int) -> bool:
        """True if `epoch_end` of this epoch needs `outputs`, which cost a forward pass over the training set."""
        return False

    def epoch_end(self, epoch: int, outputs: Sequence[Outputs], networks: Sequence[Network]) -> None:
        """Called after each epoch; `outputs` of every network where they were wanted, else empty."""

    def content(self) -> dict[str, str]:
        """Hashes of the files that the parameters name, by what they are: part of a run's identity."""
        return {}

    def members(self, networks: Sequence[Network]) -> Sequence[Network]:
        """Networks that predict: those trained, or averages of them."""
        return networks

    def predict(self, logits: Sequence[Tensor]) -> Tensor:
        """One prediction (N, K) from the logits of all members, of any scale; its softmax is the confidence."""
        return COMBINATIONS[self.combination](logits)

    @property
    def combination_name(self) -> str | None:
        """Name of the rule of `predict`; None where a subclass has a rule of its own."""
        return self.combination if type(self).predict is Method.predict else None

    # Text

    def __str__(self) -> str:
        text = METHODS.write(self)
        return " + ".join([text, *map(str, self.additions)])

    def __repr__(self) -> str:
        return f"methods.parse({str(self)!r})"

    def fresh(self) -> Method:
        """A copy without state, for one run."""
        return copy.deepcopy(self)


METHODS: Registry[Method] = Registry("method", "methods")


# Shared by the methods


def as_loss(loss: str | Loss) -> Loss:
    """A loss from its text."""
    if isinstance(loss, Loss):
        return loss
    if not isinstance(loss, str):
        raise InputError(f"loss must be the text of a loss, such as loss=ce or loss=nce + amse(a=30); got {loss!r}")
    return losses.parse(loss)


def with_loss(call: Call, canonical: Callable[[str], str]) -> Call:
    """The call of a method with the text of its loss as `canonical` writes it."""

    def read(key: str | None, value: Value) -> Value:
        return canonical(value) if key == "loss" and isinstance(value, str) else value

    values = tuple(read(METHODS[call.name].positional, value) for value in call.values)
    named = tuple((key, read(key, value)) for key, value in call.named)
    return replace(call, values=values, named=named)


def per_sample(loss: Loss, logits: Tensor, given: Tensor) -> Tensor:
    """Loss of each sample's given label, (B,)."""
    scores = logits if logits.dtype in (torch.float32, torch.float64) else logits.float()
    return loss.per_class(scores).gather(1, given[:, None]).squeeze(1)


def epochs_of(name: str, value: float, epochs: int) -> int:
    """A number of epochs: a count, or below 1 a share of the training.

    Example:
        >>> epochs_of("start", 40, 200), epochs_of("start", 0.25, 200)
        (40, 50)
    """
    value = in_range(name, value, 0)
    return round(value * epochs) if value < 1 else round(value)
