"""A head on the vectors of an extractor, from raw inputs to logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from noiseproof import features, learners
from noiseproof.artifacts.architectures.torch_preprocessing import Chain
from noiseproof.data.dataset import Inputs
from noiseproof.features import Columns, Extractor, FeatureCache, TextVectors
from noiseproof.features.base import Array, Bad, Progress
from noiseproof.features.pictures import PictureExtractor
from noiseproof.learners import heads

__all__ = ["OnFeatures"]


class OnFeatures:
    """A head on the vectors of an extractor."""

    def __init__(self, extractor: Extractor, head: learners.Head) -> None:
        self.extractor, self.head, self.kind = extractor, head.eval(), extractor.kind
        self.columns = extractor.names if isinstance(extractor, Columns) else []
        self.inputs = {"pictures": ["pictures"], "text": ["terms", "weights"]}.get(self.kind, ["rows"])

    def logits(self, inputs: Inputs, *, bad: Bad | None = None, progress: Progress | None = None) -> Array:
        vectors = self.extractor.transform(inputs, bad=bad, progress=progress)
        found = heads.logits(self.head, np.nan_to_num(vectors)) if len(vectors) else np.zeros((0, 0))
        found[np.isnan(vectors).any(1)] = np.nan
        return found

    def encode(self, inputs: Inputs) -> Any:
        return self.extractor.encode(inputs)

    def module(self) -> nn.Module:
        return Chain(self.extractor.module(), self.head).eval()

    def config(self) -> dict[str, Any]:
        config, _ = self.extractor.state()
        return {"architecture": "features", "features": config, "head": self.head.config()}

    def arrays(self) -> dict[str, Tensor]:
        _, fitted = self.extractor.state()
        own = {f"features.{name}": torch.from_numpy(np.array(value)) for name, value in fitted.items()}
        return own | {f"head.{name}": value for name, value in self.head.state_dict().items()}

    @classmethod
    def restore(cls, config: Mapping[str, Any], arrays: Mapping[str, Tensor]) -> OnFeatures:
        own = {name: value.numpy() for name, value in _below("features.", arrays).items()}
        extractor = features.from_state(config["features"], own)
        extractor.cache = FeatureCache.at("default") if isinstance(extractor, PictureExtractor) else None
        head = learners.build(config["head"])
        head.load_state_dict(_below("head.", arrays))
        return cls(extractor, head)

    def smaller(self) -> OnFeatures:
        """The same model with a linear head on texts folded into its table of terms: K numbers a term, not hundreds."""
        text, head = self.extractor, self.head
        while isinstance(head, heads.Blend) and len(head.heads) == 1:
            inner, factor = head.heads[0], head.factor
            assert isinstance(inner, heads.Head)
            if not isinstance(inner, heads.Linear):
                return self
            head = heads.Linear(factor * inner.fc.weight.numpy(), factor * inner.fc.bias.numpy())
        if not (isinstance(text, TextVectors) and isinstance(head, heads.Linear)):
            return self
        weight, bias = head.fc.weight.numpy(), head.fc.bias.numpy()
        if len(weight) >= text.directions.shape[1]:
            return self
        folded = TextVectors(text.dims)
        folded.kind = text.kind
        config, arrays = text.state()
        table = {"directions": text.directions @ weight.T, "mean": text.mean @ weight.T - bias}
        folded.restore(config, {**arrays, **table})
        classes = len(weight)
        return OnFeatures(folded, heads.Linear(np.eye(classes), np.zeros(classes)))


def _below(prefix: str, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in arrays.items() if name.startswith(prefix)}
