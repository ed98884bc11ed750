"""Texts as numbers of tokens, by the tokenizer of a Hugging Face folder, kept as text that cannot run code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from noiseproof.errors import DataError, DataMissingError, InputError
from noiseproof.storage import files

__all__ = ["Tokenizer"]

_LARGEST = 256 << 20
_LENGTH = 128  # tokens of a text that are read, at most


class Tokenizer:
    """Tokenizer of transformers' fast kind.

    Args:
        text: what `tokenizer.json` holds.
        length: tokens of a text at most; longer texts are cut.

    Raises:
        InputError: tokenizers is not installed.
        DataError: the text describes no tokenizer.
    """

    def __init__(self, text: str, length: int = _LENGTH) -> None:
        try:
            import tokenizers
        except ImportError:
            raise InputError("this model needs tokenizers; type: pip install 'noiseproof[hf]'") from None
        try:
            self._inner: Any = tokenizers.Tokenizer.from_str(text)
        except Exception as error:  # tokenizers raises nothing narrower
            raise DataError(f"the tokenizer cannot be read ({str(error)[:120]})") from None
        self.text, self.length = text, max(2, length)

    @classmethod
    def of_folder(cls, folder: Path) -> Tokenizer:
        """Read tokenizer.json of a Hugging Face folder.

        Raises:
            DataMissingError: there is none.
        """
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise DataMissingError(
                f"{folder} holds no tokenizer.json; write one: "
                "transformers.AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
            )
        return cls(files.read(path, at_most=_LARGEST).decode(), min(_LENGTH, _positions(folder)))

    def encode(self, texts: Sequence[str]) -> Tensor:
        """Numbers of tokens, int64 (N, longest text, at least 2), padded with -1."""
        self._inner.no_padding()
        self._inner.enable_truncation(max_length=self.length)
        rows = [one.ids or [0] for one in self._inner.encode_batch(list(texts))]
        found = torch.full((len(rows), max(2, *map(len, rows), 2)), -1, dtype=torch.int64, device="cpu")
        for row, ids in zip(found, rows, strict=True):
            row[: len(ids)] = torch.tensor(ids, dtype=torch.int64, device="cpu")
        return found

    def words(self, count: int) -> list[str]:
        """Some words of the vocabulary, always the same."""
        special = {str(token) for token in self._inner.get_added_tokens_decoder().values()}
        known = sorted(word for word in self._inner.get_vocab() if word.isalnum() and word not in special)
        return (known or ["word"])[:: max(1, len(known) // count)][:count]


def _positions(folder: Path) -> int:
    """Positions that the network of a folder has, less the two that some begin after."""
    try:
        config = json.loads(files.read(folder / "config.json", at_most=_LARGEST))
        return max(2, int(config.get("max_position_embeddings") or _LENGTH + 2) - 2)
    except (ValueError, TypeError, AttributeError):
        return _LENGTH
