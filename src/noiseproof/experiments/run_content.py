"""Content of a run: the hashes of what its words stand for, taken when it is described and checked when it is computed.

What the package knows by official hash, and its own code, have no content: their names say all.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from noiseproof import data, noise
from noiseproof.data.dataset import fingerprint
from noiseproof.data.load import named, path_of
from noiseproof.data.named.noisy_cifar import is_official_hash
from noiseproof.errors import DataError, DataMissingError, UnknownNameError
from noiseproof.experiments.run_id import FILE
from noiseproof.labels import CIFAR_N
from noiseproof.recipes.content import code_content, method_content, recipe_content
from noiseproof.runtime.own_code_hash import code_of
from noiseproof.text import parse_call

if TYPE_CHECKING:
    from noiseproof.data import Data
    from noiseproof.data.dataset_registry import DataSet
    from noiseproof.recipes import Method, Recipe

__all__ = ["Sources", "code_of", "load", "subject", "unchanged"]


class Sources:
    """The data and files that runs are described from, each read once.

    Args:
        root: the folder of the named data sets.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = root
        self._data: dict[str, Data | None] = {}
        self._known: dict[tuple[str, ...], dict[str, str]] = {}

    def take(self, text: str, found: Data) -> None:
        """Use a data set that is read already."""
        self._data[text] = found

    def data(self, text: str) -> Data | None:
        """The data set, as it is now; None where it has a name and its files are not here."""
        if text not in self._data:
            try:
                self._data[text] = _read(text, self.root)
            except DataMissingError:
                if _entry(text, self.root) is None:
                    raise
                self._data[text] = None
        return self._data[text]

    def content(self, text: str, noise_text: str, method: Method, recipe: Recipe) -> dict[str, str]:
        """Hashes of the things that the words of a run stand for; none for what the package knows by name.

        Args:
            text: the data's name or path.
            noise_text: the noise, in canonical form.
            method: with its loss.
            recipe: with its model and starting weights.

        Returns:
            `data`: of the user's own data. `files`: of files of a named data set that are not the official ones.
            `matrix`: of the file of noise `transition`; `method matrix`: of that of a method.
            `labels`: of published labels that are not the official ones.
            `weights`: of the file of starting weights. `network`: of a Hugging Face folder.
            `code KIND NAME`: of the source of a part of the user's own.
        """
        extra = recipe.augment.extra
        return {
            **self.inputs(text, noise_text),
            **self._once(
                ("recipe", *map(str, (recipe.model.name, recipe.model.weights, recipe.model.features)), *extra),
                lambda: recipe_content(recipe),
            ),
            **method_content(method),
        }

    def inputs(self, text: str, noise_text: str) -> dict[str, str]:
        """The part of `content` that comes from data and noise."""
        return {
            **self._once(("data", text), lambda: self._of_data(text)),
            **self._once(("noise", text, noise_text), lambda: self._of_noise(text, noise_text)),
        }

    def _once(self, key: tuple[str, ...], make: Any) -> dict[str, str]:
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def _of_data(self, text: str) -> dict[str, str]:
        entry, found = _entry(text, self.root), self.data(text)
        made = {} if found is None else data_content(found, entry)
        return made | ({} if entry is None else code_content("data", entry.name, entry))

    def _of_noise(self, text: str, noise_text: str) -> dict[str, str]:
        kind, entry = noise.parse(noise_text), _entry(text, self.root)
        name = None if entry is None else entry.name
        published = (
            partial(data.published_labels, name, root=self.root) if name is not None and name in CIFAR_N else None
        )
        try:
            made = kind.content(name, self.root, published)
        except DataMissingError:
            if published is None:
                raise
            made = {}  # the labels are where the run is computed, perhaps
        if is_official_hash(made.get("labels", "")):
            del made["labels"]
        return made | code_content("noise", kind.name, kind)


def data_content(found: Data, entry: DataSet | None) -> dict[str, str]:
    """The hash of a data set, unless its name says all."""
    if found.official:
        return {}
    return {"data" if entry is None else "files": found.fingerprint}


def _entry(text: str, root: Path | None) -> DataSet | None:
    """The registered data set that a text names; None for a path."""
    try:
        return named(text, otherwise=path_of(text, root))
    except UnknownNameError:
        return None


# One data set stays in memory: a worker computes run after run on the same.

_last: list[tuple[str, Path | None, Data]] = []


def _read(text: str, root: Path | None) -> Data:
    found = data.load(text, root=root)
    _last[:] = [(text, root, found)]
    return found


def load(spec: Mapping[str, Any], method: Method, recipe: Recipe, root: Path | None = None) -> Data:
    """The data of a run, if everything it is made of is what it was when the run was described.

    Raises:
        DataError: something has changed since; it is named.
    """
    text, content = spec["data"], spec.get("content") or {}
    sources, wanted = Sources(root), {key: content[key] for key in ("data", "files") if key in content}
    for kept_text, kept_root, found in _last:
        same = (kept_text, kept_root) == (text, root) and data_content(found, _entry(text, root)) == wanted
        if same and unchanged(found):
            sources.take(text, found)
    now = sources.content(text, spec["noise"], method, recipe)
    for key in sorted({*content, *now}):
        if content.get(key) != now.get(key) and not content.get(key, "").startswith("unnamed"):
            raise DataError(f"{subject(spec, key)} has changed since this run was described; type the command again")
    here = sources.data(text)
    return data.load(text, root=root) if here is None else here


def subject(spec: Mapping[str, Any], key: str) -> str:
    """Subject of an entry of a run's content, for a message."""
    if key == "matrix":
        return str(dict(parse_call(spec["noise"]).named)["file"])
    if key == "method matrix":
        return str(FILE.findall(str(spec["settings"]["method"]["method"]))[0][1])
    if key in ("weights", "network"):
        return str(spec["settings"]["model"][key if key == "weights" else "name"])
    if key == "labels":
        return f"the file of the labels {spec['noise']}"
    if key.startswith("code "):
        return f"the code of {key.removeprefix('code ')}"
    return str(spec["data"]) if key == "data" else f"the data of {spec['data']}"


def unchanged(found: Data) -> bool:
    """True if the files of a data set that was read are unchanged; data in memory always are."""
    splits = (found.train, found.test, *found.also.values())
    return all(isinstance(split.inputs, torch.Tensor) for split in splits) or fingerprint(*splits) == found.fingerprint
