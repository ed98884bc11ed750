"""The scikit-learn classifier goes wherever scikit-learn's own go."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV, cross_val_predict, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from torch import nn

from noiseproof import load_model, losses, noise
from noiseproof.errors import InputError, UnknownNameError
from noiseproof.integrations.sklearn import NoisyLabelClassifier


@parametrize_with_checks([NoisyLabelClassifier("jal-ce", epochs=40, random_state=0)])
def test_it_obeys_scikit_learns_contract(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def digits():
    features, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        features, labels, test_size=0.4, random_state=0, stratify=labels
    )
    given = noise.corrupt(train_y, "symmetric(0.4)", num_classes=10, seed=1).labels
    return train_x, given, test_x, test_y


def test_a_robust_loss_beats_cross_entropy_on_noisy_digits(digits):
    train_x, given, test_x, test_y = digits
    score = {
        loss: NoisyLabelClassifier(loss, epochs=80, random_state=0).fit(train_x, given).score(test_x, test_y)
        for loss in ("ce", "jal-ce")
    }
    assert score["jal-ce"] > score["ce"] + 0.05


def test_probabilities_are_probabilities(digits):
    train_x, given, test_x, _ = digits
    p = NoisyLabelClassifier(epochs=3, random_state=0).fit(train_x, given).predict_proba(test_x)
    assert p.min() >= 0
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-12)


def test_grid_search_sets_the_loss_and_its_parameters(digits):
    train_x, given, *_ = digits
    search = GridSearchCV(
        make_pipeline(StandardScaler(), NoisyLabelClassifier(epochs=3, random_state=0)),
        {"noisylabelclassifier__loss": ["jal-ce"], "noisylabelclassifier__loss__a": np.array([10, 20])},
        cv=2,
    ).fit(train_x[:300], given[:300])
    assert {row["noisylabelclassifier__loss__a"] for row in search.cv_results_["params"]} == {10, 20}
    assert search.best_estimator_[-1].loss_.terms()[1][1].a == search.best_params_["noisylabelclassifier__loss__a"]


def test_a_parameter_that_no_term_has_is_refused_with_the_nearest():
    model = NoisyLabelClassifier("nce + gce(q=0.5)").set_params(loss__qq=0.5)
    with pytest.raises(UnknownNameError, match=r"no term of .* has a parameter 'qq'"):
        model.fit(np.eye(4), [0, 1, 0, 1])


def test_a_parameter_that_two_terms_have_is_refused():
    with pytest.raises(InputError, match="more than one term"):
        NoisyLabelClassifier("gce(q=0.7) + agce(a=1, q=2)", loss_params={"q": 0.5}).fit(np.eye(4), [0, 1, 0, 1])


def test_it_works_in_cross_val_predict_with_text_labels_in_any_number_of_processes(digits):
    train_x, given, *_ = digits
    words = np.array([f"digit {label}" for label in given[:200]])
    model = NoisyLabelClassifier(epochs=3, random_state=0)
    one, two = (cross_val_predict(model, train_x[:200], words, cv=2, n_jobs=jobs) for jobs in (1, 2))
    assert set(one) <= set(words)
    np.testing.assert_array_equal(one, two)


REFUSED = {
    "a name that is near": ({"loss": "jal_ce"}, "did you mean 'jal-ce'"),
    "a class": ({"loss": losses.NCE}, "a loss of noiseproof.losses, got <class"),
    "another library's loss": ({"loss": nn.CrossEntropyLoss()}, "a loss of noiseproof.losses, got CrossEntropyLoss"),
    "a method with a head of its own": ({"loss": "lt-apl"}, "replaces the network's last layer"),
    "no epoch": ({"epochs": 0}, "epochs must be a whole number from 1 on, got epochs=0"),
    "half an epoch": ({"epochs": 2.5}, "epochs must be a whole number"),
    "one width": ({"hidden": 16}, r"hidden must be widths such as \(128,\)"),
    "a negative rate": ({"lr": -1}, r"lr must lie in \(0, inf\), got lr=-1"),
    "all held out": ({"validation_fraction": 1.0}, r"validation_fraction must lie in \[0, 1\)"),
    "an unknown device": ({"device": "gpu"}, "gpu"),
    "a method that is no loss": ({"loss": "elr"}, "more than a loss of each sample"),
    "an unknown optimiser": ({"optimizer": "adamm"}, "adam"),
    "an argument it does not take": ({"optimizer_params": {"nestrov": True}}, "SGD takes no 'nestrov'.*'nesterov'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_wrong_argument_is_refused_with_what_to_type(case):
    arguments, expected = REFUSED[case]
    with pytest.raises(InputError, match=expected):
        NoisyLabelClassifier(**arguments).fit(np.eye(4), [0, 1, 0, 1])


def test_a_loss_from_python_is_the_same_as_its_text(digits):
    train_x, given, test_x, _ = digits
    one, two = (
        NoisyLabelClassifier(loss, epochs=2, random_state=0).fit(train_x, given).predict_proba(test_x)
        for loss in (losses.NCE() + losses.AMSE(a=20), "nce + amse(a=20)")
    )
    np.testing.assert_array_equal(one, two)


def test_a_sample_of_weight_zero_is_as_good_as_absent(digits):
    train_x, given, test_x, _ = digits
    weight = np.ones(len(given))
    weight[::3] = 0
    model = NoisyLabelClassifier(epochs=2, random_state=0)
    weighted = clone(model).fit(train_x, given, sample_weight=weight).predict_proba(test_x)
    without = clone(model).fit(train_x[weight > 0], given[weight > 0]).predict_proba(test_x)
    np.testing.assert_array_equal(weighted, without)


def test_samples_of_large_weight_decide(digits):
    train_x, given, *_ = digits
    opposite = np.concatenate([given, (given + 1) % 10])
    twice = np.concatenate([train_x, train_x])
    trusted = np.concatenate([np.full(len(given), 9.0), np.ones(len(given))])
    model = NoisyLabelClassifier("ce", epochs=40, random_state=0)
    first = clone(model).fit(twice, opposite, sample_weight=trusted).score(train_x, given)
    second = clone(model).fit(twice, opposite, sample_weight=trusted[::-1]).score(train_x, given)
    assert first > second + 0.5


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_trains_in_the_precision_of_the_features(digits, dtype):
    train_x, given, test_x, _ = digits
    model = NoisyLabelClassifier(epochs=2, random_state=0).fit(train_x.astype(dtype), given)
    assert {str(parameter.dtype) for parameter in model.net_.module_.parameters()} == {f"torch.{np.dtype(dtype)}"}
    assert model.predict_proba(test_x).dtype == np.float64


def test_batch_normalisation_survives_a_last_batch_of_one():
    def normalised(shape, classes):
        return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, classes))

    features, labels = np.random.default_rng(0).normal(size=(25, 4)), np.arange(25) % 2
    model = NoisyLabelClassifier(module=normalised, batch_size=8, epochs=2, random_state=0).fit(features, labels)
    assert model.predict_proba(features[:1]).shape == (1, 2)


def test_cleanlab_takes_it(digits):
    from cleanlab.classification import CleanLearning

    train_x, given, test_x, test_y = digits
    cleaner = CleanLearning(NoisyLabelClassifier(epochs=20, random_state=0), cv_n_folds=2)
    assert cleaner.fit(train_x, given).score(test_x, test_y) > 0.7


def test_text_features_train_through_a_pipeline_and_sparse_input_is_refused():
    texts = ["good film", "fine film", "great story", "bad film", "dull story", "poor film"] * 5
    labels = ["yes", "yes", "yes", "no", "no", "no"] * 5
    dense = FunctionTransformer(lambda features: features.toarray(), accept_sparse=True)
    model = make_pipeline(TfidfVectorizer(), dense, NoisyLabelClassifier(epochs=20, random_state=0)).fit(texts, labels)
    assert list(model.predict(["great film", "dull film"])) == ["yes", "no"]
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        NoisyLabelClassifier().fit(TfidfVectorizer().fit_transform(texts), labels)


def test_images_train_with_a_module_of_the_users(digits):
    train_x, given, *_ = digits

    def convolutional(shape, classes):
        assert shape == (1, 8, 8)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, classes))

    images = train_x.reshape(-1, 1, 8, 8)
    model = NoisyLabelClassifier(module=convolutional, epochs=3, random_state=0).fit(images, given)
    assert model.predict_proba(images[:5]).shape == (5, 10)


def test_the_same_seed_gives_the_same_model_and_leaves_the_global_stream_alone(digits):
    import torch

    train_x, given, test_x, _ = digits
    before = torch.random.get_rng_state()
    one, two = (NoisyLabelClassifier(epochs=2, random_state=5).fit(train_x, given).predict_proba(test_x) for _ in "ab")
    np.testing.assert_array_equal(one, two)
    assert torch.equal(before, torch.random.get_rng_state())


def test_early_stopping_looks_at_held_out_given_labels(digits):
    """The best accuracy it saw is that of its weights on a fifth of the given labels: no other labels come in."""
    train_x, given, *_ = digits
    model = NoisyLabelClassifier("ce", epochs=200, validation_fraction=0.2, patience=3, lr=0.2, random_state=0)
    model.fit(train_x, given)
    assert len(model.net_.history) < 200
    held_out = math.ceil(0.2 * len(given))
    seen = max(row["valid_acc"] for row in model.net_.history)
    assert seen * held_out == pytest.approx(round(seen * held_out), abs=1e-6)
    _, split = model.net_.get_split_datasets({"X": train_x, "sample_weight": np.ones(len(given))}, labels_of(given))
    kept = split.indices
    assert len(kept) == held_out
    assert (model.predict(train_x[kept]) == given[kept]).mean() == pytest.approx(seen, abs=1e-9)


def labels_of(given):
    return np.unique(given, return_inverse=True)[1].astype(np.int64)


def test_it_survives_clone_and_pickle(digits):
    train_x, given, test_x, _ = digits
    model = NoisyLabelClassifier(loss_params={"a": 20}, epochs=2, random_state=0).fit(train_x, given)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict_proba(test_x), model.predict_proba(test_x))
    assert clone(model).get_params()["loss__a"] == 20


@pytest.mark.parametrize("hidden", [(32,), (), (16, 8)])
def test_a_saved_classifier_predicts_from_its_folder_as_before(hidden, tmp_path):
    features, labels = load_digits(return_X_y=True)  # whose first pixel never changes
    names = np.array([f"digit {label}" for label in range(10)])
    trained = NoisyLabelClassifier("gce", hidden=hidden, epochs=5, random_state=0).fit(
        features[:600], names[labels[:600]]
    )
    model = load_model(trained.save(tmp_path / "model"))
    changed = np.where(features[600:900] == 0, 1.0, features[600:900])
    assert model.classes == tuple(names)
    assert model.predict(changed).tolist() == trained.predict(changed).tolist()
    np.testing.assert_allclose(model.predict_proba(changed), trained.predict_proba(changed), atol=1e-4)


def test_a_saved_classifier_knows_its_columns_and_numeric_classes(tmp_path):
    frame, labels = load_iris(return_X_y=True, as_frame=True)
    trained = NoisyLabelClassifier("ce", epochs=5, random_state=0).fit(frame, labels)
    model = load_model(trained.save(tmp_path))
    shuffled = frame[frame.columns[::-1]]
    assert model.classes == ("0", "1", "2")
    assert model.predict(shuffled).tolist() == trained.predict(frame).astype(str).tolist()


@pytest.mark.parametrize("labels", [np.arange(3), np.array(["a", "b", "c"]), np.array([1.0, 2.0, 4.0])])
def test_a_loaded_classifier_is_the_saved_one_and_trains_on(labels, tmp_path):
    frame, codes = load_iris(return_X_y=True, as_frame=True)
    given = labels[codes]
    trained = NoisyLabelClassifier("gce", hidden=(8,), epochs=5, lr=0.05, batch_size=16, loss_params={"q": 0.5})
    trained.fit(frame, given)
    loaded = NoisyLabelClassifier.load(trained.save(tmp_path))
    np.testing.assert_allclose(loaded.predict_proba(frame), trained.predict_proba(frame), atol=1e-5)
    assert loaded.predict(frame).dtype.kind == given.dtype.kind
    assert loaded.get_params() == {**trained.get_params(), "hidden": [8]}
    before = loaded.score(frame, given)
    assert loaded.partial_fit(frame, given).n_iter_ == 6
    assert loaded.set_params(warm_start=True, epochs=9).fit(frame, given).score(frame, given) >= before
    with pytest.raises(ValueError, match="feature names"):
        loaded.predict(frame[frame.columns[::-1]])


def test_a_folder_of_something_else_is_refused_with_the_way_to_open_it(tmp_path):
    from noiseproof import artifacts, data

    folder = artifacts.save(artifacts.learn(data.load("digits"), only="discriminant").model, tmp_path)
    with pytest.raises(InputError, match="load_model"):
        NoisyLabelClassifier.load(folder)


def test_a_network_of_the_users_own_is_refused_with_the_way_to_keep_it(tmp_path):
    features, labels = load_iris(return_X_y=True)
    trained = NoisyLabelClassifier("ce", module=nn.Linear(4, 3), epochs=1, random_state=0).fit(features, labels)
    with pytest.raises(InputError, match="joblib"):
        trained.save(tmp_path)
    with pytest.raises(NotFittedError):
        NoisyLabelClassifier().save(tmp_path)
