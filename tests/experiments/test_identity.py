"""A record is reused exactly if nothing that decides the result has changed."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from noiseproof import data, losses, noise, recipes
from noiseproof.cli import train_own_data
from noiseproof.errors import DataError, InputError
from noiseproof.experiments import grid, records, run_content
from noiseproof.experiments.driver import run_one
from noiseproof.experiments.run_content import code_of
from noiseproof.experiments.single_run import describe, execute
from noiseproof.experiments.specification import Run
from noiseproof.train import fit


def table(path: Path, *, first: int = 0, count: int = 40) -> Path:
    lines = [f"{i % 7},{i % 2 + i / 100},{(i + (first if i == 0 else 0)) % 2}" for i in range(count)]
    path.write_text("a,b,label\n" + "\n".join(lines) + "\n")
    return path


def matrix(path: Path, rate: float) -> Path:
    path.write_text(f"{1 - rate},{rate}\n{rate},{1 - rate}\n")
    return path


def one(data: object, noise: str = "clean", method: str = "ce", **overrides: object) -> Run:
    (run,) = grid.runs([str(data)], [noise], [method], [1], overrides={"train.epochs": 1, **overrides})
    return run


def test_a_changed_file_under_the_same_path_is_another_run(tmp_path):
    before = one(table(tmp_path / "d.csv"))
    assert one(tmp_path / "d.csv") == before
    after = one(table(tmp_path / "d.csv", first=1))
    assert after.run_id != before.run_id


def test_the_same_file_under_another_path_is_the_same_run(tmp_path):
    before = one(table(tmp_path / "d.csv"))
    (tmp_path / "moved").mkdir()
    os.rename(tmp_path / "d.csv", tmp_path / "moved" / "e.csv")
    assert one(tmp_path / "moved" / "e.csv").run_id == before.run_id


def test_a_matrix_counts_by_its_numbers_and_not_by_its_path(tmp_path):
    data = table(tmp_path / "d.csv")

    def name(path: Path) -> str:
        return one(data, f"transition('{path}')").run_id

    before = name(matrix(tmp_path / "T.csv", 0.2))
    assert name(matrix(tmp_path / "U.csv", 0.2)) == before
    assert name(matrix(tmp_path / "T.csv", 0.3)) != before


def test_the_matrix_of_a_method_counts_by_its_numbers_and_not_by_its_path(tmp_path):
    data = table(tmp_path / "d.csv")

    def name(path: Path) -> str:
        return one(data, method=f'forward(transition=file("{path}"))').run_id

    before = name(matrix(tmp_path / "T.csv", 0.2))
    assert name(matrix(tmp_path / "U.csv", 0.2)) == before
    assert name(matrix(tmp_path / "T.csv", 0.3)) != before


def test_a_model_on_frozen_features_counts_its_noise_matrix_too(tmp_path):
    found = data.load(str(table(tmp_path / "d.csv")))

    def name(noise_text: str) -> Run:
        return train_own_data._run(str(tmp_path / "d.csv"), found, noise_text, 1, "columns", None, None)

    file = f"transition('{tmp_path / 'T.csv'}')"
    matrix(tmp_path / "T.csv", 0.1)
    first = name(file)
    matrix(tmp_path / "T.csv", 0.2)
    assert name(file).run_id != first.run_id
    assert name("symmetric(0.2)").spec["content"] == {"data": found.fingerprint}


def test_starting_weights_count_by_their_bytes(tmp_path):
    def name(value: float) -> str:
        torch.save({"w": torch.tensor([value])}, tmp_path / "w.pt")
        return one("digits", **{"model.weights": str(tmp_path / "w.pt")}).run_id

    assert name(1.0) == name(1.0) != name(2.0)


def pictures(folder: Path, *, shade: int = 0) -> Path:
    for label in ("cat", "dog"):
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(6):
            pixels = np.full((8, 8, 3), (number * 20 + (shade if number == 0 else 0)) % 256, np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.bmp")
    return folder


def test_pictures_of_equal_size_that_were_exchanged_are_another_run(tmp_path):
    before = one(pictures(tmp_path / "p")).run_id
    sizes = [path.stat().st_size for path in sorted((tmp_path / "p").rglob("*.bmp"))]
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "p").rglob("*.bmp")}
    pictures(tmp_path / "p", shade=1)
    for path, time in times.items():
        os.utime(path, ns=(time, time))
    assert [path.stat().st_size for path in sorted((tmp_path / "p").rglob("*.bmp"))] == sizes
    assert one(tmp_path / "p").run_id != before
    pictures(tmp_path / "p", shade=0)
    assert one(tmp_path / "p").run_id == before


def test_the_validation_part_counts_and_its_pictures_may_be_trained_on(tmp_path):
    for number, part in enumerate(("train", "valid", "test")):
        for label in range(2):
            (tmp_path / "d" / part / f"c{label}").mkdir(parents=True)
            for i in range(6):
                picture = np.full((8, 8, 3), 20 * i + 100 * label + number, np.uint8)
                Image.fromarray(picture).save(tmp_path / "d" / part / f"c{label}" / f"{i}.png")
    small = {"model.name": "mlp", "train.batch_size": 4}
    run = one(tmp_path / "d", **small)
    assert execute(run, device="cpu")["result"]["also"].keys() == {"validation"}
    Image.new("RGB", (8, 8), "red").save(tmp_path / "d" / "valid" / "c0" / "0.png")
    assert one(tmp_path / "d", **small).run_id != run.run_id


def test_what_the_package_knows_by_name_keeps_its_name():
    run = one("digits", "symmetric(0.4)", "jal-ce")
    assert "content" not in run.spec
    assert run.run_id == records.run_id(run.spec)


def test_an_option_that_a_later_version_adds_renames_no_run(monkeypatch):
    from noiseproof.recipes import schema

    before = one("digits").run_id

    class Train(schema.Train):
        warm_up: int = 0

    class File(schema.File):
        train: Train

    monkeypatch.setattr(schema, "File", File)
    monkeypatch.setattr(recipes, "Train", Train)
    assert one("digits").run_id == before
    assert one("digits", **{"train.warm_up": 3}).run_id != before


def test_a_run_whose_data_change_before_it_is_computed_is_refused(tmp_path):
    run = one(table(tmp_path / "d.csv"))
    table(tmp_path / "d.csv", first=1)
    run_content._last.clear()  # as in a worker
    with pytest.raises(DataError, match=r"d\.csv has changed since this run was described"):
        execute(run, device="cpu")


def test_training_again_on_corrected_labels_computes_again(tmp_path):
    for first in (0, 1, 0):
        run = one(table(tmp_path / "d.csv", first=first))
        run_one(run, tmp_path / "out", lambda progress, run=run: execute(run, device="cpu", progress=progress))
    assert len(records.read_folder(tmp_path / "out").records) == 2


LOSS = """
    from noiseproof import losses
    {imports}

    class Mine(losses.CE):
        def per_class(self, logits):
            return {factor} * super().per_class(logits)
