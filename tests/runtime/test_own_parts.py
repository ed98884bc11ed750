"""Files and modules of the user's register their parts once, and travel to other processes as text."""

from __future__ import annotations

import pickle
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from noiseproof import data, noise, recipes, train
from noiseproof.data import AUGMENTATIONS, DATASETS
from noiseproof.errors import DataMissingError, InputError, UnknownNameError
from noiseproof.losses import LOSSES
from noiseproof.methods import METHODS
from noiseproof.noise import NOISES
from noiseproof.runtime import own_parts

LOSS = """
from noiseproof.losses import LOSSES, Loss
from {helper} import POWER

@LOSSES.register("{name}")
class Own(Loss):
    '''A power of the probability.'''

    def per_class(self, logits):
        return -(POWER * logits.log_softmax(1)).expm1()
"""


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A working folder; what a test imports and registers is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(own_parts, "_LOADED", {})
    monkeypatch.setattr(LOSSES, "_entries", dict(LOSSES._entries))
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def write_loss(folder: Path, name: str = "own_loss") -> Path:
    (folder / f"{name}_helper.py").write_text("POWER = 0.5\n")
    path = folder / f"{name}.py"
    path.write_text(LOSS.format(name=name.replace("_", "-"), helper=f"{name}_helper"))
    return path


@pytest.mark.parametrize("spec", ["own_loss.py", "./own_loss.py", "own_loss", "{folder}/own_loss.py"])
def test_a_file_registers_what_it_defines_by_any_way_of_naming_it(workplace, spec):
    write_loss(workplace)
    part = own_parts.load(spec.format(folder=workplace))
    assert "own-loss" in LOSSES
    assert own_parts.load("own_loss.py") is part
    assert own_parts.part_of(LOSSES["own-loss"].cls) is part
    assert own_parts.part_of(LOSSES["ce"].cls) is None


def test_a_module_of_a_package_brings_the_package_along(workplace):
    package = workplace / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    write_loss(package, "packed")
    (package / "packed.py").write_text((package / "packed.py").read_text().replace("from packed", "from .packed"))
    part = own_parts.load("mine.packed")
    assert [name for name, _ in part.files] == ["mine/packed.py", "mine/__init__.py", "mine/packed_helper.py"]
    assert "packed" in LOSSES


def test_the_hash_changes_with_the_file_and_with_what_it_imports(workplace):
    hashes = set()
    for index, power in enumerate(["0.5", "0.25"]):
        write_loss(workplace, f"part_{index}")
        for path in workplace.glob(f"part_{index}*.py"):
            path.rename(path.with_name(path.name.replace(f"part_{index}", "hashed")))
            text = path.with_name(path.name.replace(f"part_{index}", "hashed")).read_text()
            path.with_name(path.name.replace(f"part_{index}", "hashed")).write_text(
                text.replace(f"part_{index}", "hashed").replace("0.5", power).replace(f"part-{index}", f"h{index}")
            )
        own_parts._LOADED.clear()
        for name in ("hashed", "hashed_helper"):
            sys.modules.pop(name, None)
        hashes.add(own_parts.load("hashed.py").sha256)
    assert len(hashes) == 2


