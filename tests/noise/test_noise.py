"""Label noise at its door: texts, what it takes, what it refuses, what comes back."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from noiseproof import noise
from noiseproof.errors import DataError, InputError, UnknownNameError

# Text as typed -> canonical text.
TEXTS = {
    "clean": "clean",
    "symmetric(0.4)": "symmetric(rate=0.4)",
    "Symmetric( rate = 0.40 )": "symmetric(rate=0.4)",
    "symmetric(0.4, convention=exact)": "symmetric(rate=0.4)",
    "symmetric(0.4, convention=independent)": "symmetric(rate=0.4, convention=independent)",
    "symmetric(1)": "symmetric(rate=1)",
    "symmetric(0.4, convention=anl)": "symmetric(rate=0.4, convention=jal)",
    "symmetric(1, allow_wrong_rate=true)": "symmetric(rate=1, allow_wrong_rate=true)",
    "asymmetric(0.2, classes=superclass)": "asymmetric(rate=0.2, classes=superclass)",
    "asymmetric(0.2, classes='3>5 5>3')": "asymmetric(rate=0.2, classes='3>5 5>3')",
    "pairflip(0.45)": "pairflip(rate=0.45)",
    "transition(T.csv)": "transition(file='T.csv')",
    "transition('a b/T.npy', convention=independent)": "transition(file='a b/T.npy', convention=independent)",
    "instance(0.4)": "instance(rate=0.4)",
    "instance(0.4, convention=jal)": "instance(rate=0.4, convention=jal)",
    "human(worst)": "human(labels=worst)",
}


@pytest.mark.parametrize(("typed", "canonical"), TEXTS.items())
def test_a_text_names_a_noise_that_writes_its_canonical_text(typed, canonical):
    found = noise.parse(typed)
    assert str(found) == canonical
    assert noise.parse(canonical) == found
    assert hash(noise.parse(canonical)) == hash(found)
    assert repr(found) == f"noise.parse({canonical!r})"


@pytest.mark.parametrize(
    ("typed", "words"),
    {
        "symetric(0.4)": "did you mean 'symmetric'",
        "symmetric(0.4, convension=jal)": "did you mean 'convention'",
        "symmetric(0.4, convention=jall)": "exact, independent, jal, apl, dividemix; got 'jall'; did you mean 'jal'",
        "pairflip(0.4, convention=jal)": "must be one of exact, independent; got 'jal'",
        "symmetric": "symmetric needs rate; write symmetric(rate, convention=exact",
        "symmetric(1.5)": "rate must lie in [0, 1], got rate=1.5",
        "symmetric(-0.1)": "rate must lie in [0, 1], got rate=-0.1",
        "symmetric(much)": "rate must lie in [0, 1], got rate='much'",
        "symmetric(true)": "rate must lie in [0, 1], got rate=True",
        "symmetric(0.2, 0.4)": "parameters need their names",
        "symmetric(0.4, allow_wrong_rate=1)": "allow_wrong_rate must be true or false, got 1",
        "human(worse)": "human takes one of aggre, rand1, rand2, rand3, worst, noisy, got 'worse'",
        "instance(0.4, convention=exact)": "must be one of xia, logitclip, jal; got 'exact'",
        "instance(0.4, allow_wrong_rate=yes)": "allow_wrong_rate must be true or false, got 'yes'",
        "asymmetric(0.4, classes=5)": "classes must be a word or arcs such as '3>5 5>3', got 5",
        "transition(3)": "transition needs the name of a .csv, .npy or .json file, got 3",
        "symmetric(0.2) + symmetric(0.4)": "expected one NAME",
    }.items(),
)
def test_a_wrong_text_is_refused_with_what_to_type_instead(typed, words):
    with pytest.raises(InputError) as caught:
        noise.parse(typed)
    assert words in str(caught.value)


def test_an_unknown_name_lists_all_names():
    with pytest.raises(UnknownNameError) as caught:
        noise.parse("gaussian(0.1)")
    for name in ("clean", "symmetric", "asymmetric", "pairflip", "transition", "instance", "human"):
        assert name in str(caught.value)


# Labels


@pytest.mark.parametrize(
    "labels",
    [
        [0, 1, 2, 1] * 5,
        (0, 1, 2, 1) * 5,
        np.array([0, 1, 2, 1] * 5, np.uint8),
        np.array([0, 1, 2, 1] * 5, ">i4"),
        np.array([0, 9, 1, 9, 2, 9, 1, 9] * 5)[::2],
        torch.tensor([0, 1, 2, 1] * 5),
        torch.tensor([0, 1, 2, 1] * 5, dtype=torch.int8),
    ],
    ids=["list", "tuple", "uint8", "big-endian", "strided", "torch int64", "torch int8"],
)
def test_any_kind_of_integer_labels_gives_the_same_result(labels):
    noisy = noise.corrupt(labels, "symmetric(0.5)", num_classes=3, seed=4)
    assert noisy.sha256 == noise.corrupt([0, 1, 2, 1] * 5, "symmetric(0.5)", num_classes=3, seed=4).sha256
    assert noisy.labels.dtype == np.int64


def test_the_labels_that_came_in_are_not_changed():
    labels = np.arange(100) % 4
    kept = labels.copy()
    noisy = noise.corrupt(labels, "symmetric(0.9)", num_classes=4, seed=1)
    noisy.labels[:] = 0
    assert (labels == kept).all()


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1, 5, 2, -1, 7, 9], "labels must lie in 0..2, got 5 in row 2, -1 in row 4, 7 in row 5 and 1 more"),
        ([0.0, 1.0], "labels must be integers in 0..2, got float64; convert whole numbers with labels.astype(int)"),
        ([0.0, 1.5, float("nan")], "got float64: 1.5 in row 1, nan in row 2"),
        (torch.tensor([0.0, float("inf")]), "must be integers in 0..2, got float32"),
        ([], "at least one label"),
        (np.eye(3, dtype=int), "must be a vector (N,), got shape (3, 3) (one-hot? use labels.argmax(1))"),
        (np.zeros((5, 1), int), "got shape (5, 1) (use labels.ravel())"),
        (3, "must be a vector (N,), got shape ()"),
        ([True, False], "got bool; convert with labels.astype(int)"),
        (["cat", "dog"], "'cat' in row 0, 'dog' in row 1; give class indices, not names"),
        ([0, None], "must be integers"),
        ([[0, 1], [2]], "numpy cannot read them"),
    ],
)
def test_bad_labels_are_refused_with_the_first_rows_at_fault(labels, words):
    with pytest.raises(InputError) as caught:
        noise.corrupt(labels, "symmetric(0.4)", num_classes=3, seed=1)
    assert words in str(caught.value)


@pytest.mark.parametrize(("name", "value"), [("num_classes", 1), ("num_classes", 2.0), ("seed", -1), ("seed", 1.5)])
def test_bad_numbers_are_refused(name, value):
    with pytest.raises(InputError, match=f"{name} must be a whole number"):
        noise.corrupt([0, 1], "clean", **{"num_classes": 2, "seed": 1, name: value})


# What comes back


@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=60),
    text=st.sampled_from(["clean", "symmetric(0.3)", "pairflip(0.7)", "symmetric(1, convention=independent)"]),
    seed=st.integers(0, 99),
)
def test_what_comes_back_describes_the_labels_that_come_back(labels, text, seed):
    noisy = noise.corrupt(labels, text, num_classes=6, seed=seed)
    clean = np.array(labels)
    assert ((noisy.labels >= 0) & (noisy.labels < 6)).all()
    assert (noisy.flipped == (noisy.labels != clean)).all()
    assert noisy.rate == sum(noisy.flipped.tolist()) / len(labels)
    assert noisy.transition.sum(1) == pytest.approx(np.ones(6))
    for c in range(6):
        for j in range(6):
            members = [int(given) for given, true in zip(noisy.labels, clean, strict=True) if true == c]
            share = members.count(j) / len(members) if members else float(c == j)
            assert noisy.transition[c, j] == pytest.approx(share)
    assert noisy.sha256 == hashlib.sha256(bytes(noisy.labels.tolist())).hexdigest()
    assert (noisy.text, noisy.seed) == (str(noise.parse(text)), seed)


def test_above_256_classes_the_hash_is_of_little_endian_int32():
    noisy = noise.corrupt([0, 1, 299], "clean", num_classes=300, seed=1)
    assert noisy.sha256 == hashlib.sha256(bytes([0, 0, 0, 0, 1, 0, 0, 0, 0x2B, 1, 0, 0])).hexdigest()
    assert noise.corrupt([0, 255], "clean", num_classes=256, seed=1).sha256 == hashlib.sha256(b"\x00\xff").hexdigest()


def test_clean_changes_nothing():
    noisy = noise.corrupt(np.arange(50) % 7, "clean", num_classes=7, seed=3)
    assert (noisy.labels == np.arange(50) % 7).all()
    assert (noisy.rate, noisy.overtaken) == (0, [])


def test_classes_whose_own_label_is_not_the_most_frequent_are_named():
    labels = np.repeat(np.arange(4), 100)
    assert noise.corrupt(labels, "pairflip(0.49)", num_classes=4, seed=1).overtaken == []
    assert noise.corrupt(labels, "pairflip(0.5)", num_classes=4, seed=1).overtaken == [0, 1, 2, 3]
    assert noise.corrupt(labels, "asymmetric(0.6, classes='1>2')", num_classes=4, seed=1).overtaken == [1]


def test_noisy_labels_print_well():
    noisy = noise.corrupt(np.arange(1000) % 10, "symmetric(0.4)", num_classes=10, seed=7)
    assert str(noisy).startswith("symmetric(rate=0.4), seed 7: 400 of 1000 labels flipped (40.00%), sha256 ")
    assert repr(noisy) == f"<NoisyLabels {noisy}>"


def test_a_noise_object_serves_as_well_as_its_text():
    labels = np.arange(100) % 5
    by_text, by_object = (
        noise.corrupt(labels, rule, num_classes=5, seed=2) for rule in ("pairflip(0.3)", noise.Pairflip(0.3))
    )
    assert by_text.sha256 == by_object.sha256
    assert by_object.text == "pairflip(rate=0.3)"


# Nominal matrices


def test_the_nominal_matrices_are_those_of_the_definitions():
    assert noise.parse("clean").matrix(3).tolist() == np.eye(3).tolist()
    sym = [[0.6, 0.2, 0.2], [0.2, 0.6, 0.2], [0.2, 0.2, 0.6]]
    assert noise.parse("symmetric(0.4)").matrix(3) == pytest.approx(np.array(sym))
    pair = [[0.75, 0.25, 0], [0, 0.75, 0.25], [0.25, 0, 0.75]]
    assert noise.parse("pairflip(0.25)").matrix(3).tolist() == pair
    arc = [[1, 0, 0], [0.25, 0.75, 0], [0, 0, 1]]
    assert noise.parse("asymmetric(0.25, classes='1>0')").matrix(3).tolist() == arc
    # DivideMix redraws among all classes: a third of 0.3 comes home
    assert noise.parse("symmetric(0.3, convention=dividemix)").matrix(3).diagonal() == pytest.approx(0.8)


@pytest.mark.parametrize("text", ["human(worst)", "instance(0.4)"])
def test_noise_that_looks_at_the_sample_has_no_nominal_matrix(text):
    with pytest.raises(InputError, match="no matrix of its own"):
        noise.parse(text).matrix(10, "cifar10")


# Class maps


def test_cifar10_and_mnist_have_their_published_maps():
    def moves(data):
        matrix = noise.parse("asymmetric(0.4)").matrix(10, data)
        return {(int(c), int(j)) for c, j in np.argwhere(matrix == 0.4)}

    # truck -> automobile, bird -> airplane, deer -> horse, cat <-> dog
    assert moves("cifar10") == {(9, 1), (2, 0), (4, 7), (3, 5), (5, 3)}
    for data in ("mnist", "fashion-mnist", "digits"):
        assert moves(data) == {(7, 1), (2, 7), (5, 6), (6, 5), (3, 8)}


def test_cifar100_cycles_within_five_consecutive_numbers_unless_told_otherwise():
    target = noise.parse("asymmetric(1)").matrix(100, "cifar100").argmax(1)
    assert target[:6].tolist() == [1, 2, 3, 4, 0, 6]
    assert (target // 5 == np.arange(100) // 5).all()


def test_the_superclass_map_is_the_one_of_the_coarse_labels(real_data):
    with np.load(real_data / "cifar-100" / "labels.npz", allow_pickle=False) as found:
        coarse = dict(zip(found["train_labels"].tolist(), found["train_coarse_labels"].tolist(), strict=True))
    target = noise.parse("asymmetric(1, classes=superclass)").matrix(100, "cifar100").argmax(1)
    assert sorted(target.tolist()) == list(range(100))
    assert all(coarse[c] == coarse[int(t)] and c != t for c, t in enumerate(target))
    # "next, circular": upward but for one arc in each of the 20 superclasses
    assert sum(int(t) > c for c, t in enumerate(target)) == 80
    blocks = noise.parse("asymmetric(1)").matrix(100, "cifar100").argmax(1)
    inside = [(c, int(t)) for c, t in enumerate(blocks) if coarse[c] == coarse[int(t)]]
    assert inside == [(6, 7), (19, 15), (42, 43), (63, 64), (86, 87), (89, 85)]


@pytest.mark.parametrize(
    ("text", "data", "words"),
    [
        ("asymmetric(0.4)", None, "no class map without a data name (say data=NAME); it has for cifar10, cifar100"),
        ("asymmetric(0.4)", "mine.csv", "no class map for 'mine.csv'"),
        ("asymmetric(0.4)", "cifar100", "the class map 'blocks' is for 100 classes, got labels of 10"),
        ("asymmetric(0.4, classes=coarse)", "cifar10", "classes must be one of cifar10, mnist, blocks, superclass"),
        ("asymmetric(0.4, classes='3>12')", None, "3>12 is no arc between two classes of 0..9"),
        ("asymmetric(0.4, classes='3>3')", None, "3>3 is no arc between"),
        ("asymmetric(0.4, classes='3>5 3>4')", None, "class 3 becomes one other class, not two"),
        ("asymmetric(0.4, classes='3>5 cat>dog')", None, "classes takes arcs such as '3>5 5>3'"),
    ],
)
def test_a_class_map_that_does_not_fit_is_refused(text, data, words):
    with pytest.raises(InputError) as caught:
        noise.corrupt(np.arange(20) % 10, text, num_classes=10, seed=1, data=data)
    assert words in str(caught.value)


# A matrix from a file

MATRIX = np.array([[0.5, 0.25, 0.25], [0, 1, 0], [0.1, 0.2, 0.7]])


@pytest.mark.parametrize("ending", [".csv", ".npy", ".json"])
def test_a_matrix_is_read_from_a_file(tmp_path, ending):
    path = tmp_path / f"T{ending}"
    if ending == ".npy":
        np.save(path, MATRIX)
    else:
        rows = MATRIX.tolist()
        path.write_text(str(rows) if ending == ".json" else "\n".join(", ".join(map(str, row)) for row in rows))
    rule = noise.Transition(str(path))
    assert rule.matrix(3) == pytest.approx(MATRIX)
    labels = np.arange(3000) % 3
    found = noise.corrupt(labels, f"transition(T{ending})", num_classes=3, seed=1, root=tmp_path)
    assert found.transition.diagonal().tolist() == [0.5, 1, 0.7]
    assert found.transition == pytest.approx(MATRIX, abs=0.05)


@pytest.mark.parametrize(
    ("content", "words"),
    {
        "0.5,0.5\n0.2,0.9": "every row of a transition matrix must sum to 1, row 1 sums to 1.1",
        "0.9,0.8\n0.1,0.2": "(its columns do: transpose it; cleanlab's matrices are transposed)",
        "1.2,-0.2\n0,1": "finite and not negative; row 0 has [1.2, -0.2]",
        "nan,1\n0,1": "finite and not negative; row 0",
        "0.5,0.5": "one row and column a class; got shape (1, 2)",
        "a,b\n0,1": "does not hold a matrix of numbers",
        "0.5,0.5\n1": "does not hold a matrix of numbers",
        "1,0,0\n0,1,0\n0,0,1": "is for 3 classes, got labels of 2",
        "": "(K, K)",
    }.items(),
)
def test_a_file_that_is_no_transition_matrix_is_refused(tmp_path, content, words):
    (tmp_path / "T.csv").write_text(content)
    with pytest.raises(InputError) as caught:
        noise.corrupt([0, 1], "transition(T.csv)", num_classes=2, seed=1, root=tmp_path)
    assert words in str(caught.value)


def test_a_pickle_in_a_matrix_file_is_not_opened(tmp_path):
    np.save(tmp_path / "T.npy", np.array([[1, 0], [0, 1]], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="does not hold a matrix of numbers"):
        noise.corrupt([0, 1], "transition(T.npy)", num_classes=2, seed=1, root=tmp_path)


@pytest.mark.parametrize(
    ("file", "words"), [("none.csv", "there is no file"), ("T.xls", "is read from .csv, .npy, .json")]
)
def test_a_matrix_file_that_is_not_there_or_of_another_kind_is_refused(tmp_path, file, words):
    with pytest.raises(DataError, match=words):
        noise.corrupt([0, 1], noise.Transition(file), num_classes=2, seed=1, root=tmp_path)
