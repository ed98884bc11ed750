"""What the package may not do, as ruff sees it: pickles, shells, blind unpacking, YAML, the network."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from conftest import ROOT

PLANTED = {
    "a pickle": [
        "import pickle\npickle.load(f)",
        "import pickle as p\np.loads(b)",
        "from pickle import loads as innocent\ninnocent(b)",
        "import pickle\nclass Safe(pickle.Unpickler): pass",
        "import torch\ntorch.load(path)",
        "import torch as t\nreader = t.load",
        "from torch import load",
        "import joblib\njoblib.load(path)",
        "import dill\ndill.loads(b)",
        "import marshal\nmarshal.loads(b)",
        "import shelve\nshelve.open(path)",
        "import pandas as pd\npd.read_pickle(path)",
    ],
    "code": ["exec(text)", "eval(text)", "import runpy\nrunpy.run_path(path)"],
    "an archive": [
        "import tarfile\ntarfile.open(path).extractall(folder)",
        "import shutil\nshutil.unpack_archive(path)",
    ],
    "YAML": ["import yaml\nyaml.load(text)", "from yaml import safe_load\nsafe_load(text)"],
    "a shell": [
        "import os\nos.system(text)",
        "from os import system\nsystem(text)",
        "import subprocess\nsubprocess.run(text, shell=True)",
        "import subprocess\nsubprocess.Popen(text, shell=flag)",
        "import os\nos.popen(text)",
    ],
    "the network": [
        "import urllib.request\nurllib.request.urlopen(address)",
        "from urllib.request import urlopen\nurlopen(address)",
        "import requests\nrequests.get(address)",
        "import socket\nsocket.create_connection(address)",
        "import http.client\nhttp.client.HTTPConnection(host)",
    ],
    "nothing": [
        "import pickle\npickle.dumps(x)",
        "import json\njson.load(f)",
        "network.eval()",
        "import tarfile\ntarfile.open(path).extractfile(member)",
        "import tomllib\ntomllib.loads(text)",
        "import socket\nsocket.gethostname()",
        "import urllib.error\nurllib.error.HTTPError",
    ],
}


@pytest.fixture(scope="module")
def banned(tmp_path_factory) -> dict[str, set[str]]:
    """The codes that ruff gives each snippet, as if it stood in the package."""
    package = tmp_path_factory.mktemp("house") / "src" / "noiseproof"
    package.mkdir(parents=True)
    (package.parents[1] / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    snippets = [snippet for snippets in PLANTED.values() for snippet in snippets]
    for number, snippet in enumerate(snippets):
        (package / f"{number}.py").write_text(snippet + "\n")
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--select", "S,TID251", "--output-format", "json"]
    done = subprocess.run([*command, "."], cwd=package.parents[1], capture_output=True, text=True, check=False)
    codes: dict[str, set[str]] = {snippet: set() for snippet in snippets}
    for fault in json.loads(done.stdout):
        codes[snippets[int(fault["filename"].rpartition("/")[2][:-3])]].add(fault["code"])
    return codes


@pytest.mark.parametrize(("what", "snippet"), [(what, each) for what, planted in PLANTED.items() for each in planted])
def test_a_planted_line_is_caught_and_an_innocent_one_is_not(what, snippet, banned):
    assert bool(banned[snippet]) == (what != "nothing")


def test_every_exception_in_the_package_says_why():
    lines = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in (ROOT / "src").rglob("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if ("noqa: S" in line or "noqa: TID" in line) and len(line.partition(" - ")[2]) < 8
    ]
    assert lines == []
