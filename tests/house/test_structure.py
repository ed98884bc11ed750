"""The house: imports point one way, heavy libraries stay out of the losses."""

from __future__ import annotations

import ast
import graphlib
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

SOURCE = ROOT / "src" / "noiseproof"

# From the ground up: a module imports only from its own floor's folder or from floors below.
FLOORS = [
    {"errors", "text", "registry", "rng", "labels", "transition_matrix", "escaping", "humanize", "storage", "runtime"},
    {"losses", "noise", "data", "models"},
    {"theory", "features", "learners"},
    {"methods"},
    {"recipes"},
    {"train"},
    {"testing", "artifacts", "selection"},
    {"doctor", "experiments"},
    {"reporting", "integrations", "speed"},
    {"cli"},
]
FLOOR = {part: level for level, parts in enumerate(FLOORS) for part in parts}


def part_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported_parts(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if module == "noiseproof":
                found |= {alias.name for alias in node.names}
            elif module.startswith("noiseproof."):
                found.add(module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("noiseproof.")}
    return found & FLOOR.keys()


MODULES = sorted(path for path in SOURCE.rglob("*.py") if part_of(path) in FLOOR)


def test_every_part_of_the_package_has_its_floor():
    faces = {"__init__", "__main__"}
    assert {part_of(path) for path in SOURCE.rglob("*.py")} - FLOOR.keys() - faces == set()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_down(path):
    own = part_of(path)
    upward = {part for part in imported_parts(path) if part != own and FLOOR[part] >= FLOOR[own] and FLOOR[own] != 0}
    assert upward == set(), f"{own} (floor {FLOOR[own]}) imports {upward}"


def test_no_imports_run_in_a_circle():
    modules = {".".join(("noiseproof", *path.relative_to(SOURCE).with_suffix("").parts)): path for path in MODULES}
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    graph: dict[str, set[str]] = {}
    for name, path in modules.items():
        graph[name] = set()
        tree = ast.parse(path.read_text())
        only_types = {id(node) for test in ast.walk(tree) if _is_type_checking(test) for node in ast.walk(test)}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module and id(node) not in only_types:
                full = {f"{node.module}.{alias.name}" for alias in node.names}
                graph[name] |= (full & modules.keys()) or ({node.module} & modules.keys())
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


def _is_type_checking(node: ast.AST) -> bool:
    """Test for `if TYPE_CHECKING:`, whose imports never run."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def test_the_losses_import_with_torch_and_nothing_else():
    blocked = [
        "numpy",
        "typer",
        "rich",
        "pydantic",
        "matplotlib",
        "sklearn",
        "safetensors",
        "PIL",
        "scipy",
        "pandas",
        "skorch",
        "ray",
    ]
    # torch itself looks for numpy; the losses must not need it.
    script = (
        "import sys, torch\n"
        f"blocked = {blocked!r}\n"
        "for name in [m for m in sys.modules if m.split('.')[0] in blocked]: del sys.modules[name]\n"
        "class Wall:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in blocked: raise ImportError(name + ' is blocked')\n"
        "sys.meta_path.insert(0, Wall())\n"
        "from noiseproof import losses\n"
        "loss = losses.parse('nce + amse(a=30)')\n"
        "print(float(loss(torch.zeros(2, 10), torch.tensor([1, 2]))))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # NCE of even scores is 1/K; AMSE is ((a - 1/K)^2 + (K-1)/K^2) / K
    assert float(done.stdout) == pytest.approx(0.1 + (29.9**2 + 9 * 0.01) / 10, rel=1e-6)
