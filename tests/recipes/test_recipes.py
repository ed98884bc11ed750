"""Recipes: the published numbers, and a refusal for everything a recipe cannot say."""

from __future__ import annotations

import csv
import re

import pytest

from conftest import ROOT
from noiseproof import losses, recipes
from noiseproof.errors import DataMissingError, InputError, UnknownNameError

FL, NFL, NNFL = (f"{name}(gamma=0.5, detach=true)" for name in ("fl", "nfl", "nnfl"))

# The settings of the authors' code, one column a data set.
PUBLISHED = {
    "fl": (FL, FL, FL, FL),
    "gce": ("gce(q=0.7)", "gce(q=0.7)", "gce(q=0.6)", "gce(q=0.6)"),
    "sce": ("sce(alpha=0.1, beta=1)", "sce(alpha=6, beta=0.1)", "sce(alpha=10, beta=1)", "sce(alpha=10, beta=1)"),
    "nce+rce": ("nce + rce", "10*nce + 0.1*rce", "50*nce + 0.1*rce", "10*nce + 1*rce"),
    "agce": ("agce(a=0.6, q=0.6)", "agce(a=0.6, q=0.6)", "agce(a=1e-5, q=0.5)", "agce(a=1e-5, q=0.5)"),
    "nce+agce": (
        "nce + 4*agce(a=6, q=1.5)",
        "10*nce + 0.1*agce(a=1.8, q=3)",
        "50*nce + 0.1*agce(a=2.5, q=3)",
        "50*nce + 0.1*agce(a=2.5, q=3)",
    ),
    "nce+aul": ("nce + 4*aul(a=6.3, q=1.5)", "10*nce + 0.015*aul(a=6, q=3)", None, None),
    "nce+ael": ("nce + 4*ael(a=5)", "10*nce + 0.1*ael(a=1.5)", None, None),
    "nfl+rce": (f"{NFL} + rce", f"10*{NFL} + 0.1*rce", None, None),
    "nce+mae": ("nce + 0.5*mae", "10*nce + 0.05*mae", None, None),
    "ce+lc": ("lc(delta=2.5)", "lc(delta=0.5)", None, None),
    "aul": ("aul(a=5.5, q=3)", "aul(a=5.5, q=3)", None, None),
    "ael": ("ael(a=2.5)", "ael(a=2.5)", None, None),
    "nnce": ("5*nnce", "nnce", None, None),
    "anl-ce": ("5*nce + 5*nnce", "10*nce + nnce", "20*nce + nnce", "5*nce + 0.1*nnce"),
    "anl-fl": (f"5*{NFL} + 5*{NNFL}", f"10*{NFL} + {NNFL}", f"20*{NFL} + {NNFL}", f"5*{NFL} + 0.1*{NNFL}"),
    "jal-ce": ("nce + amse(a=30)", "5*nce + amse(a=20)", "50*nce + amse(a=30)", "5*nce + 0.1*amse(a=5)"),
    "jal-fl": (f"{NFL} + amse(a=30)", f"5*{NFL} + amse(a=20)", f"50*{NFL} + amse(a=30)", f"5*{NFL} + 0.1*amse(a=5)"),
    "ldr": ("ldr(c=0.1, lam=10)", "ldr(c=0.1, lam=1)", "ldr(c=0.1, lam=1)", "ldr(c=0.1, lam=1)"),
}
SETS = ("cifar10", "cifar100", "webvision", "clothing1m")


@pytest.mark.parametrize(("index", "name"), list(enumerate(SETS)))
def test_a_methods_loss_is_the_published_one(index, name):
    recipe = recipes.load(name)
    for method, texts in PUBLISHED.items():
        if texts[index] is None:
            assert method not in recipe.methods
        else:
            assert recipe.method(method).loss.same_as(losses.parse(texts[index])), method


