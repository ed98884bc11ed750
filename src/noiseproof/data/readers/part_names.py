"""Names of parts: training, validation and test, in the spellings that people use."""

from __future__ import annotations

import re

__all__ = ["PARTS", "part_of"]

PARTS = ("train", "validation", "test", "unlabelled")

_WORDS = {
    "train": "train training trn tr learn learning trainval",
    "validation": "val valid validation validate validating dev development",
    "test": "test testing tst te eval evaluation evaluate holdout",
    "unlabelled": "pred prediction predictions unlabeled unlabelled unassigned unsplit unsup unsupervised",
}
_PART = {word: part for part, words in _WORDS.items() for word in words.split()}
_AFFIXES = {
    "set",
    "data",
    "dataset",
    "split",
    "images",
    "imgs",
    "image",
    "img",
    "seg",
    "folder",
    "pictures",
    "photos",
    "samples",
    "instances",
    "annotations",
    "labels",
    "metadata",
}


def part_of(name: str) -> str:
    """The part that a folder or a value of a split column names; empty if it names none.

    Example:
        >>> [part_of(name) for name in ("Training", "seg_train", "TEST_SET", "valid", "cat", "trainer")]
        ['train', 'train', 'test', 'validation', '', '']
    """
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name.strip())
    words = [word for word in re.split(r"[\W_\d]+", spaced.casefold()) if word]
    parts = [_PART[word] for word in words if word in _PART]
    rest = [word for word in words if word not in _PART and word not in _AFFIXES]
    if len(parts) == 1 and not rest:
        return parts[0]
    joined = "".join(words)  # trainset, testdata, hold-out
    for affix in ("", "set", "data", "images"):
        if joined.endswith(affix) and joined.removesuffix(affix) in _PART:
            return _PART[joined.removesuffix(affix)]
    return ""
