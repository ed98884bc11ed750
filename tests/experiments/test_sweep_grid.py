"""A grid is what its file says, the paper's grids are the paper's cells, and a run is named by what decides it."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from pathlib import Path

import pytest

from conftest import ROOT
from noiseproof import recipes
from noiseproof.errors import InputError
from noiseproof.experiments import grid, records, single_run
from noiseproof.experiments.single_run import describe
from noiseproof.experiments.specification import Run
from noiseproof.text import parse_call

OWN = """
data = ["digits"]
noise = ["symmetric(0.2)", "symmetric(0.4)"]
methods = ["ce", "jal-ce", "nce + 4*agce(a=6, q=1.5)"]
seeds = [1, 2]
[train]
epochs = 5
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "grid.toml"
    path.write_text(text)
    return path


def test_a_grid_file_is_the_product_of_its_lists(tmp_path):
    runs = grid.load(written(tmp_path, OWN))
    told = [(r.told["noise"], r.told["method"], r.told["seed"]) for r in runs]
    assert told == [
        (f"symmetric(rate={rate})", method, seed)
        for rate in (0.2, 0.4)
        for method in ("ce", "jal-ce", "nce + 4*agce(a=6, q=1.5)")
        for seed in (1, 2)
    ]
    assert {r.told["settings"]["train"]["epochs"] for r in runs} == {5}
    assert len({r.run_id for r in runs}) == 12


def test_what_is_typed_goes_before_what_the_file_says(tmp_path):
    runs = grid.load(written(tmp_path, OWN), overrides={"train.epochs": 7}, precision="fp32", mode="fast")
    told = runs[0].told
    assert (told["settings"]["train"]["epochs"], told["precision"], told["mode"]) == (7, "fp32", "fast")


def test_parts_take_from_above_what_they_do_not_say(tmp_path):
    text = """
    methods = ["ce"]
    seeds = [1]
    data = ["digits"]
    [[part]]
    noise = ["clean"]
    [[part]]
    noise = ["clean", "pairflip(0.1)"]
    seeds = [1, 2]
    """
    told = [(r.told["noise"], r.told["seed"]) for r in grid.load(written(tmp_path, text))]
    assert told == [("clean", 1), ("clean", 2), ("pairflip(rate=0.1)", 1), ("pairflip(rate=0.1)", 2)], "each run once"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("methods =", "method ="), "no key 'method' (there are: data, noise, methods, seeds"),
        (("methods =", "method ="), "did you mean 'methods'?"),
        (("[train]", "[trian]"), "did you mean 'train'?"),
        (("epochs", "epoch"), "no key 'train.epoch'"),
        (("epochs = 5", "epochs = 0"), "train.epochs: input should be greater than or equal to 1"),
        (("[1, 2]", "[1.5]"), "seeds must be a list, such as seeds = [1, 2, 3]; got [1.5]"),
        (("[1, 2]", "3"), "seeds must be a list"),
        (("[1, 2]", "[]"), "seeds must be a list"),
        (("[1, 2]", "[true]"), "seeds must be a list"),
        (("seeds = [1, 2]", ""), "seeds is missing; write for example seeds = [1, 2, 3]"),
        (("0.4)", "1.4)"), "rate must lie in [0, 1], got rate=1.4"),
        (("jal-ce", "jal-cee"), "did you mean 'jal-ce'?"),
        (('["digits"]', '["digitz"]'), "did you mean 'digits'?"),
        (("[train]\nepochs = 5", "train = 5"), "train must be a table"),
        (("[train]", "precision = 3\n[train]"), "precision must be a text; got 3"),
        (("[train]", "part = 3\n[train]"), "part must be tables, each begun by [[part]]; got 3"),
        (("[train]", "["), "is not a TOML file"),
    ],
)
def test_a_wrong_grid_file_is_one_sentence_that_says_what_to_write(tmp_path, change, words):
    path = written(tmp_path, OWN.replace(*change))
    with pytest.raises(InputError) as refusal:
        grid.load(path)
    assert words.lower() in str(refusal.value).lower()


