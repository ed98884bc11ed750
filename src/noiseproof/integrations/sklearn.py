"""A scikit-learn classifier for noisy labels, trained by skorch with any loss of noiseproof.

It goes wherever scikit-learn's classifiers go: Pipeline, GridSearchCV (`loss`, `loss__a`), cross_val_predict,
joblib, and cleanlab's CleanLearning. Needs the extra `noiseproof[sklearn]`.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from numbers import Integral
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from torch import Tensor, nn
from torch.utils.data import Sampler

from noiseproof import losses, recipes
from noiseproof.errors import InputError, UnknownNameError, did_you_mean, in_range
from noiseproof.isolation import isolated
from noiseproof.train import device

try:
    from skorch import NeuralNetClassifier
    from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping, LRScheduler
    from skorch.dataset import ValidSplit
except ImportError as error:
    raise ImportError("NoisyLabelClassifier needs skorch; type: pip install 'noiseproof[sklearn]'") from error

__all__ = ["NoisyLabelClassifier"]

_LOSS = "loss__"
_FLOATS = (np.float64, np.float32)  # trained in the precision of the features


class NoisyLabelClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A neural network trained with a robust loss, as a scikit-learn classifier.

    Features are standardised inside. Two-dimensional input trains a multilayer perceptron; for images and anything
    else give `module`.

    Args:
        loss: a method such as "jal-ce", whose loss has the parameters of the paper's recipe for 10 or for 100 classes,
            whichever is nearer; a loss text such as "nce + 4*agce(a=6, q=1.5)"; or a loss.
        loss_params: parameters to change in it, `{"a": 20}`; also set as `loss__a` (GridSearchCV).
        module: called as `module(features, classes)` with the shape of one sample and the number of classes, it
            returns the network, from samples (N, ...) to scores (N, classes); None: a perceptron.
        hidden: widths of the perceptron's hidden layers, such as (128,) or (256, 256).
        epochs, batch_size, lr, momentum, weight_decay: stochastic gradient descent with a cosine schedule and
            gradients clipped at norm 5.
        validation_fraction: share of the samples held out to stop early; their given labels are all that is looked
            at. 0 trains for all epochs.
        patience: epochs without a better validation accuracy after which training stops.
        device: where to train: "cpu", "cuda", "mps" or "auto", the fastest that is there.
        random_state: seed of the initial weights, of the order and of the split.
        verbose: 1 prints a line an epoch.

    Attributes:
        classes_: the labels, sorted.
        loss_: the loss that was trained.
        net_: the fitted skorch net; `net_.history` holds the epochs.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> features, labels = load_iris(return_X_y=True)
        >>> NoisyLabelClassifier("gce", epochs=30, random_state=0).fit(features, labels).predict(features[:3])
        array([0, 0, 0])
    """

    def __init__(
        self,
        loss: str | losses.Loss = "jal-ce",
        *,
        loss_params: dict[str, Any] | None = None,
        module: Callable[[tuple[int, ...], int], nn.Module] | None = None,
        hidden: Sequence[int] = (128,),
        epochs: int = 60,
        batch_size: int = 128,
        lr: float = 0.05,
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        validation_fraction: float = 0.0,
        patience: int = 10,
        device: str = "cpu",
        random_state: int | np.random.RandomState | None = None,
        verbose: int = 0,
    ) -> None:
        self.loss = loss
        self.loss_params = loss_params
        self.module = module
        self.hidden = hidden
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    # scikit-learn's parameters, with `loss__a` for `loss_params["a"]`

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        params: dict[str, Any] = super().get_params(deep=deep)
        if deep and isinstance(self.loss_params, dict):
            params |= {_LOSS + name: value for name, value in self.loss_params.items()}
        return params

    def set_params(self, **params: Any) -> Self:
        inner = {name.removeprefix(_LOSS): params.pop(name) for name in list(params) if name.startswith(_LOSS)}
        super().set_params(**params)
        if inner:
            self.loss_params = {**(self.loss_params or {}), **inner}
        return self

    # Fitting

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Train on features `X` (N, D) or (N, ...) and given labels `y` (N,), which may be partly wrong.

        Args:
            X: dense numbers.
            y: class labels of any kind scikit-learn takes: numbers or strings.
            sample_weight: (N,) factor for each sample's loss; 0 leaves it out.

        Raises:
            InputError: a loss that does not exist, a number out of range.
            ValueError, TypeError: data that no scikit-learn classifier takes; sparse features.
        """
        self._check_numbers()
        features, labels = validate_data(self, X, y, dtype=_FLOATS, ensure_min_samples=2, allow_nd=True)
        check_classification_targets(labels)
        self.dtype_ = features.dtype
        self.classes_, codes = np.unique(labels, return_inverse=True)
        weights = _check_sample_weight(sample_weight, features, dtype=features.dtype, ensure_non_negative=True)
        kept = weights > 0
        if len(np.unique(codes[kept])) < 2:
            raise ValueError(f"training needs samples of at least 2 classes; got one class: {labels[kept][:1]}")
        features, weights, codes = features[kept], weights[kept], codes[kept].astype(np.int64)
        self.loss_ = self._loss(len(self.classes_))
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        generator = torch.Generator().manual_seed(seed)
        with isolated(), _stream_of(self.module, generator):
            self.net_ = self._net(features, weights, seed, None if self.module else generator)
            self.net_.fit({"X": features, "sample_weight": weights}, codes)
        self.net_.forget_generator()
        return self

    def _check_numbers(self) -> None:
        for name in ("epochs", "batch_size", "patience"):
            _whole(name, getattr(self, name))
        widths = self.hidden if isinstance(self.hidden, Sequence) and not isinstance(self.hidden, str) else None
        if widths is None:
            raise InputError(f"hidden must be widths such as (128,) or (256, 256), got hidden={self.hidden!r}")
        for width in widths:
            _whole("a width of hidden", width)
        in_range("lr", self.lr, 0, above=True)
        in_range("momentum", self.momentum, 0, 1, below=True)
        in_range("weight_decay", self.weight_decay, 0)
        in_range("validation_fraction", self.validation_fraction, 0, 1, below=True)

    def _loss(self, classes: int) -> losses.Loss:
        if isinstance(self.loss, str):
            method = recipes.load("cifar10" if classes < 32 else "cifar100").method(self.loss)
            if method.head is not None:
                raise InputError(f"{self.loss} replaces the network's last layer ({method.head}); use a loss alone")
            loss = method.loss
        elif isinstance(self.loss, losses.Loss):
            loss = self.loss
        else:
            raise InputError(f"loss must be a method, a loss text or a loss of noiseproof.losses, got {self.loss!r}")
        for name, value in (self.loss_params or {}).items():
            loss = _with_parameter(loss, name, value)
        return loss.with_options(reduction="none")

    def _net(
        self,
        X: npt.NDArray[np.floating[Any]],
        weights: npt.NDArray[np.floating[Any]],
        seed: int,
        generator: torch.Generator | None,
    ) -> Any:
        held_out = math.ceil(self.validation_fraction * len(X))
        left_alone = (len(X) - held_out) % self.batch_size == 1 < len(X) - held_out
        callbacks: list[Callback] = [
            GradientNormClipping(5.0),
            LRScheduler(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=self.epochs),
        ]
        if held_out:
            callbacks.append(EarlyStopping("valid_acc", patience=self.patience, lower_is_better=False, load_best=True))
        module = self.module or (lambda shape, classes: perceptron(shape, classes, self.hidden, generator))
        mean = np.average(X, axis=0, weights=weights)
        spread = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weights))
        network = Standardized(module(X.shape[1:], len(self.classes_)), mean, spread)
        return _WeightedNet(
            network,
            criterion=self.loss_,
            optimizer=torch.optim.SGD,
            optimizer__momentum=self.momentum,
            optimizer__weight_decay=self.weight_decay,
            lr=self.lr,
            max_epochs=self.epochs,
            batch_size=self.batch_size,
            iterator_train__generator=generator,
            iterator_valid__generator=generator,
            iterator_train__drop_last=left_alone,  # batch normalisation cannot train on one sample
            train_split=ValidSplit(self.validation_fraction, stratified=True, random_state=seed) if held_out else None,
            classes=np.arange(len(self.classes_)),
            callbacks=callbacks,
            device=str(device.choose(self.device, "fp32", network).device),
            verbose=self.verbose,
            # Not by `verbose` alone: where Ray has put a print of its own in place, skorch's log takes no notice of it.
            **({} if self.verbose else {"callbacks__print_log": None}),
        )

    # Predicting

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The probability of each class of `classes_`, (N, K)."""
        check_is_fitted(self)
        features = validate_data(self, X, dtype=self.dtype_, reset=False, allow_nd=True)
        network = self.net_.module_.eval()
        with isolated(), torch.inference_mode():
            parts = [network(part.to(self.net_.device)) for part in torch.split(torch.from_numpy(features), 1024)]
        p: npt.NDArray[np.float64] = torch.cat(parts).double().softmax(1).cpu().numpy()
        return p

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """The most probable class of each sample, (N,)."""
        check_is_fitted(self)
        chosen: npt.NDArray[Any] = self.classes_[self.predict_proba(X).argmax(1)]
        return chosen