def test_l1_takes_the_place_of_weight_decay_exactly_where_the_published_code_says():
    l1 = {"cifar10": (5e-5, 5e-5), "cifar100": (5e-6, 5e-7), "webvision": (0, 0), "clothing1m": (0, 0)}
    l2 = {"cifar10": 1e-4, "cifar100": 1e-5, "webvision": 3e-5, "clothing1m": 1e-3}
    for name in SETS:
        recipe = recipes.load(name)
        for method in map(recipe.method, recipe.methods):
            text = str(method.loss)
            if hasattr(method.rule(), "delta"):
                continue  # a method that has this penalty itself
            penalty = l1[name][0] if "amse" in text else l1[name][1] if re.search(r"\bnn(ce|fl)", text) else 0
            assert (method.l1, method.l2) == (penalty, 0 if penalty else l2[name]), (name, method.name)


@pytest.mark.parametrize(
    ("name", "model", "expected"),
    [
        ("cifar10", "cnn8", (120, 128, 0.01, 0.9, False, "cosine", 5.0)),
        ("cifar100", "resnet34", (200, 128, 0.1, 0.9, False, "cosine", 5.0)),
        ("webvision", "resnet50", (250, 256, 0.4, 0.9, True, "step", 5.0)),
        ("clothing1m", "resnet50", (10, 256, 5e-3, 0.9, False, "step", 0.0)),
        ("mnist", "cnn4", (50, 128, 0.01, 0.9, False, "cosine", 5.0)),
        ("fashion-mnist", "cnn4", (50, 128, 0.01, 0.9, False, "cosine", 5.0)),
    ],
)
def test_a_protocol_is_the_published_one(name, model, expected):
    recipe = recipes.load(name)
    train = recipe.train
    found = (train.epochs, train.batch_size, train.lr, train.momentum, train.nesterov, train.schedule, train.clip_norm)
    assert (recipe.model.name, found) == (model, expected)


def test_only_cifar100_turns_its_images():
    turned = {name: recipes.load(name).augment.rotation for name in recipes.names()}
    assert {name: degrees for name, degrees in turned.items() if degrees} == {"cifar100": 20}


def test_every_method_of_every_recipe_can_be_made_and_says_where_it_comes_from():
    for name in recipes.names():
        recipe = recipes.load(name)
        assert recipe.source
        for method in map(recipe.method, recipe.methods):
            assert method.source, (name, method.name)
            assert method.settings()["loss"] == str(method.loss)


def test_every_row_of_the_papers_tables_is_a_method_of_its_recipe():
    with (ROOT / "src/noiseproof/reporting/paper_numbers/tables.csv").open(newline="") as file:
        rows = {(row["dataset"], row["method"].lower()) for row in csv.DictReader(file)}
    recipe = {"CIFAR-10": "cifar10", "CIFAR-100": "cifar100", "CIFAR-10N": "cifar10", "CIFAR-100N": "cifar100"}
    recipe |= {"WebVision": "webvision", "ILSVRC12": "webvision", "Clothing1M": "clothing1m"}
    missing = {(data, method) for data, method in rows if method not in recipes.load(recipe[data]).methods}
    assert missing == set()


def test_a_method_that_was_tuned_for_each_noise_looks_at_it():
    recipe = recipes.load("cifar10")
    assert "m=1000" in str(recipe.method("ece+mae", noise="asymmetric(rate=0.3)").loss)
    assert str(recipe.method("ece+mae", noise="instance(0.4)").loss).startswith("0.045*")
    assert recipe.method("lt-apl", noise="symmetric(0.8)").head == "student(alpha=0.01, lam=0.001)"
    assert recipe.method("lt-apl", noise="symmetric(0.4)").head == "student(alpha=0.1, lam=0.05)"
    assert recipe.method("jal-ce", noise="symmetric(0.8)").settings() == recipe.method("jal-ce").settings()


def test_any_loss_text_is_a_method_with_the_recipes_weight_decay():
    method = recipes.load("cifar10").method("NCE + 2*amse(a=7)")
    assert (method.name, method.l1, method.l2) == ("nce + 2*amse(a=7)", 0.0, 1e-4)


