"""The documentation's blocks run as they stand."""

from __future__ import annotations

import re
import runpy
import shlex
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest
import sympy
import torch
import typer.main

from conftest import ROOT, count, seeded
from noiseproof import losses
from noiseproof.cli.app import app
from noiseproof.data import DATASETS
from noiseproof.losses import LOSSES
from noiseproof.testing import CHECKS
from support.commands import run_command

sys.path.insert(0, str(ROOT / "docs" / "_ext"))
import formulas
import imports

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    return BLOCK.findall(page.read_text())


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.name)
def test_every_block_of_a_page_runs_in_order(page, tmp_path, monkeypatch):
    """Python blocks share one namespace; `$ noiseproof ...` lines run in a process each."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(LOSSES, "_entries", dict(LOSSES._entries))  # a page may register a loss of its own
    module = ModuleType("page_" + page.stem.replace("-", "_"))  # a module, so that its classes can be pickled
    monkeypatch.setitem(sys.modules, module.__name__, module)
    for kind, text in blocks(page):
        if kind == "python":
            exec(compile(text, page.name, "exec"), vars(module))
        else:
            for command in re.findall(r"^\$ noiseproof (.*(?:\\\n.*)*)$", text, re.MULTILINE):
                run(shlex.split(command.replace("\\\n", " "), comments=True))


def run(words: list[str]) -> None:
    """The command; what trains does so for one epoch in the quick size."""
    learned = words[0] == "train" and "--method" not in words and words[1] not in DATASETS  # without epochs
    if words[0] in ("compare", "train", "sweep", "diagnose") and not learned and not count(0, 5):
        words = [*words, "--epochs", "1"]
    code, said = run_command(words)
    assert code == 0, f"{shlex.join(words)}\n{said}"


def commands(page: Path) -> list[list[str]]:
    """Each `noiseproof ...` of a page's blocks and inline code, as words."""
    text = page.read_text()
    fenced = re.findall(r"^```([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    shell = "".join(block for kind, block in fenced if kind in ("", "console")).replace("\\\n", " ")
    found = re.findall(r"^[^#\n]*\bnoiseproof (\w.*)$", shell, re.MULTILINE)
    found += re.findall(r"`noiseproof (\w[^`]*)`", text.replace("\n", " "))
    return [shlex.split(command, comments=True) for command in found]


def parse(words: list[str]) -> None:
    """Raises if the command line would refuse these words."""
    name, command, context = "noiseproof", typer.main.get_command(app), None
    while words:  # a command's bare name is no mistake of a text
        context = command.make_context(name, list(words), parent=context)
        if not hasattr(command, "commands"):
            return
        name, command, words = command.resolve_command(context, words)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)], ids=lambda page: page.name)
def test_every_command_in_a_page_is_one_that_exists(page):
    for words in commands(page):
        parse(words)


# The losses' pages


def by_hand(formula: formulas.Formula, parameters: dict[str, float], z: list[float], label: int) -> float:
    """A page's formula with numbers in it."""
    numbers = {"K": len(z), "k": label + 1, formulas.top.name: z.index(max(z)) + 1, **parameters}
    total = sum(map(sympy.exp, z))
    vectors = {formulas.z: z, formulas.p: [sympy.exp(score) / total for score in z]}

    def number(expression: sympy.Expr) -> sympy.Expr:
        letters = {letter: numbers[letter.name] for letter in expression.free_symbols if letter.name in numbers}
        plain = expression.subs(letters).doit()
        return plain.replace(sympy.Indexed, lambda base, index: vectors[base][int(index) - 1]).evalf()

    for letter, value in formula.where.items():
        if isinstance(letter, sympy.Indexed):
            vectors[letter.base] = [number(value.subs(formulas.j, index + 1)) for index in range(len(z))]
        else:
            numbers[letter.name] = number(value)
    return float(number(formula.loss))


@pytest.mark.parametrize("name", formulas.FORMULAS)
def test_the_formula_on_a_losss_page_is_what_the_loss_computes(name):
    loss, scores = losses.parse(name), 2 * torch.randn(2, 4, generator=seeded(1), dtype=torch.float64)
    parameters = {key: getattr(loss, key) for key in LOSSES[name].parameters if key != "detach"}
    expected = [[by_hand(formulas.FORMULAS[name], parameters, z, k) for k in range(4)] for z in scores.tolist()]
    torch.testing.assert_close(loss.per_class(scores), torch.tensor(expected, dtype=torch.float64))


def test_formulas_are_of_losses_that_exist():
    assert set(formulas.FORMULAS) <= set(LOSSES.names())


def test_the_import_diagram_shows_every_part_and_points_down():
    table, picture = imports.diagram(), imports.draw()
    for part, used in imports.uses().items():
        assert f"| `{part}` |" in table
        assert all(imports.floor(name) < imports.floor(part) for name in used)
    assert picture.count('<g id="text_') == len(imports.uses())


def test_the_names_in_the_pages_links_exist():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+\.md)\)", page.read_text()):
            made = target.startswith("losses/") or page.parent.name == "losses"
            assert made or (page.parent / target).is_file(), f"{page.name} links to {target}"


@pytest.mark.parametrize(
    ("script", "arguments", "at_least"),
    [
        ("segmentation.py", ["--epochs", "2", "--loss", "ce"], 0),
        ("with_lightning.py", [], 75),
        ("language_model.py", ["--steps", "20"], 0),
    ],
)
def test_the_examples_run_and_say_their_accuracy(script, arguments, at_least, monkeypatch, capsys):
    for library in {"with_lightning.py": ["lightning"], "language_model.py": ["transformers"]}.get(script, []):
        pytest.importorskip(library, reason=f"the example needs {library}")
    monkeypatch.setattr(sys, "argv", [script, *arguments])
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's own advice
        runpy.run_path(str(ROOT / "docs" / "examples" / script), run_name="__main__")
    (percent,) = re.findall(r"([\d.]+) %", capsys.readouterr().out)
    assert float(percent) >= at_least


def test_on_wrong_masks_robust_losses_beat_cross_entropy(monkeypatch):
    if not count(0, 5):
        pytest.skip("trains nine networks, some minutes; runs where CI is set")
    monkeypatch.syspath_prepend(ROOT / "docs" / "examples")
    import segmentation

    mean = {
        text: sum(segmentation.train(text, epochs=20, seed=seed) for seed in (1, 2, 3)) / 3
        for text in ("ce", "gce(q=0.7)", "nce + amse(a=30)")
    }
    assert min(mean["gce(q=0.7)"], mean["nce + amse(a=30)"]) > mean["ce"] + 5, mean
    assert mean["nce + amse(a=30)"] > mean["ce"] + 10, mean


def test_the_conformance_page_is_what_the_checks_find():
    page = (ROOT / "docs" / "conformance.md").read_text()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line.startswith("| ")
    ]
    heads = [row for row in rows if row[0] == "check"]
    named = [f"`{name}`" for name in LOSSES.names()]
    assert all(head == ["check", "published code", *named, "torch"] for head in heads)
    checks = [row for row in rows if row[0] not in ("check", "---")]
    assert [row[0] for row in checks] == [check.name.replace("_", " ") for check in CHECKS]
    assert {mark for row in checks for mark in row[2:]} <= {"✓", "·"}
    if count(0, 5):
        made = runpy.run_path(str(ROOT / "scripts" / "conformance"))["page"]()
        assert made == page, "scripts/conformance writes it anew"
