"""What is published can be built, installed and used."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml

import noiseproof
from conftest import ROOT, count


def run(*command: object, cwd: Path | None = None) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the wheel and the sdist of what git holds, built as a publisher would."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("dist")
    files = run("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=ROOT).split("\0")
    for name in filter(None, files):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes((ROOT / name).read_bytes())
    run(sys.executable, "-m", "build", "--outdir", target, source)
    return target


def test_the_wheel_holds_the_package_its_data_and_its_types(built):
    (wheel,) = built.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    written = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "src/noiseproof", cwd=ROOT).split()
    assert "src/noiseproof/py.typed" in written
    assert {name.removeprefix("src/") for name in written if (ROOT / name).is_file()} - set(names) == set()
    assert not [name for name in names if name.startswith(("tests/", "docs/"))]


def test_the_sdist_can_be_built_again(built):
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = [Path(name).name for name in archive.getnames()]
    assert {"pyproject.toml", "LICENSE", "README.md", "kernel.c"} <= set(names)


@pytest.mark.campaign
@pytest.mark.skipif(not count(0, 5), reason="installs everything anew; runs where CI is set")
def test_the_wheel_installs_into_an_empty_environment_and_works(built, tmp_path):
    (wheel,) = built.glob("*.whl")
    run(sys.executable, "-m", "venv", tmp_path / "env")
    python = tmp_path / "env/bin/python"
    run(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", "torch")
    run(python, "-m", "pip", "install", "-q", "-c", ROOT / "constraints.txt", wheel)
    assert run(tmp_path / "env/bin/noiseproof", "--version") == f"noiseproof {noiseproof.__version__}\n"
    script = (
        "import torch, noiseproof; from noiseproof import losses, noise, recipes, theory\n"
        "loss = recipes.load('cifar10').method('jal-ce').loss\n"
        "loss(torch.zeros(4, 10, requires_grad=True), torch.arange(4)).backward()\n"
        "print(round(noise.corrupt([0, 1] * 50, 'symmetric(0.4)', num_classes=2, seed=1).rate, 2))"
    )
    assert run(python, "-c", script, cwd=tmp_path) == "0.4\n"
    assert "digits" in run(tmp_path / "env/bin/noiseproof", "list", "data", cwd=tmp_path)


def test_importing_the_package_loads_nothing_heavy():
    heavy = ["torch", "numpy", "typer", "rich", "pydantic", "matplotlib", "sklearn"]
    script = f"import sys, noiseproof; print([name for name in {heavy} if name in sys.modules])"
    assert run(sys.executable, "-c", script) == "[]\n"


def test_every_public_name_exists():
    for name in noiseproof.__all__:
        assert getattr(noiseproof, name) is not None


def test_the_set_up_knows_the_hash_of_everything_but_torch():
    """`scripts/lock` makes the file anew after a change of the dependencies."""
    import tomllib

    from packaging.requirements import Requirement

    pinned = [line.partition(";")[0].strip(" \\") for line in LOCK.splitlines() if line[0].isalpha()]
    versions: dict[str, set[str]] = {}
    for name, _, version in (each.partition("==") for each in pinned):
        versions.setdefault(name, set()).add(version)
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    for requirement in map(Requirement, needed):
        if requirement.name != "torch":
            found = versions[requirement.name.lower().replace("_", "-")]
            assert all(version in requirement.specifier for version in found), requirement
    assert LOCK.count("--hash=sha256:") > len(pinned)


LOCK = (ROOT / "requirements.lock").read_text()

SET_UP = """
set -euo pipefail
here=$1
source {environment}
make_environment() {{
    ready "$2" "$3" && return
    echo begin >>"$here/log"; sleep 0.5; echo "end ${{NOISEPROOF_INSTRUCTIONS-all}}" >>"$here/log"
    mkdir -p "$here/.venv"; printf '%s\n' "$3" >"$2"
}}
own_instructions() {{ echo avx2; }}
{without}
prepare {purpose}
"""


@pytest.mark.parametrize("without", ["", "command() { [ $2 != flock ]; }"], ids=["flock", "no flock"])
def test_of_two_first_uses_at_once_one_makes_the_environment(tmp_path, without):
    for name in ("pyproject.toml", "constraints.txt", "requirements.lock", "setup.py"):
        (tmp_path / name).touch()
    script = SET_UP.format(environment=ROOT / "scripts" / "environment", without=without, purpose="run")
    words = ["bash", "-c", script, "bash", str(tmp_path)]
    both = [subprocess.Popen(words, stderr=subprocess.DEVNULL) for _ in range(2)]
    assert [process.wait(timeout=60) for process in both] == [0, 0]
    assert (tmp_path / "log").read_text().split() == ["begin", "end", "avx2"]
    assert not (tmp_path / ".venv.lock.d").exists()


def test_a_first_use_compiles_for_its_processor_alone_and_the_tests_for_all(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "NOISEPROOF_INSTRUCTIONS"}
    for purpose in ("run", "run", "test", "run"):  # the last finds what the tests' set-up made
        script = SET_UP.format(environment=ROOT / "scripts" / "environment", without="", purpose=purpose)
        subprocess.run(["bash", "-c", script, "bash", str(tmp_path)], check=True, env=environment, timeout=60)
    assert (tmp_path / "log").read_text().split() == ["begin", "end", "avx2", "begin", "end", "all"]


def test_the_version_is_the_same_wherever_it_is_said():
    said = {
        "pyproject.toml": tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"],
        "CITATION.cff": re.search(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)[1],
        "CHANGELOG.md": re.findall(r"^## (\d.*)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[0],
    }
    assert set(said.values()) == {noiseproof.__version__}, said


def test_the_release_builds_every_platform_and_stores_no_token():
    text = (ROOT / ".github" / "workflows" / "release.yml").read_text()
    workflow = yaml.safe_load(text)
    platforms = " ".join(workflow["jobs"]["wheels"]["strategy"]["matrix"]["os"])
    assert all(name in platforms for name in ("ubuntu-24.04-arm", "ubuntu-24.04 ", "macos", "windows"))
    assert workflow["jobs"]["publish"]["permissions"]["id-token"] == "write"
    assert "secrets." not in text
    assert all(step in text for step in ("attest-build-provenance", "attest-sbom", "gh-action-pypi-publish"))


def test_the_losses_are_there_without_the_compiled_kernels():
    script = (
        "import sys\n"
        "sys.modules['noiseproof.losses._kernels._kernel'] = None\n"  # importing it raises ImportError
        "sys.modules['noiseproof.data.pipeline._crops'] = None\n"
        "import torch\n"
        "from noiseproof import losses\n"
        "logits = torch.randn(64, 10, generator=torch.Generator().manual_seed(1), requires_grad=True)\n"
        "loss = losses.parse('nce + amse(a=30)')(logits, torch.arange(64) % 10)\n"
        "loss.backward()\n"
        "print(f'{loss.item():.5f} {logits.grad.abs().sum().item():.5f}')\n"
    )
    without = run(sys.executable, "-c", script)
    kernels = [line for line in script.splitlines(keepends=True) if "sys.modules" not in line]
    assert without == run(sys.executable, "-c", "".join(kernels))
