"""Each test here notices a fault that `scripts/mutate` planted and that no other test had noticed."""

from __future__ import annotations

import hashlib

import pytest

from noiseproof import rng


@pytest.mark.parametrize("seed", range(8))
def test_a_generator_is_seeded_with_the_low_63_bits_of_its_key(seed):
    digest = hashlib.sha256(f"noiseproof/v1\x1f{seed}\x1finit\x1fhead".encode()).digest()
    expected = int.from_bytes(digest[:8], "little") % 2**63
    assert rng.generator(seed, "init", "head").initial_seed() == expected
