"""Extractors: what is fitted comes back from its state, and a module computes what `transform` does."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from conftest import seeded
from noiseproof import features
from noiseproof.data.dataset import Texts, samples
from noiseproof.errors import DataError, InputError
from noiseproof.features import FeatureCache, FrozenNetwork

PICTURES = torch.randint(0, 256, (12, 3, 20, 24), dtype=torch.uint8, generator=seeded(0))
TEXTS = Texts(f"{a} {b} today" for a in ("free", "win", "call", "meet") for b in ("money", "prize", "home", "later"))
FRAME = pd.DataFrame(
    {
        "age": [1.0, 2.0, np.nan, 4.0] * 5,
        "town": ["Rome", "Oslo", None, "Rome"] * 5,
        "member": [True, False, True, True] * 5,
        "since": pd.to_datetime(["2020-01-01", "2021-01-01", "2022-01-01", None] * 5),
    }
)
NUMBERS = torch.randn(30, 4, generator=seeded(1)) * 7 + 3

needs_wheel = pytest.mark.skipif(not FrozenNetwork.installed("lite0"), reason="needs noiseproof[features]")
CASES = [
    pytest.param("lite0(side=64)", PICTURES, marks=needs_wheel, id="frozen network"),
    pytest.param("patches", PICTURES, id="patches"),
    pytest.param("tfidf(dims=5)", TEXTS, id="texts"),
    pytest.param("columns", FRAME, id="columns"),
    pytest.param("columns", NUMBERS, id="numbers"),
]


@pytest.mark.parametrize(("text", "inputs"), CASES)
def test_a_state_of_plain_values_gives_the_same_vectors(text, inputs):
    fitted = features.extractor_for(inputs, text)
    vectors = fitted.fit_transform(inputs)
    config, arrays = fitted.state()
    again = features.from_state(json.loads(json.dumps(config)), arrays)
    assert vectors.dtype == np.float32
    assert vectors.shape[0] == len(inputs)
    np.testing.assert_allclose(again.transform(inputs), vectors, atol=1e-4)


@pytest.mark.parametrize(("text", "inputs"), CASES)
def test_the_module_computes_what_transform_does(text, inputs):
    fitted = features.extractor_for(inputs, text)
    vectors = fitted.fit_transform(inputs)
    coded = fitted.encode(inputs)
    if isinstance(coded, list):
        coded = torch.stack(coded)
    with torch.inference_mode():
        found = fitted.module()(*coded) if isinstance(coded, tuple) else fitted.module()(coded)
    np.testing.assert_allclose(found.numpy(), vectors, atol=1e-4)


@pytest.mark.parametrize(("text", "inputs"), CASES)
def test_a_sample_has_the_same_vector_in_any_company(text, inputs):
    fitted = features.extractor_for(inputs, text)
    vectors = fitted.fit_transform(inputs)
    order = np.array([5, 0, 7])
    np.testing.assert_allclose(fitted.transform(samples(inputs, order)), vectors[order], atol=1e-4)


@needs_wheel
def test_each_stage_of_the_frozen_network_is_centred_and_of_mean_variance_one():
    vectors = features.extractor_for(PICTURES, "lite0(side=64)").fit_transform(PICTURES)
    for stage in np.split(vectors, [112, 304], axis=1):
        np.testing.assert_allclose(stage.mean(0), 0, atol=1e-5)
        assert stage.var(0).mean() == pytest.approx(1, rel=1e-4)


@needs_wheel
def test_weights_that_are_not_the_published_ones_are_refused(monkeypatch):
    from noiseproof.features.frozen_network import Lite0, _weights

    _weights.cache_clear()
    monkeypatch.setattr(Lite0, "sha256", "0" * 64)
    with pytest.raises(DataError, match="SHA-256"):
        Lite0().body()


def test_the_cache_spares_the_second_reading(tmp_path, monkeypatch):
    inputs = []
    for number, one in enumerate(PICTURES):
        Image.fromarray(one.permute(1, 2, 0).numpy()).save(tmp_path / f"{number}.png")
        inputs.append(tmp_path / f"{number}.png")
    fitted = features.extractor_for(tuple(inputs), "patches").fit(tuple(inputs))
    fitted.cache = FeatureCache(tmp_path / "cache")
    first = fitted.transform(tuple(inputs))
    monkeypatch.setattr("noiseproof.features.pictures.picture", lambda path: pytest.fail("read again"))
    fitted.cache = FeatureCache(tmp_path / "cache")
    np.testing.assert_array_equal(fitted.transform(tuple(inputs)), first)


def test_a_damaged_block_of_the_cache_is_computed_again(tmp_path):
    fitted = features.extractor_for(PICTURES, "patches").fit(PICTURES)
    fitted.cache = FeatureCache(tmp_path)
    first = fitted.transform(PICTURES)
    (block,) = tmp_path.rglob("*.safetensors")
    block.write_bytes(block.read_bytes()[:100])
    fitted.cache = FeatureCache(tmp_path)
    np.testing.assert_array_equal(fitted.transform(PICTURES), first)


def test_pictures_that_cannot_be_read_are_listed(tmp_path):
    good, bad = tmp_path / "good.png", tmp_path / "bad.png"
    Image.fromarray(PICTURES[0].permute(1, 2, 0).numpy()).save(good)
    bad.write_bytes(b"no picture")
    fitted = features.extractor_for(PICTURES, "patches").fit(PICTURES)
    listed: dict[int, str] = {}
    vectors = fitted.transform((bad, good), bad=listed)
    assert list(listed) == [0]
    assert "cannot be decoded" in listed[0]
    assert np.isnan(vectors[0]).all()
    assert np.isfinite(vectors[1]).all()
    with pytest.raises(DataError, match=r"bad[.]png"):
        fitted.transform((bad, good))


def test_columns_are_matched_by_name_and_missing_ones_named():
    fitted = features.extractor_for(FRAME)
    vectors = fitted.fit_transform(FRAME)
    np.testing.assert_array_equal(fitted.transform(FRAME[["town", "since", "member", "age"]]), vectors)
    assert fitted.unknown_columns(FRAME.assign(extra=1)) == ["extra"]
    with pytest.raises(InputError, match="'age'; did you mean 'aged'"):
        fitted.transform(FRAME.rename(columns={"age": "aged"}))


def test_a_text_where_numbers_were_learned_is_refused_with_its_row():
    fitted = features.extractor_for(FRAME).fit(FRAME)
    with pytest.raises(InputError, match="column 'age' held numbers in training; row 1 holds 'old'"):
        fitted.transform(FRAME.assign(age=pd.Series([1, "old"] * 10, dtype=object)))


def test_a_category_that_training_did_not_see_has_no_column():
    fitted = features.extractor_for(FRAME).fit(FRAME)
    seen, unseen = (fitted.transform(FRAME.assign(town=town)[:1]) for town in ("Rome", "Paris"))
    assert (seen != unseen).sum() == 1


def test_features_of_another_kind_are_refused():
    with pytest.raises(InputError, match="features tfidf take text, got pictures"):
        features.extractor_for(PICTURES, "tfidf")


def test_rows_with_a_text_among_numbers_are_left_out_where_asked():
    fitted = features.extractor_for(frame := pd.DataFrame({"age": [1.0, 2.0, 4.0]})).fit(frame)
    bad = {}
    found = fitted.transform(pd.DataFrame({"age": [1.0, "old", None]}), bad=bad)
    assert bad == {1: "column 'age' held numbers in training, and this row holds 'old'"}
    assert np.isnan(found).any(axis=1).tolist() == [False, True, False]
