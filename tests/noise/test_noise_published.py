"""Published noise: bit for bit the labels that the papers' code and files hold, and no silently wrong rate."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from conftest import ROOT
from noiseproof import noise
from noiseproof.errors import DataError, DataMissingError, InputError


def rows(name):
    with open(ROOT / "tests" / "reference" / name, newline="") as file:
        return list(csv.DictReader(file))


FINGERPRINTS = rows("noise_fingerprints.csv")
GENERATED = rows("published_noise.csv")


def called(row):
    return " ".join(row[key] for key in ("convention", "dataset", "noise", "rate", "seed") if key in row)


@pytest.fixture(scope="module")
def clean(real_data):
    def read(name):
        with np.load(real_data / name / "labels.npz", allow_pickle=False) as found:
            return found["train_labels"]

    return {"cifar10": read("cifar-10"), "cifar100": read("cifar-100")}


@pytest.fixture(scope="module")
def published(real_data):
    """By data set, the published vectors under the keys of their files."""

    def read(name):
        with np.load(real_data / name, allow_pickle=False) as found:
            return dict(found)

    fixed = read("instance-dependent/jal_dependent.npz")
    return {
        "cifar10": read("cifar-n/cifar10n_labels.npz") | fixed,
        "cifar100": read("cifar-n/cifar100n_labels.npz") | fixed,
    }


def corrupt(clean, data, text, seed=123, published=None):
    return noise.corrupt(
        clean[data], text, num_classes=int(data[5:]), seed=seed, data=data, published=published and published[data]
    )


def check(noisy, row):
    assert (noisy.sha256, int(noisy.flipped.sum())) == (row["sha256_of_uint8_labels"], int(row["n_flipped"]))


# The generators of JAL and ANL

DRAWN = [row for row in FINGERPRINTS if row["noise"].split("(")[0] in ("symmetric", "asymmetric")]


def test_the_fingerprints_cover_every_rate_of_the_tables():
    assert len(DRAWN) == 48  # 2 data sets, 3 seeds, symmetric 0.2 to 0.8 and asymmetric 0.1 to 0.4


@pytest.mark.parametrize("row", DRAWN, ids=called)
def test_jal_noise_has_its_fingerprint(clean, row):
    text = f"{row['noise'].split('(')[0]}({row['rate']}, convention=jal)"
    noisy = corrupt(clean, row["dataset"], text, int(row["seed"]))
    check(noisy, row)
    assert noisy.labels[:12].tolist() == [int(label) for label in row["first12"].split()]


# published_noise.csv: the noise functions of HanxunH/Active-Passive-Losses @89fa39a (dataset.py) and
# LiJunnan1992/DivideMix @39740b2 (dataloader_cifar.py), run on these labels with numpy 2.4.6.
@pytest.mark.parametrize("row", GENERATED, ids=called)
def test_apl_and_dividemix_noise_is_that_of_their_code(clean, row):
    kind, _, classes = row["noise"].partition("-")
    classes = f", classes={classes}" if classes else ""
    text = f"{kind}({row['rate']}, convention={row['convention']}{classes})"
    check(corrupt(clean, row["dataset"], text, int(row["seed"])), row)


def test_anl_is_another_name_of_jal(clean):
    one, other = (corrupt(clean, "cifar10", f"symmetric(0.4, convention={name})") for name in ("jal", "anl"))
    assert (one.sha256, one.text) == (other.sha256, other.text)


# The rates they really give


@pytest.mark.parametrize(
    ("text", "data", "rate", "within"),
    [
        ("symmetric(0.8, convention=jal)", "cifar100", 0.792, 0),
        ("symmetric(0.8, convention=jal)", "cifar10", 0.7992, 0),
        ("asymmetric(0.4, convention=jal)", "cifar10", 0.2, 0),
        ("symmetric(0.8, convention=apl)", "cifar100", 0.8, 0),
        ("asymmetric(0.4, convention=apl)", "cifar10", (4 * 0.4 + 0.24) / 10, 0.003),
        ("symmetric(0.5, convention=dividemix)", "cifar10", 0.45, 0.003),
        ("symmetric(0.8, convention=dividemix)", "cifar10", 0.72, 0.003),
        ("asymmetric(0.4, convention=dividemix)", "cifar10", 0.2, 0.006),
    ],
)
def test_published_generators_have_the_rates_that_their_rules_imply(clean, text, data, rate, within):
    noisy = corrupt(clean, data, text)
    assert noisy.rate == pytest.approx(rate, abs=within + 1e-12)
    matrix = noise.parse(text).matrix(int(data[5:]), data)
    # 1 % is what the cut counts of 100 classes lose
    assert noisy.transition == pytest.approx(matrix, abs=0.01 + 6 * 0.5 / np.bincount(clean[data]).min() ** 0.5)


@pytest.mark.parametrize(
    ("text", "labels", "classes", "gives", "asked"),
    [
        ("symmetric(0.4, convention=jal)", np.arange(5000) % 100, 100, "0.00%", "40.00%"),
        ("symmetric(0.4, convention=jal)", np.arange(20_000) % 100, 100, "0.00%", "40.00%"),
        ("symmetric(0.1, convention=jal)", np.arange(50_000) % 100, 100, "0.00%", "10.00%"),
        ("symmetric(0.3, convention=anl)", np.arange(50_000) % 100, 100, "19.80%", "30.00%"),
        ("symmetric(0.4, convention=dividemix)", np.arange(1000) % 2, 2, "20.00%", "40.00%"),
    ],
)
def test_a_silently_wrong_rate_is_refused_unless_it_is_wanted(text, labels, classes, gives, asked):
    with pytest.raises(InputError, match=f"flips {gives} of these labels where {asked} are asked for; use convention"):
        noise.corrupt(labels, text, num_classes=classes, seed=1)
    wanted = noise.corrupt(labels, text[:-1] + ", allow_wrong_rate=true)", num_classes=classes, seed=1)
    assert wanted.rate == pytest.approx(float(gives[:-1]) / 100, abs=0.06)
    exact = noise.corrupt(labels, text.split(",")[0] + ")", num_classes=classes, seed=1)
    assert exact.rate == float(asked[:-1]) / 100


def test_apl_refuses_a_class_too_small_for_its_equal_counts():
    labels = np.repeat([0, 1, 2], [10, 100, 190])
    with pytest.raises(InputError, match="flips 40 labels in every class, but class 0 has only 10"):
        noise.corrupt(labels, "symmetric(0.4, convention=apl)", num_classes=3, seed=1)


def test_published_generators_take_the_seeds_that_numpy_takes():
    with pytest.raises(InputError, match=r"seeds below 2\^32"):
        noise.corrupt([0, 1] * 10, "symmetric(0.5, convention=jal)", num_classes=2, seed=2**32)


# Labels by people, and the fixed instance-dependent labels

BY_KEY = {
    "aggre_label": "aggre",
    "worse_label": "worst",
    "random_label1": "rand1",
    "random_label2": "rand2",
    "random_label3": "rand3",
    "noisy_label": "noisy",
}
BY_PEOPLE = [row for row in FINGERPRINTS if row["noise"] in BY_KEY]
FIXED = [row for row in FINGERPRINTS if row["noise"] == "IDN-json"]


@pytest.mark.parametrize("row", BY_PEOPLE, ids=called)
def test_labels_by_people_have_their_fingerprint(clean, published, row):
    noisy = corrupt(clean, row["dataset"][:-1], f"human({BY_KEY[row['noise']]})", published=published)
    check(noisy, row)
    assert noisy.rate == pytest.approx(float(row["actual_rate"]), abs=5e-6)


@pytest.mark.parametrize("row", FIXED, ids=called)
def test_the_fixed_instance_dependent_labels_have_their_fingerprint(clean, published, row):
    text = f"instance({row['rate']}, convention=jal)"
    noisy = corrupt(clean, row["dataset"], text, published=published)
    check(noisy, row)
    assert noisy.overtaken == []  # clean dominance holds in all six


def test_all_published_vectors_are_tested():
    assert (len(BY_PEOPLE), len(FIXED)) == (6, 6)


def test_three_classes_of_cifar100n_are_overtaken(clean, published):
    assert corrupt(clean, "cifar100", "human(noisy)", published=published).overtaken == [59, 74, 81]


def test_the_reader_of_published_labels_is_called_only_when_they_are_needed(clean, published):
    asked = []

    def read():
        asked.append(1)
        return published["cifar10"]

    for text, calls in (("symmetric(0.2)", 0), ("human(aggre)", 1)):
        noise.corrupt(clean["cifar10"], text, num_classes=10, seed=1, data="cifar10", published=read)
        assert len(asked) == calls


@pytest.mark.parametrize(
    ("text", "data", "change", "error", "words"),
    [
        ("human(worst)", "cifar10", lambda found: None, DataMissingError, "needs the published labels"),
        ("human(worst)", "cifar10", lambda found: {}, DataMissingError, "needs 'worse_label' among"),
        ("human(worst)", "cifar100", lambda found: found, InputError, "are labels of cifar10, got data 'cifar100'"),
        (
            "human(worst)",
            "cifar10",
            lambda found: found | {"worse_label": found["worse_label"][:-1]},
            DataError,
            "worse_label has 49999 labels, the data has 50000",
        ),
        (
            "human(worst)",
            "cifar10",
            lambda found: found | {"worse_label": found["worse_label"] + np.uint8(1)},
            DataError,
            "labels must lie in 0..9, got 10 in row 1",
        ),
        (
            "human(worst)",
            "cifar10",
            lambda found: found | {"clean_label": found["clean_label"][::-1]},
            DataError,
            "are they in the data set's own order?",
        ),
        (
            "instance(0.4, convention=jal)",
            "cifar10",
            lambda found: {"cifar10_dependent_0_4": found["cifar10_dependent_0_4"][::-1]},
            DataError,
            "must be 20000; are they in the data set's own order?",
        ),
        ("instance(0.3, convention=jal)", "cifar10", lambda found: found, InputError, "at 0.2, 0.4, 0.6; got data"),
    ],
)
def test_published_labels_that_do_not_fit_are_refused(clean, published, text, data, change, error, words):
    with pytest.raises(error) as caught:
        corrupt(clean, data, text, published={data: change(published[data])})
    assert words in str(caught.value)
