"""Faults that `scripts/mutate` planted and no other test had noticed; and the lists that it works from."""

from __future__ import annotations

import ast
import hashlib
import tomllib

import pytest

from conftest import ROOT
from noiseproof import rng

SOURCE = ROOT / "src" / "noiseproof"


@pytest.mark.parametrize("seed", range(8))
def test_a_generator_is_seeded_with_the_low_63_bits_of_its_key(seed):
    digest = hashlib.sha256(f"noiseproof/v1\x1f{seed}\x1finit\x1fhead".encode()).digest()
    expected = int.from_bytes(digest[:8], "little") % 2**63
    assert rng.generator(seed, "init", "head").initial_seed() == expected


def test_the_groups_of_mutants_name_sources_and_tests_that_exist():
    for group in tomllib.loads((ROOT / "scripts" / "mutation-groups.toml").read_text()).values():
        assert [pattern for pattern in group["sources"] if not list(SOURCE.glob(pattern))] == []
        assert [test for test in group["tests"] if not (ROOT / test).exists()] == []


def test_what_is_said_to_be_no_fault_still_stands_in_its_file():
    for file, entries in tomllib.loads((ROOT / "scripts" / "equivalent-mutants.toml").read_text()).items():
        source = ast.unparse(ast.parse((SOURCE / file).read_text()))
        assert [before for before, _, _ in entries if before not in source] == [], file
