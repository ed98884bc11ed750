"""A scikit-learn classifier for noisy labels, trained by skorch with any loss of noiseproof.

It goes wherever scikit-learn's classifiers go: Pipeline, GridSearchCV (`loss`, `loss__a`), cross_val_predict,
joblib, and cleanlab's CleanLearning. Needs the extra `noiseproof[sklearn]`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from torch import nn

from noiseproof import losses
from noiseproof.integrations import _saved
from noiseproof.integrations._arguments import check_numbers
from noiseproof.integrations._chosen_loss import loss_of
from noiseproof.integrations._fit_check import Reference, UnderfitWarning, choose_rate, linear_reference
from noiseproof.integrations._network import Module, Standardized, network_for, seeded
from noiseproof.integrations._optimizer import Optimizer, arguments_of, optimizer_of
from noiseproof.integrations._rows import Rows, refuse_gaps, refuse_numbers, soft_targets
from noiseproof.runtime.isolation import isolated
from noiseproof.train import device
from noiseproof.train.health import LIMIT, health

try:
    from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping, LRScheduler

    from noiseproof.integrations._skorch_net import WeightedNet, logits_of, split_of
except ImportError as error:
    raise ImportError("NoisyLabelClassifier needs skorch; type: pip install 'noiseproof[sklearn]'") from error

__all__ = ["NoisyLabelClassifier", "UnderfitWarning"]

_LOSS = "loss__"
_FIRST_RATE = 0.01  # of `partial_fit`, which cannot look ahead
_JUDGED = 10  # epochs; a shorter training says nothing about the loss
_FLOATS = (np.float64, np.float32)  # trained in the precision of the features


class NoisyLabelClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A neural network trained with a robust loss, as a scikit-learn classifier.

    Features are standardised inside. Two-dimensional input trains a multilayer perceptron; for images and anything
    else give `module`.

    Args:
        loss: a method such as "jal-ce", whose loss has the parameters of the paper's recipe for 10 or for 100 classes,
            whichever is nearer; a loss text such as "nce + 4*agce(a=6, q=1.5)"; or a loss.
        loss_params: parameters to change in it, `{"a": 20}`; also set as `loss__a` (GridSearchCV).
        module: a function `(shape, classes) -> nn.Module` of one sample's shape and the number of classes, a class, a
            network, or "my_model:Net"; from samples (N, ...) to logits (N, classes). A network is copied for every
            fit, so cross-validation starts each fold from the network as it was given. None: a perceptron.
        hidden: widths of the perceptron's hidden layers, such as (128,) or (256, 256).
        epochs, batch_size, momentum, weight_decay: of the training, with a cosine schedule and gradients clipped at
            norm 5.
        lr: learning rate; "auto" is 0.05 where a short trial with it predicts held-out given labels as well as a linear
            model, else the best of 0.05, 0.01 and 0.002 (for Adam a tenth of these).
        optimizer: "sgd", "adam", "adamw" or a class of torch.optim.
        optimizer_params: further arguments of it, such as {"nesterov": True} or {"betas": (0.9, 0.99)}.
        class_weight: None, "balanced" or {label: factor}, multiplied into the samples' weights.
        warm_start: `fit` goes on from the network of the last fit.
        validation_fraction: share of the samples held out to stop early; their given labels are all that is looked
            at. 0 trains for all epochs.
        patience: epochs without a better validation accuracy after which training stops.
        device: where to train: "cpu", "cuda", "mps" or "auto", the fastest that is there.
        random_state: seed of the initial weights, of the order and of the split.
        verbose: 1 prints a line an epoch.

    Attributes:
        classes_: the labels, sorted.
        loss_: the loss that was trained.
        lr_: the learning rate that was used.
        n_iter_: epochs that were trained.
        health_: shares of the training samples that are fitted, stuck and without gradient, and `advice`.
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
        module: Module | None = None,
        hidden: Sequence[int] = (128,),
        epochs: int = 60,
        batch_size: int = 128,
        lr: float | str = "auto",
        momentum: float = 0.9,
        weight_decay: float = 1e-4,
        optimizer: str | Optimizer = "sgd",
        optimizer_params: dict[str, Any] | None = None,
        class_weight: dict[Any, float] | str | None = None,
        warm_start: bool = False,
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
        self.optimizer = optimizer
        self.optimizer_params = optimizer_params
        self.class_weight = class_weight
        self.warm_start = warm_start
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
            y: class labels of any kind scikit-learn takes, numbers or strings; or rows (N, K), one-hot or soft targets
                that add up to 1, of classes 0 to K-1 (of a DataFrame, its columns). The loss is trained on soft
                targets as they are; what else looks at labels takes the most probable class.
            sample_weight: (N,) factor for each sample's loss; 0 leaves it out.

        Raises:
            InputError: a loss that does not exist, a number out of range, a network that returns no logits.
            ValueError, TypeError: data that no scikit-learn classifier takes; sparse features.

        Warns:
            UnderfitWarning: the network fits its training labels less than a linear model predicts unseen ones.
        """
        goes_on = self.warm_start and hasattr(self, "net_")
        y, soft, classes = soft_targets(y)
        rows, seed = self._prepared(X, y, sample_weight, classes, first=not goes_on, soft=soft)
        reference = linear_reference(rows.features, rows.codes, seed)
        with isolated(), seeded(self.module, seed):
            if not goes_on:
                self.lr_ = self._rate(rows, seed, reference)
                self.net_ = self._net(self._network(rows, seed), rows, seed)
            elif not hasattr(self.net_, "optimizer_"):  # from a folder
                self.net_, goes_on = self._net(self.net_.module_, rows, seed), False
            self._run(self.net_, rows, goes_on)
            self.n_iter_ = len(self.net_.history)
            self._look_at(rows, reference)
        return self

    def partial_fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        classes: npt.ArrayLike | None = None,
        sample_weight: npt.ArrayLike | None = None,
    ) -> Self:
        """Train for one more epoch on these samples, at a constant rate; the first batch standardises the features.

        Args:
            X: as in `fit`.
            y: as in `fit`.
            classes: all labels that will ever come; needed the first time.
            sample_weight: as in `fit`.
        """
        first = not hasattr(self, "net_")
        if first and classes is None:
            raise ValueError("classes must be given the first time partial_fit is called, such as classes=[0, 1]")
        rows, seed = self._prepared(X, y, sample_weight, classes, first=first)
        with isolated(), seeded(self.module, seed):
            if first:
                self.lr_ = _FIRST_RATE * self._scale() if self.lr == "auto" else float(self.lr)
            network = self._network(rows, seed) if first else self.net_.module_
            epochs = 0 if first else self.n_iter_
            net = self._net(network, rows, seed, epochs=1)
            self._run(net, rows, goes_on=False)
            self.net_, self.n_iter_ = net, epochs + 1
        return self

    def _prepared(
        self, X: Any, y: Any, sample_weight: Any, classes: Any, *, first: bool, soft: Any = None
    ) -> tuple[Rows, int]:
        """The checked samples with their codes and weights, and the seed of this fit."""
        check_numbers(self)
        refuse_gaps(y)
        wanted = _FLOATS if first else vars(self)["dtype_"]
        features, labels = validate_data(
            self,
            X,
            y,
            dtype=wanted,
            ensure_min_samples=2 if classes is None and first else 1,
            allow_nd=True,
            reset=first,
        )
        refuse_numbers(labels)
        if first:
            self.dtype_ = features.dtype
            self.classes_ = np.unique(labels if classes is None else classes)
        if unknown := set(np.unique(labels)) - set(self.classes_):
            raise ValueError(
                f"labels {sorted(map(str, unknown))[:3]} are none of the classes {self.classes_[:10].tolist()}"
            )
        weights = _check_sample_weight(sample_weight, features, dtype=features.dtype, ensure_non_negative=True)
        if self.class_weight is not None:
            weights = weights * compute_sample_weight(self.class_weight, labels).astype(weights.dtype)
        kept = weights > 0
        codes = np.searchsorted(self.classes_, labels[kept]).astype(np.int64)
        if first and classes is None and len(np.unique(codes)) < 2:
            raise ValueError(f"training needs samples of at least 2 classes; got one class: {labels[kept][:1]}")
        self.loss_ = loss_of(self.loss, self.loss_params, len(self.classes_))
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        targets = None if soft is None else soft[kept].astype(features.dtype)
        return Rows(features[kept], codes, weights[kept], targets), seed

    def _scale(self) -> float:
        """Ratio of the learning rate of SGD to that of the optimiser."""
        return 1.0 if optimizer_of(self.optimizer) is torch.optim.SGD else 0.1

    def _rate(self, rows: Rows, seed: int, reference: Reference) -> float:
        if self.lr != "auto":
            return float(self.lr)

        def agreement(rate: float, train: npt.NDArray[np.int64], held_out: npt.NDArray[np.int64]) -> float:
            part = rows.take(train)
            net = self._net(
                self._network(part, seed),
                part,
                seed,
                lr=rate * self._scale(),
                epochs=max(3, self.epochs // 5),
                trial=True,
            )
            self._run(net, part, goes_on=False)
            predicted = logits_of(net, rows.features[held_out]).argmax(1).cpu().numpy()
            return float((predicted == rows.codes[held_out]).mean())

        return choose_rate(rows.codes, seed, reference, agreement) * self._scale()

    def _network(self, rows: Rows, seed: int) -> Standardized:
        network = network_for(self.module, rows.features.shape[1:], len(self.classes_), self.hidden, seed)
        return Standardized.around(network, rows.features, rows.weights, len(self.classes_))

    def _net(
        self,
        network: nn.Module,
        rows: Rows,
        seed: int,
        *,
        lr: float | None = None,
        epochs: int | None = None,
        trial: bool = False,
    ) -> Any:
        """A skorch net around the network; with `epochs` for a part of the training: no early stopping."""
        part = epochs is not None
        held_out = 0 if part else math.ceil(self.validation_fraction * len(rows.codes))
        left_alone = (len(rows.codes) - held_out) % self.batch_size == 1 < len(rows.codes) - held_out
        callbacks: list[Callback] = [GradientNormClipping(5.0)]
        if trial or not part:
            schedule = torch.optim.lr_scheduler.CosineAnnealingLR
            callbacks.append(LRScheduler(schedule, T_max=epochs or self.epochs))
        if held_out:
            callbacks.append(EarlyStopping("valid_acc", patience=self.patience, lower_is_better=False, load_best=True))
        optimizer = optimizer_of(self.optimizer)
        usual = {"weight_decay": self.weight_decay}
        if optimizer is torch.optim.SGD:
            usual["momentum"] = self.momentum
        arguments = arguments_of(optimizer, usual, self.optimizer_params)
        loud = self.verbose and not trial
        return WeightedNet(
            network,
            criterion=self.loss_,
            optimizer=optimizer,
            **{f"optimizer__{key}": value for key, value in arguments.items()},
            lr=self.lr_ if lr is None else lr,
            max_epochs=epochs or self.epochs,
            batch_size=self.batch_size,
            iterator_train__shuffle=True,
            iterator_train__generator=torch.Generator().manual_seed(seed),
            iterator_valid__generator=torch.Generator().manual_seed(seed),  # else torch's global stream is drawn from
            iterator_train__drop_last=left_alone,  # batch normalisation cannot train on one sample
            train_split=split_of(rows.codes, self.validation_fraction, seed),
            classes=np.arange(len(self.classes_)),
            callbacks=callbacks,
            device=str(device.resolve_device(self.device, "fp32", network).device),
            verbose=self.verbose if loud else 0,
            # Not by `verbose` alone: where Ray has put a print of its own in place, skorch's log takes no notice of it.
            **({} if loud else {"callbacks__print_log": None}),
        )

    def _run(self, net: Any, rows: Rows, goes_on: bool) -> None:
        data = {"X": rows.features, "sample_weight": rows.weights}
        if rows.soft is not None:
            data["soft"] = rows.soft
        if goes_on:
            for group in net.optimizer_.param_groups:
                group["lr"] = self.lr_
            net.partial_fit(data, rows.codes)
        else:
            net.fit(data, rows.codes)

    def _look_at(self, rows: Rows, reference: Reference) -> None:
        """Health of the fit, and a warning if it underfits."""
        chosen = slice(None, None, math.ceil(len(rows.codes) / LIMIT))
        logits = logits_of(self.net_, rows.features[chosen])
        given = torch.from_numpy(rows.codes[chosen]).to(logits.device)
        self.health_ = health(self.loss_.with_options(reduction="mean"), logits, given, None)
        fitted = self.health_.get("fitted", 0.0)
        if fitted < reference.agreement - 2 * reference.error:
            remedy = f"lr={self.lr_ / 5:g}" if self.lr != "auto" else f"epochs={3 * self.epochs}"
            self.health_["advice"] = (
                f"underfits: {self.loss_} fits {fitted:.0%} of its training labels, where a linear model predicts "
                f"{reference.agreement:.0%} of labels it has not seen; try {remedy} or loss='gce'"
            )
            if self.epochs >= _JUDGED:
                warnings.warn(self.health_["advice"], UnderfitWarning, stacklevel=3)

    # Predicting

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The probability of each class of `classes_`, (N, K)."""
        check_is_fitted(self)
        features = validate_data(self, X, dtype=self.dtype_, reset=False, allow_nd=True)
        p: npt.NDArray[np.float64] = logits_of(self.net_, features).double().softmax(1).cpu().numpy()
        return p

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """The most probable class of each sample, (N,)."""
        check_is_fitted(self)
        chosen: npt.NDArray[Any] = self.classes_[self.predict_proba(X).argmax(1)]
        return chosen

    def save(self, folder: str | Path) -> Path:
        """Write the model folder that `noiseproof.load_model` and `noiseproof predict` open; nothing in it runs code.

        The model predicts as this classifier does, in float32; its classes are the labels as text.

        Args:
            folder: made if need be; an earlier model in it is replaced.

        Returns:
            The folder.

        Raises:
            NotFittedError: `fit` has not been called.
            InputError: the network is not the built-in perceptron on features (N, D).
        """
        check_is_fitted(self)
        return _saved.save(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> Self:
        """A fitted classifier from a folder that `save` wrote: parameters, labels of their own kind, float32 weights.

        It predicts as the saved one did, and can be trained further (`partial_fit`, `warm_start`).

        Raises:
            DataMissingError, DataError: there is no model, or it is damaged.
            InputError: another program wrote it; `noiseproof.load_model` opens it.
        """
        found: Self = _saved.restore(cls(), folder)
        return found
