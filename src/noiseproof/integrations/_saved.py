"""Saving and loading a `NoisyLabelClassifier`: a model folder, with what scikit-learn needs besides."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np

from noiseproof import artifacts, losses
from noiseproof.errors import DataError, InputError
from noiseproof.integrations._network import Standardized, model_of

__all__ = ["restore", "save"]


def save(classifier: Any, folder: str | Path) -> Path:
    """Write the model folder of a fitted classifier."""
    columns = [str(name) for name in getattr(classifier, "feature_names_in_", ())]
    loss = classifier.loss if isinstance(classifier.loss, str) else str(classifier.loss)
    parameters = {**classifier.get_params(deep=False), "loss": loss}
    kept = {name: value for name, value in parameters.items() if _is_plain(value)}
    about = {
        "method": loss,
        "loss": str(classifier.loss_),
        "classifier": {
            "parameters": kept,
            "classes": {"dtype": classifier.classes_.dtype.str, "values": classifier.classes_.tolist()},
            "lr": classifier.lr_,
            "n_iter": classifier.n_iter_,
        },
    }
    return artifacts.save(model_of(classifier.net_.module_, classifier.classes_, columns, about), folder)


def restore(classifier: Any, folder: str | Path) -> Any:
    """Give an unfitted classifier what a folder holds.

    Raises:
        InputError: the folder was written by something else than `save`.
        DataError: what it says of the classifier is damaged.
    """
    model = artifacts.load_model(folder)
    about: Any = model.about.get("classifier")
    if not isinstance(about, dict):
        raise InputError(f"{folder} holds no NoisyLabelClassifier; open it with noiseproof.load_model({str(folder)!r})")
    architecture = cast(artifacts.OnNetwork, model.architecture)
    mean, std = (np.array(values, np.float32) for values in (architecture.augment.mean, architecture.augment.std))
    try:
        classes = np.array(about["classes"]["values"], dtype=np.dtype(about["classes"]["dtype"]))
        classifier.set_params(**about["parameters"])
        classifier.loss_ = losses.parse(str(model.about["loss"])).with_options(reduction="none")
        classifier.lr_, classifier.n_iter_ = float(about["lr"]), int(about["n_iter"])
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder}: model.json does not describe a classifier ({error})") from None
    if len(classes) != len(model.classes):
        raise DataError(f"{folder}: model.json names {len(classes)} and {len(model.classes)} classes")
    classifier.classes_, classifier.dtype_, classifier.n_features_in_ = classes, np.dtype(np.float32), len(mean)
    if architecture.columns:
        classifier.feature_names_in_ = np.array(architecture.columns, dtype=object)
    network = Standardized(architecture.network.requires_grad_(True), mean, std)
    classifier.net_ = SimpleNamespace(module_=network, device="cpu", history=[])
    return classifier


def _is_plain(value: Any) -> bool:
    try:
        return bool(json.loads(json.dumps(value)) == (list(value) if isinstance(value, tuple) else value))
    except (TypeError, ValueError):
        return False