def test_an_override_changes_one_value():
    recipe = recipes.load("cifar10", {"train.epochs": 3, "methods.jal-ce.loss": "nce + amse(a=40)"})
    assert (recipe.train.epochs, recipe.train.lr) == (3, 0.01)
    assert str(recipe.method("jal-ce").loss) == "nce + amse(a=40)"
    assert recipes.load("cifar10").train.epochs == 120


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"train.epoch": 3}, r"no key 'train.epoch' \(there are: epochs, .*\); did you mean 'epochs'\?"),
        ({"train.epochs": 0}, "train.epochs: Input should be greater than or equal to 1, got 0"),
        ({"train.lr": "fast"}, "train.lr: .* got 'fast'"),
        ({"train.schedule": "cosin"}, "train.schedule: Input should be 'cosine', 'step' or 'constant', got 'cosin'"),
        ({"agument.flip": True}, r"no key 'agument' .*did you mean 'augment'\?"),
        ({"augment.filp": True}, r"no key 'augment.filp' .*did you mean 'flip'\?"),
        ({"methods.ce.L1": 1}, r"no key 'methods.ce.L1' .*did you mean 'l1'\?"),
        ({"augment.mean": [0.5]}, "mean and std need one number a channel each, got 1 and 3"),
        ({"source.x": 1}, "'source' is no table of a recipe"),
    ],
)
def test_what_a_recipe_cannot_say_is_refused_with_what_it_could(overrides, message):
    with pytest.raises(InputError, match=message):
        recipes.load("cifar10", overrides)


def test_names_that_do_not_exist_are_refused_with_the_nearest():
    with pytest.raises(UnknownNameError, match=r"no recipe named 'cifar-10'; did you mean 'cifar10'\?"):
        recipes.load("cifar-10")
    with pytest.raises(UnknownNameError, match=r"no method or loss named 'jal-cee'; did you mean 'jal-ce'\?"):
        recipes.load("cifar10").method("jal-cee")
    with pytest.raises(DataMissingError, match="no recipe file at"):
        recipes.load("nowhere/own.toml")


def test_a_recipe_of_ones_own_may_extend_another(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text('source = "mine"\nextends = "cifar10"\n[train]\nepochs = 7\n[methods.mine]\nloss = "2*nce + mae"\n')
    recipe = recipes.load(path)
    assert (recipe.name, recipe.train.epochs, recipe.train.batch_size) == ("own", 7, 128)
    assert str(recipe.method("mine").loss) == "2*nce + mae"
    path.write_text('source = "mine"\nextends = "own.toml"\n')
    with pytest.raises(InputError, match="cannot extend itself"):
        recipes.load(path)
    path.write_text("source = ")
    with pytest.raises(InputError, match="is not TOML"):
        recipes.load(path)
    path.write_text('source = "mine"\n')
    with pytest.raises(InputError, match="model is missing"):
        recipes.load(path)


def test_a_registered_recipe_is_one_like_those_of_the_package(monkeypatch, tmp_path):
    monkeypatch.setattr(recipes, "_REGISTERED", {})
    recipes.register("mine", 'extends = "digits"\n[train]\nepochs = 3')
    (tmp_path / "more.toml").write_text('extends = "mine"\n[train]\nlr = 0.5\n')
    assert "mine" in recipes.names()
    assert recipes.load("mine").train.epochs == recipes.load(tmp_path / "more.toml").train.epochs == 3
    assert recipes.load("mine", {"train.lr": 0.25}).settings()["train"]["lr"] == 0.25


@pytest.mark.parametrize(
    ("name", "text"),
    [("digits", 'extends = "digits"'), ("mine", "not = = toml"), ("mine", "[train]\nepoch = 3"), ("", "")],
)
def test_what_is_no_recipe_is_not_registered(monkeypatch, name, text):
    monkeypatch.setattr(recipes, "_REGISTERED", {})
    with pytest.raises(InputError):
        recipes.register(name, text)
    assert not recipes._REGISTERED