class Standardized(nn.Module):
    """A network behind (x - mean) / spread; features that never change are passed on as 0."""

    mean: Tensor
    scale: Tensor

    def __init__(self, network: nn.Module, mean: npt.NDArray[Any], spread: npt.NDArray[Any]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("mean", torch.from_numpy(mean))
        varies = spread > 1e-6 * np.abs(mean).clip(1e-30)
        self.register_buffer("scale", torch.from_numpy(np.where(varies, 1 / np.where(varies, spread, 1), 0)))
        self.to(self.mean.dtype)

    def forward(self, X: Tensor, sample_weight: Tensor | None = None) -> Tensor:
        scores: Tensor = self.network((X - self.mean) * self.scale)
        return scores


def perceptron(
    shape: tuple[int, ...], classes: int, hidden: Sequence[int], generator: torch.Generator | None = None
) -> nn.Module:
    """A multilayer perceptron on the flattened features; torch's own initial weights, from the generator."""
    width = int(np.prod(shape))
    layers: list[nn.Module] = [nn.Flatten()]
    for wider in hidden:
        layers += [_linear(width, wider, generator), nn.ReLU()]
        width = wider
    return nn.Sequential(*layers, _linear(width, classes, generator))


def _linear(width: int, wider: int, generator: torch.Generator | None) -> nn.Linear:
    layer: nn.Linear = nn.utils.skip_init(nn.Linear, width, wider)  # type: ignore[no-untyped-call]
    nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
    nn.init.uniform_(layer.bias, -1 / math.sqrt(width), 1 / math.sqrt(width), generator=generator)
    return layer


_global_stream = threading.RLock()


@contextmanager
def _stream_of(module: object, generator: torch.Generator) -> Iterator[None]:
    """Torch's global stream, which a module of the user's own draws from, lent to one fit at a time and put back."""
    if module is None:
        yield
        return
    with _global_stream, torch.random.fork_rng():
        torch.manual_seed(generator.initial_seed())
        yield


class _Shuffled(Sampler[int]):
    """A new order every epoch, as `shuffle=True` draws it, but from a generator of its own."""

    def __init__(self, count: int, generator: torch.Generator | None) -> None:
        self.count, self.generator = count, generator

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        seed = int(torch.empty((), dtype=torch.int64).random_(generator=self.generator).item())
        yield from torch.randperm(self.count, generator=torch.Generator().manual_seed(seed)).tolist()


def _whole(name: str, value: Any) -> None:
    if not isinstance(value, Integral) or value < 1:
        raise InputError(f"{name} must be a whole number from 1 on, got {name}={value!r}")


def _with_parameter(loss: losses.Loss, name: str, value: Any) -> losses.Loss:
    """The loss with one parameter changed in the one term that has it."""
    terms = loss.terms()
    owners = [index for index, (_, term) in enumerate(terms) if name in losses.LOSSES[term.name].parameters]
    if len(owners) != 1:
        known = sorted({each for _, term in terms for each in losses.LOSSES[term.name].parameters})
        if not owners:
            raise UnknownNameError(
                f"no term of {loss} has a parameter {name!r} (there are: {', '.join(known) or 'none'})"
                f"{did_you_mean(name, known)}"
            )
        raise InputError(f"more than one term of {loss} has a parameter {name!r}; write the loss text in full")
    factor, term = terms[owners[0]]
    entry = losses.LOSSES[term.name]
    changed = entry.cls(**{key: getattr(term, key) for key in entry.parameters} | {name: value})
    terms[owners[0]] = (factor, changed)
    return losses.WeightedSum(terms) if len(terms) > 1 or factor != 1 else changed


class _WeightedNet(NeuralNetClassifier):  # type: ignore[misc]
    """skorch's classifier with the mean loss weighted by `sample_weight`."""

    def forget_generator(self) -> None:
        """Leave no generator in the fitted net: it cannot be pickled."""
        self.iterator_train__generator = self.iterator_valid__generator = None
        self.iterator_train__sampler: _Shuffled | None = None

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        if training:
            self.iterator_train__sampler = _Shuffled(len(dataset), self.iterator_train__generator)
        return super().get_iterator(dataset, training=training)

    def get_loss(self, y_pred: Tensor, y_true: Tensor, X: Any = None, training: bool = False) -> Tensor:
        weights = X["sample_weight"].to(y_pred.device)
        each = self.criterion_(y_pred, y_true.to(y_pred.device))
        mean: Tensor = (each * weights).sum() / weights.sum()
        return mean
