"""Training on files of pictures gives what training on the same pictures in memory gives."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from PIL import Image

from noiseproof import recipes
from noiseproof.data import Data, Split
from noiseproof.errors import InputError
from noiseproof.train import fit
from support.made_pictures import images

QUICK = {"train.epochs": 3}


def saved(pictures: Data, folder: Path) -> Data:
    """The same data set as files."""

    def split(part: Split, name: str) -> Split:
        paths = [folder / f"{name}{number}.png" for number in range(len(part))]
        for pixels, path in zip(part.inputs, paths, strict=True):
            Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(path)
        return dataclasses.replace(part, inputs=tuple(paths))

    return dataclasses.replace(pictures, train=split(pictures.train, "train"), test=split(pictures.test, "test"))


def test_files_of_one_small_size_train_as_the_same_pictures_in_memory(tmp_path):
    recipe = recipes.load("small-cifar10", {**QUICK, "augment.crop_padding": 4})
    pictures = images(20)
    found = fit(saved(pictures, tmp_path), None, "jal-ce", recipe, seed=1, precision="fp32")
    assert (
        found.curves["train_loss"]
        == fit(pictures, None, "jal-ce", recipe, seed=1, precision="fp32").curves["train_loss"]
    )


def test_files_of_several_sizes_need_a_recipe_that_cuts_them(tmp_path):
    files = saved(images(20), tmp_path)
    Image.new("RGB", (40, 32)).save(tmp_path / "train7.png")
    with pytest.raises(
        InputError, match=r"train7.png: 40 x 32 pixels, others have 32 x 32; give the recipe resize and crop"
    ):
        fit(files, None, "ce", recipes.load("small-cifar10"), seed=1)
