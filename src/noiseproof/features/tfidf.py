"""Texts: singular vectors of TF-IDF over words and pieces of words.

Source: Deerwester et al., JASIS 41(6), 1990 (latent semantic indexing).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from noiseproof.errors import InputError
from noiseproof.features.base import EXTRACTORS, Array, Bad, Extractor, Inputs, Progress

__all__ = ["TextVectors", "WeightedBag"]

_WORDS, _PIECES = 50_000, 100_000  # terms of each kind, at most
_RARE = 50  # texts from which on a term must occur in two of them


@EXTRACTORS.register("tfidf")
class TextVectors(Extractor):
    """TF-IDF of words and word pairs and of pieces of 2 to 5 letters, on its first singular directions.

    Args:
        dims: number of directions.
    """

    kinds = ("text",)

    def __init__(self, dims: int = 500) -> None:
        if not 1 <= dims <= 4096:
            raise InputError(f"dims must lie in [1, 4096], got dims={dims}")
        self.dims = dims
        self.terms: dict[str, list[str]] = {}
        self._tables: list[Any] = []

    def _new_table(self, kind: str, rare: int, vocabulary: list[str] | None = None) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer

        pieces = kind == "pieces"
        return TfidfVectorizer(
            analyzer="char_wb" if pieces else "word",
            ngram_range=(2, 5) if pieces else (1, 2),
            token_pattern=None if pieces else r"(?u)\b\w+\b",
            sublinear_tf=True,
            min_df=rare,
            max_features=_PIECES if pieces else _WORDS,
            vocabulary=vocabulary,
            dtype=np.float32,
        )

    def fit_transform(self, inputs: Inputs, *, progress: Progress | None = None) -> Array:
        from scipy.sparse import hstack
        from sklearn.utils.extmath import randomized_svd

        texts = _checked(inputs)
        rare, found = (2 if len(texts) >= _RARE else 1), []
        self._tables, self.terms = [], {}
        for kind in ("words", "pieces"):
            table = self._new_table(kind, rare)
            try:
                found.append(table.fit_transform(texts))
            except ValueError:  # no term is left
                continue
            self._tables.append(table)
            self.terms[kind] = table.get_feature_names_out().tolist()
        if not found:
            raise InputError("the texts hold no words; give texts with letters or digits")
        terms = hstack(found, format="csr")
        directions = min(self.dims, min(terms.shape))
        _, _, right = randomized_svd(terms, directions, n_iter=4, random_state=0)
        self.directions = np.ascontiguousarray(right.T, np.float32)  # (terms, directions)
        self.mean = np.zeros(directions, np.float32)
        vectors = np.asarray(terms @ self.directions, np.float32)
        self.mean = vectors.mean(0)
        if progress:
            progress(len(texts), len(texts))
        return vectors - self.mean

    def transform(self, inputs: Inputs, *, bad: Bad | None = None, progress: Progress | None = None) -> Array:
        if not len(inputs):
            return np.zeros((0, self.directions.shape[1]), np.float32)
        found: Array = np.asarray(self.matrix(inputs) @ self.directions, np.float32) - self.mean
        if progress:
            progress(len(found), len(found))
        return found

    def matrix(self, inputs: Inputs) -> Any:
        """TF-IDF of the texts, a sparse (N, terms)."""
        from scipy.sparse import hstack

        return hstack([table.transform(_checked(inputs)) for table in self._tables], format="csr")

    def encode(self, inputs: Inputs) -> tuple[Tensor, Tensor]:
        """Numbers of the terms, int64 (N, L), and their weights, float32 (N, L); rows are filled up with weight 0."""
        matrix = self.matrix(inputs)
        longest = max(1, int(np.diff(matrix.indptr).max(initial=1)))
        ids = np.zeros((matrix.shape[0], longest), np.int64)
        weights = np.zeros((matrix.shape[0], longest), np.float32)
        for row in range(matrix.shape[0]):
            part = slice(matrix.indptr[row], matrix.indptr[row + 1])
            ids[row, : part.stop - part.start] = matrix.indices[part]
            weights[row, : part.stop - part.start] = matrix.data[part]
        return torch.from_numpy(ids), torch.from_numpy(weights)

    def module(self) -> nn.Module:
        return WeightedBag(self.directions, -self.mean).eval()

    def state(self) -> tuple[dict[str, Any], dict[str, Array]]:
        idf = {f"idf.{kind}": table.idf_ for kind, table in zip(self.terms, self._tables, strict=True)}
        arrays = {"directions": self.directions, "mean": self.mean}
        return {**self.base_state(), "terms": self.terms}, {**arrays, **idf}

    def restore(self, config: Mapping[str, Any], arrays: Mapping[str, Array]) -> None:
        self.terms = {str(kind): [str(term) for term in terms] for kind, terms in config["terms"].items()}
        self._tables = []
        for kind, terms in self.terms.items():
            table = self._new_table(kind, 1, terms)
            table.idf_ = np.asarray(arrays[f"idf.{kind}"], np.float32)
            self._tables.append(table)
        self.directions, self.mean = arrays["directions"], arrays["mean"]


class WeightedBag(nn.Module):
    """Sum of weighted rows of a table plus a bias: a sparse vector times a matrix, as a graph can hold it."""

    bias: Tensor

    def __init__(self, table: Array, bias: Array) -> None:
        super().__init__()
        self.table = nn.Embedding(len(table), table.shape[1], _weight=torch.from_numpy(np.array(table, np.float32)))
        self.register_buffer("bias", torch.from_numpy(np.array(bias, np.float32)))

    def forward(self, ids: Tensor, weights: Tensor) -> Tensor:
        """(N, D) of term numbers (N, L) and their weights (N, L)."""
        found: Tensor = (self.table(ids) * weights[..., None]).sum(1) + self.bias
        return found


def _checked(inputs: Inputs) -> Sequence[str]:
    if not len(inputs):
        raise InputError("features need at least one text, got none")
    return list(inputs)