def test_a_grid_that_is_not_there_says_which_are():
    with pytest.raises(InputError, match=r"no grid 'tabel3'; did you mean 'table3'\? \(there are: combination"):
        grid.load("tabel3")


def cell(run: Run) -> tuple[str, str, str, str]:
    """The cell of the paper's table that a run belongs to."""
    data, noise = run.told["data"], parse_call(run.told["noise"])
    named = dict(noise.named)
    kind = {"instance": "instance-dependent"}.get(noise.name, noise.name)
    rate = str(named.get("rate", 0.0))
    if kind == "human":
        data, rate = f"{data}n", {"noisy": "noisy100"}.get(str(named["labels"]), str(named["labels"]))
    if data in ("webvision", "clothing1m"):
        kind, rate = "real-world", "native"
    return data, kind, rate, run.told["method"]


@pytest.mark.parametrize(("number", "seeds"), [(3, 3), (4, 3), (5, 3), (6, 1)])
def test_the_grids_of_the_paper_are_its_cells(number, seeds):
    path = ROOT / "src/noiseproof/reporting/paper_numbers/tables.csv"
    with path.open() as file:
        lines = [line for line in csv.DictReader(file) if line["table"] == str(number)]
    paper = {
        (line["dataset"].lower().replace("-", ""), line["noise"], line["rate"], line["method"].lower())
        for line in lines
        if line["dataset"] != "ILSVRC12"  # the same WebVision runs on another test set
    }
    ours = Counter(cell(run) for run in grid.load(f"table{number}"))
    assert ours.keys() == paper
    assert set(ours.values()) == {seeds}


def test_a_run_is_named_by_what_decides_it_and_by_nothing_else():
    recipe = recipes.load("digits")

    def name(**changes):
        text = {"data": "digits", "noise_text": "symmetric(0.4)", "method": "jal-ce", "seed": 1, "recipe": recipe}
        return describe(**(text | changes)).run_id

    assert name() == name(noise_text="symmetric( rate = 0.40 )", method="JAL-CE")
    others = [
        {"noise_text": "symmetric(0.2)"},
        {"method": "ce"},
        {"method": "nce + amse"},
        {"seed": 2},
        {"data": "mnist"},
        {"precision": "fp32"},
        {"mode": "fast"},
        {"recipe": recipes.load("digits", {"train.lr": 0.051})},
        {"recipe": recipes.load("mnist")},
    ]
    assert len({name(), *(name(**other) for other in others)}) == 1 + len(others)


def test_the_name_of_a_run_is_the_same_in_every_version():
    """Changing this loses the records of everybody: then SCHEMA has to grow."""
    run = Run(records.canonical({"seed": 1, "data": "digits", "settings": {"l1": 5e-05, "head": None}}))
    text = '{"run":{"data":"digits","seed":1,"settings":{"head":null,"l1":5e-05}},"schema":1}'
    assert run.run_id == hashlib.sha256(text.encode()).hexdigest()


def test_a_run_carries_its_whole_protocol(tmp_path):
    recipe = recipes.load("cifar10", {"train.epochs": 3, "train.lr": 0.2})
    for text in ("jal-ce", "lt-apl", "2*gce(q=0.3)"):
        run = describe("cifar10", "symmetric(0.4)", text, seed=1, recipe=recipe)
        method, protocol = single_run.protocol(Run(run.text))
        wanted = recipe.method(text, noise="symmetric(rate=0.4)")
        assert method.settings() == wanted.settings()
        assert protocol.settings() == recipe.settings()


def test_own_data_gets_the_recipe_of_its_kind(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("a,b,label\n" + "".join(f"{i % 7},{i % 5},{'xy'[i % 2]}\n" for i in range(100)))
    assert single_run.recipe_for(str(path)) == "digits"
    assert single_run.recipe_for("cifar100") == "cifar100"