REFUSED = {
    "no such file": ("absent.py", {}, DataMissingError, "no file 'absent.py'"),
    "no such module": ("absent.module", {}, UnknownNameError, "no module named 'absent.module'"),
    "no name at all": ("two words", {}, InputError, "path of a .py file"),
    "not Python": ("data.csv", {"data.csv": "a,b\n"}, InputError, "no Python file"),
    "a name that is taken": ("json.py", {"json.py": ""}, InputError, "named 'json' is loaded already"),
    "a fault": ("faulty.py", {"faulty.py": "\n\nx = undefined\n"}, InputError, r"faulty.py, line 3: NameError"),
    "a fault of grammar": ("odd.py", {"odd.py": "x = (\n"}, InputError, r"odd.py, line 1: '\(' was never closed"),
    "a module it lacks": ("lacks.py", {"lacks.py": "import absent\n"}, InputError, r"lacks.py, line 1: .*'absent'"),
    "a name of ours": (
        "again.py",
        {"again.py": "from noiseproof.losses import *\nfrom noiseproof.losses import LOSSES, Loss\n\n"
         "@LOSSES.register('ce')\nclass A(Loss): pass\n"},
        InputError,
        r"again.py, line 4: a loss named 'ce' is registered already",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_loaded_is_refused_with_file_and_line(workplace, case):
    spec, files, kind, message = REFUSED[case]
    for name, text in files.items():
        (workplace / name).write_text(text)
    with pytest.raises(kind, match=message):
        own_parts.load(spec)
    assert own_parts.loaded() == ()


def test_an_attribute_that_is_not_there_names_those_that_are(workplace):
    (workplace / "nets.py").write_text("class Net: pass\n")
    assert own_parts.attribute("nets.py:Net").__name__ == "Net"
    assert own_parts.canonical("nets.py:Net") == "nets:Net"
    with pytest.raises(UnknownNameError, match=r"no 'Nett' \(there are: Net\); did you mean"):
        own_parts.attribute("nets:Nett")


@pytest.mark.parametrize("what_happens", ["nothing", "the file is gone", "the file has changed"])
def test_a_call_carries_the_parts_to_a_process_that_knows_nothing_of_them(workplace, what_happens):
    path = write_loss(workplace, "carried")
    own_parts.load("carried.py")
    packed = pickle.dumps(own_parts.Carried(partial(str, LOSSES["carried"].cls())))
    if what_happens == "the file is gone":
        path.unlink()
    elif what_happens == "the file has changed":
        path.write_text("raise RuntimeError('another file')\n")
    (workplace / "call.pickle").write_bytes(packed)
    (workplace / "elsewhere").mkdir()
    script = "import pickle; print(pickle.load(open('../call.pickle', 'rb'))())"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=workplace / "elsewhere", capture_output=True, text=True
    )  # fmt: skip
    assert done.stdout == "carried\n", done.stderr


FAULTY = """
from torch import nn

from noiseproof.data import AUGMENTATIONS, DATASETS, Augmentation, DataSet
from noiseproof.losses import LOSSES, Loss
from noiseproof.methods import METHODS, Method
from noiseproof.noise import NOISES, Noise

@LOSSES.register("faulty")
class FaultyLoss(Loss):
    def per_class(self, logits):
        return logits / nothing  # loss

@NOISES.register("faulty")
class FaultyNoise(Noise):
    def draw(self, task):
        return nothing  # noise

@METHODS.register("faulty-method", cost=1.0)
class FaultyMethod(Method):
    def objective(self, batch):
        return nothing  # method

@AUGMENTATIONS.register("faulty")
class FaultyAugmentation(Augmentation):
    def change(self, inputs, u):
        return inputs * nothing  # augmentation

@DATASETS.register("faulty")
class FaultyData(DataSet):
    def load(self, root):
        return nothing  # data

class Net(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.fc = nn.Linear(shape[0], classes)

    def forward(self, inputs):
        return self.fc(inputs) + nothing  # model
"""
USES = {
    "loss": lambda: trained("faulty"),
    "noise": lambda: noise.corrupt([0, 1] * 20, "faulty", num_classes=2, seed=1),
    "method": lambda: trained("faulty-method"),
    "augmentation": lambda: trained("ce", {"augment.extra": "faulty"}),
    "data": lambda: data.load("faulty"),
    "model": lambda: trained("ce", {"model.name": "faulty.py:Net"}),
}


def trained(method: str, changes: dict[str, object] | None = None) -> object:
    recipe = recipes.load("digits", {"train.epochs": 1, **(changes or {})})
    return train.fit(data.load("digits"), None, method, recipe, seed=1, device="cpu")


@pytest.mark.parametrize("kind", USES)
def test_a_fault_of_any_kind_of_part_is_told_with_file_and_line(workplace, monkeypatch, kind):
    for registry in (NOISES, METHODS, AUGMENTATIONS, DATASETS):
        monkeypatch.setattr(registry, "_entries", dict(registry._entries))
    (workplace / "faulty.py").write_text(FAULTY)
    own_parts.load("faulty.py")
    with pytest.raises(NameError) as raised:
        USES[kind]()
    line = 1 + next(number for number, text in enumerate(FAULTY.splitlines()) if text.endswith(f"# {kind}"))
    told = own_parts.in_own_code(raised.value)
    assert told.startswith(f"faulty.py, line {line}, in ")
    assert told.endswith("NameError: name 'nothing' is not defined")
    assert own_parts.in_own_code(ValueError("of ours")) == ""


def test_a_recipe_in_a_file_may_name_a_network_of_that_file(workplace, monkeypatch):
    monkeypatch.setattr(recipes, "_REGISTERED", {})
    (workplace / "inner").mkdir()
    (workplace / "inner" / "mine.py").write_text(
        "from torch import nn\nfrom noiseproof import recipes\n\nclass Net(nn.Module):\n"
        "    def __init__(self, shape, classes, width=4):\n        super().__init__()\n\n"
        "recipes.register('mine', 'extends = \"digits\"\\n[model]\\nname = \"mine.py:Net\"\\nwidth = 8')\n"
    )
    own_parts.load("inner/mine.py")
    assert recipes.load("mine").model.name == "mine:Net"
