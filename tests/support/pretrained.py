"""Tiny networks of other libraries with random weights, as pretrained ones lie on a disk."""

from __future__ import annotations

import json
from pathlib import Path

import torch

__all__ = ["bert_folder", "vit_folder"]

WORDS = [
    "[PAD]",
    "[UNK]",
    *["win", "free", "prize", "cash", "now", "see", "you", "at", "lunch", "call", "me", "after", "the", "meeting"],
]


def vit_folder(folder: Path, *, layers: int = 2) -> Path:
    """A vision transformer for 32-pixel pictures with five classes, saved by transformers."""
    from transformers import ViTConfig, ViTForImageClassification

    config = ViTConfig(
        hidden_size=16, num_hidden_layers=layers, num_attention_heads=2, intermediate_size=32, image_size=32,
        patch_size=8, num_labels=5,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        ViTForImageClassification(config).save_pretrained(folder)
    steps = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "size": {"height": 32, "width": 32}}
    (folder / "preprocessor_config.json").write_text(json.dumps(steps))
    return folder


def bert_folder(folder: Path) -> Path:
    """A BERT of two layers with a vocabulary of a few words, saved by transformers."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForSequenceClassification

    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=32,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
