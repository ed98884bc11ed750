"""The random streams: frozen, independent by name, and rebuilt by a second implementation."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noiseproof import rng

MASK = 2**64 - 1


def philox(counter: list[int], key: list[int]) -> list[int]:
    """Philox4x64-10 of Salmon et al., SC 2011, in Python's own integers."""
    for _ in range(10):
        low, high = counter[0] * 0xD2E7470EE14C6C93, counter[2] * 0xCA5A826395121157
        counter = [
            high >> 64 ^ counter[1] ^ key[0],
            high & MASK,
            low >> 64 ^ counter[3] ^ key[1],
            low & MASK,
        ]
        key = [key[0] + 0x9E3779B97F4A7C15 & MASK, key[1] + 0xBB67AE8584CAA73B & MASK]
    return counter


def words_in_python(count: int, stream: int) -> list[int]:
    key = [stream & MASK, stream >> 64]
    blocks = [philox([block + 1, 0, 0, 0], key) for block in range(-(-count // 4))]
    return [word for block in blocks for word in block][:count]


PI = 0x243F6A8885A308D3, 0x13198A2E03707344, 0xA4093822299F31D0, 0x082EFA98EC4E6C89
PI_ON = 0x452821E638D01377, 0xBE5466CF34E90C6C


# The known answers that the authors of Philox publish with Random123 (kat_vectors, philox4x64 10).
@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ([0] * 4, [0] * 2, "16554d9eca36314c db20fe9d672d0fdc d7e772cee186176b 7e68b68aec7ba23b"),
        ([MASK] * 4, [MASK] * 2, "87b092c3013fe90b 438c3c67be8d0224 9cc7d7c69cd777b6 a09caebf594f0ba0"),
        (list(PI), list(PI_ON), "a528f45403e61d95 38c72dbd566e9788 a5a1610e72fd18b5 57bd43b5e52b7fe6"),
    ],
)
def test_the_second_implementation_gives_the_published_answers(counter, key, answer):
    assert " ".join(f"{word:016x}" for word in philox(counter, key)) == answer


@given(count=st.integers(1, 40), seed=st.integers(0, 2**40), purpose=st.text(max_size=8))
def test_words_are_those_of_the_second_implementation(count, seed, purpose):
    expected = words_in_python(count, rng.key(seed, purpose))
    assert rng.random_uint64(count, seed, purpose).tolist() == expected


def test_the_key_is_the_start_of_a_hash_of_seed_purpose_and_parts():
    text = "noiseproof/v1\x1f3\x1forder\x1f7"
    assert rng.key(3, "order", 7) == int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")


# Recorded with numpy 2.4.6; equal with 1.26.4 and 2.0.2.
FROZEN = [17519772158819482453, 11368818986231004855, 12594098242188227567]
FROZEN_ORDER = [7, 4, 2, 6, 3, 1, 0, 5]


def test_streams_are_frozen():
    assert rng.random_uint64(3, 1, "noise", "symmetric").tolist() == FROZEN
    assert rng.permutation(8, 1, "order", 0).tolist() == FROZEN_ORDER


@given(few=st.integers(0, 50), more=st.integers(0, 50))
def test_word_i_does_not_depend_on_how_many_are_drawn(few, more):
    assert (
        rng.random_uint64(few + more, 5, "augment", 2)[:few].tolist()
        == rng.random_uint64(few, 5, "augment", 2).tolist()
    )


def test_seeds_purposes_and_parts_name_different_streams():
    names = [(s, p, *parts) for s in range(5) for p in ("noise", "order") for parts in ((), (0,), (1,), (0, 0), ("a",))]
    assert len({rng.key(*name) for name in names}) == len(names)
    assert rng.key(1, "ab") != rng.key(1, "a", "b")


def test_streams_of_different_names_are_not_correlated():
    one, other = (rng.random_uint64(100_000, 1, purpose) / 2.0**64 for purpose in ("noise", "order"))
    # the correlation of independent numbers has standard deviation 1 / sqrt(n) = 0.0032
    assert abs(np.corrcoef(one, other)[0, 1]) < 5 * 0.0032
    assert abs(np.corrcoef(one[1:], one[:-1])[0, 1]) < 5 * 0.0032
    assert abs(one.mean() - 0.5) < 5 * 0.2887 / 100_000**0.5


@given(count=st.integers(0, 200), seed=st.integers(0, 100))
def test_a_permutation_holds_every_number_once(count, seed):
    assert sorted(rng.permutation(count, seed, "order").tolist()) == list(range(count))


def test_every_order_of_three_is_equally_likely():
    orders = [tuple(rng.permutation(3, seed, "order").tolist()) for seed in range(6000)]
    counts = np.array([orders.count(order) for order in set(orders)])
    assert len(counts) == 6
    assert ((counts - 1000) ** 2 / 1000).sum() < 25.7  # chi-square, 5 degrees of freedom, p = 1e-4


def test_global_generators_are_left_alone():
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    (
        rng.random_uint64(10, 1, "noise"),
        rng.permutation(10, 1, "order"),
        torch.rand(3, generator=rng.generator(1, "init")),
    )
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1] == before[1]).all()  # noqa: NPY002


def test_a_torch_generator_repeats_its_draws():
    draws = [torch.rand(4, generator=rng.generator(seed, "init")).tolist() for seed in (1, 1, 2)]
    assert draws[0] == draws[1] != draws[2]
