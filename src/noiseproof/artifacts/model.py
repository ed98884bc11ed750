"""A trained model: from files, pictures, texts or rows to labels and probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import nn

from noiseproof.artifacts.architectures import Architecture
from noiseproof.artifacts.new_items import as_inputs
from noiseproof.data.dataset import Inputs
from noiseproof.features import Columns
from noiseproof.features.base import Bad, Progress
from noiseproof.learners.noise_model import softmax

__all__ = ["Model"]

Probabilities = npt.NDArray[np.float64]


@dataclass(eq=False)
class Model:
    """A model to take home, from `noiseproof.load_model` or `artifacts.learn`; `artifacts.save` writes it.

    Attributes:
        architecture: features and head, or a network; with its preprocessing.
        classes: names of the K classes, in the order of the probabilities.
        about: what else its `model.json` says: method, recipe, data, accuracies, noise, versions.

    Example:
        >>> from noiseproof import artifacts, data
        >>> model = artifacts.learn(data.load("digits"), only="discriminant").model
        >>> model.predict(data.load("digits").test.inputs[:3]).tolist()
        ['3', '8', '0']
    """

    architecture: Architecture
    classes: tuple[str, ...]
    about: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """Kind of the inputs: "pictures", "text", "columns" or "vectors"."""
        return self.architecture.kind

    @property
    def categories(self) -> frozenset[str]:
        """Columns of a table that hold categories."""
        return frozenset(getattr(getattr(self.architecture, "extractor", None), "levels", ()))

    @property
    def columns(self) -> dict[str, str]:
        """Columns of the training table by role: `id`, and `text` or `path`; empty for other data."""
        found = self.about.get("columns")
        return {str(role): str(name) for role, name in found.items()} if isinstance(found, dict) else {}

    @property
    def module(self) -> nn.Module:
        """Plain module to logits (N, K): from raw pixels (N, 3, H, W) of any size, coded rows, or weighted terms."""
        return self.architecture.module()

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Label of each item, as text (N,).

        Args:
            X: paths of pictures, pictures (N, H, W[, 3]) or (N, C, H, W) from 0 to 255, texts, a DataFrame with the
                columns of training, or numbers (N, D).

        Raises:
            InputError: items of another kind; a column of training is missing.
            DataError: a picture that cannot be read.
        """
        found: npt.NDArray[Any] = np.array(self.classes, dtype=object)[self.predict_proba(X).argmax(1)]
        return found

    def predict_proba(self, X: Any) -> Probabilities:
        """Probability of each class, (N, K), in the order of `classes`; for `X` see `predict`."""
        return self.probabilities(as_inputs(X, self.kind))

    def encode(self, X: Any) -> Any:
        """Tensors that `module` and an exported graph take: a list of pictures, rows (N, C), or a pair for texts."""
        return self.architecture.encode(as_inputs(X, self.kind))

    def probabilities(
        self, inputs: Inputs, *, bad: Bad | None = None, progress: Progress | None = None
    ) -> Probabilities:
        """Probabilities (N, K) of inputs in the form of a split.

        Args:
            inputs: as `data.Split` holds them.
            bad: takes position and reason of inputs that cannot be read, whose rows are NaN; None: the first raises.
            progress: called with (done, total).
        """
        if not len(inputs):
            return np.zeros((0, len(self.classes)))
        return softmax(self.architecture.logits(inputs, bad=bad, progress=progress))

    def notes_on(self, inputs: Inputs) -> list[str]:
        """Sentences on inputs that training did not show: new categories of a table's columns."""
        extractor = getattr(self.architecture, "extractor", None)
        new = extractor.unknown_values(inputs) if isinstance(extractor, Columns) else {}
        return [
            f"column {name}: the model never saw {', '.join(map(repr, values[:5]))}"
            f"{f' and {len(values) - 5} more' if len(values) > 5 else ''}; counted as no category"
            for name, values in new.items()
        ]

    def __str__(self) -> str:
        names = ", ".join(self.classes[:6]) + (", ..." if len(self.classes) > 6 else "")
        return f"model for {self.kind}, {len(self.classes)} classes ({names})"


def top(probabilities: Probabilities, count: int) -> npt.NDArray[np.int64]:
    """Most probable classes of each row, best first, (N, count)."""
    found: npt.NDArray[np.int64] = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    return found