"""


def imported(folder: Path, name: str, source: str):
    (folder / f"{name}.py").write_text(textwrap.dedent(source))
    sys.modules.pop(name, None)
    return __import__(name)


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield lambda name, source: imported(tmp_path, name, source)
    for name in ("mine_of_the_test", "helper_of_the_test", "helper_of_this"):
        sys.modules.pop(name, None)


def test_the_users_own_code_counts_by_its_source_and_by_what_it_imports(own):
    def digest(factor: str = "2", imports: str = "", helper: str = "x = 1") -> str:
        own("helper_of_the_test", helper)
        return code_of(own("mine_of_the_test", LOSS.format(factor=factor, imports=imports)).Mine())

    assert digest() == digest()
    assert digest("3") != digest()
    imports = "import helper_of_the_test"
    assert digest(imports=imports) == digest(imports=imports)
    assert digest(imports=imports, helper="x = 2") != digest(imports=imports)


@pytest.mark.parametrize(
    "imports",
    ["from helper_of_the_test import x", "def later(): import helper_of_the_test", "import helper_of_the_test"],
)
def test_a_module_that_is_imported_in_any_way_counts(own, imports):
    def digest(helper: str) -> str:
        own("helper_of_the_test", helper)
        return code_of(own("mine_of_the_test", LOSS.format(factor="2", imports=imports)).Mine())

    assert digest("x = 1") == digest("x = 1") != digest("x = 2")


def test_a_module_that_changed_after_it_was_imported_is_not_taken_for_what_runs(own, tmp_path):
    own("helper_of_this", "def factor(): return 1")
    loss = own("mine_of_the_test", LOSS.format(factor="2", imports="from helper_of_this import factor")).Mine()
    assert len(code_of(loss)) == 64
    (tmp_path / "helper_of_this.py").write_text("def factor(): return 2")
    assert code_of(loss).startswith("unnamed ")


def test_a_part_that_is_a_dataclass_has_a_name(own):
    source = """
        import dataclasses

        @dataclasses.dataclass
        class Mine:
            rate: float = 0.1
    """
    assert len(code_of(own("mine_of_the_test", source).Mine())) == 64


def test_the_packages_own_code_has_no_hash_and_code_without_a_source_never_the_same():
    assert code_of(losses.CE()) == ""
    typed = []
    for _ in range(2):
        spaces: dict[str, type] = {"CE": losses.CE}
        exec("class Typed(CE): pass", spaces)
        typed.append(spaces["Typed"])
    assert code_of(typed[0]).startswith("unnamed ")
    assert code_of(typed[0]) == code_of(typed[0]) != code_of(typed[1])


def test_source_that_changed_after_it_was_imported_is_not_taken_for_what_runs(own, tmp_path):
    module = own("mine_of_the_test", LOSS.format(factor="2", imports=""))
    (tmp_path / "mine_of_the_test.py").write_text(textwrap.dedent(LOSS.format(factor="3", imports="")))
    assert code_of(module.Mine()).startswith("unnamed ")


def test_an_own_loss_enters_the_name_of_its_runs(own):
    def name(factor: str) -> str:
        module = own("mine_of_the_test", LOSS.format(factor=factor, imports=""))
        losses.LOSSES.register("mine-of-the-test")(module.Mine)
        try:
            return describe("digits", "clean", "mine-of-the-test", seed=1, recipe=recipes.load("digits")).run_id
        finally:
            del losses.LOSSES._entries["mine-of-the-test"]

    assert name("2") == name("2") != name("3")


def test_a_checkpoint_of_another_version_of_an_own_loss_is_refused(own, tmp_path):
    found = data.load("digits")
    noisy = noise.corrupt(found.train.clean, "symmetric(0.4)", num_classes=10, seed=1)

    def train(factor: str) -> object:
        module = own("mine_of_the_test", LOSS.format(factor=factor, imports=""))
        losses.LOSSES.register("mine-of-the-test")(module.Mine)
        try:
            recipe = recipes.load("digits", {"train.epochs": 1})
            return fit(found, noisy, "mine-of-the-test", recipe, seed=1, device="cpu", checkpoint_dir=tmp_path / "run")
        finally:
            del losses.LOSSES._entries["mine-of-the-test"]

    assert train("2").curves["train_loss"] == train("2").curves["train_loss"]
    with pytest.raises(InputError, match=r"another run .*code loss mine-of-the-test"):
        train("3")
