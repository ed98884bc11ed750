"""Texts and tables with words under any method: a network on features, kept as a model folder that takes raw inputs."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import noiseproof
from noiseproof import artifacts, data, recipes, train
from noiseproof.cli.app import app
from noiseproof.errors import InputError
from noiseproof.experiments.single_run import recipe_for

WORDS = {"good": "fine lovely great bright", "bad": "awful poor dull grey", "so-so": "plain middling usual average"}
LABELS = [list(WORDS)[i % 3] for i in range(120)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("own")
    words = [WORDS[label].split() for label in LABELS]
    texts = [f"{four[i % 4]} film, {four[(i // 4) % 4]} cast" for i, four in enumerate(words)]
    pd.DataFrame({"text": texts, "label": LABELS}).to_csv(place / "texts.csv", index=False)
    sizes = np.where(np.arange(120) % 10 == 9, np.nan, np.arange(120) % 3)
    colours = [four[i % 4] for i, four in enumerate(words)]
    pd.DataFrame({"colour": colours, "size": sizes, "label": LABELS}).to_csv(place / "table.csv", index=False)
    for i, text in enumerate(texts[:12]):
        home = place / "films" / LABELS[i]
        home.mkdir(parents=True, exist_ok=True)
        (home / f"{i}.txt").write_text(text)
    (place / "films" / "good" / "broken.txt").write_bytes(b"caf\xe9 \x81\xff")
    return place


@pytest.mark.parametrize(("file", "recipe"), [("texts.csv", "mlp-text"), ("table.csv", "mlp-table")])
@pytest.mark.parametrize("method", ["gce", "co-teaching"])
def test_the_model_predicts_from_raw_inputs_what_the_run_was_judged_by(file, recipe, method, folder, tmp_path):
    assert recipe_for(str(folder / file)) == recipe
    own, protocol = data.load(folder / file), recipes.load(recipe, {"train.epochs": 4})
    outcome = train.fit(own, None, method, protocol, seed=1)
    artifacts.save(artifacts.of_outcome(outcome, own, protocol), tmp_path / "model")
    model = noiseproof.load_model(tmp_path / "model")
    expected = [own.classes[label] for label in own.test.given.tolist()]
    assert 100 * np.mean(model.predict(own.test.inputs) == expected) == pytest.approx(outcome.accuracy)


def test_networks_without_features_refuse_words_with_the_remedy(folder):
    for file, remedy in {"texts.csv": "model.features=tfidf", "table.csv": "model.features=columns"}.items():
        with pytest.raises(InputError, match=remedy):
            train.fit(data.load(folder / file), None, "ce", recipes.load("digits"), seed=1)


def test_methods_are_compared_on_texts_and_the_best_model_reads_a_folder_of_texts(folder, tmp_path):
    runner, out = CliRunner(), tmp_path / "out"
    arguments = ["--methods", "ce,gce", "--seeds", "1", "--set", "train.epochs=3", "--workers", "1", "--out", str(out)]
    done = runner.invoke(app, ["compare", str(folder / "texts.csv"), *arguments, "--keep-model", "best"])
    assert done.exit_code == 0, done.output
    wanted = tmp_path / "p.json"
    done = runner.invoke(app, ["predict", str(out / "model"), str(folder / "films"), "--out", str(wanted)])
    assert done.exit_code == 0, done.output
    assert "broken.txt" in done.output
    named = {row["path"]: row["label"] for row in json.loads(wanted.read_text())}
    assert sorted(named) == sorted(f"{label}/{i}.txt" for i, label in enumerate(LABELS[:12]))


def test_new_rows_with_new_categories_or_without_a_column_of_training_are_told(folder, tmp_path):
    runner, model = CliRunner(), str(tmp_path / "out" / "model")
    done = runner.invoke(app, ["train", str(folder / "table.csv"), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    (tmp_path / "new.csv").write_text("size,colour\n1,mauve\n2,\n0,fine\n")
    done = runner.invoke(app, ["predict", model, str(tmp_path / "new.csv")])
    assert done.exit_code == 0, done.output
    assert "column colour: the model never saw 'mauve'; counted as no category" in done.output
    (tmp_path / "foreign.csv").write_text("weight,height\n1,2\n")
    done = runner.invoke(app, ["predict", model, str(tmp_path / "foreign.csv")])
    assert done.exit_code != 0
    assert "holds none of the columns of training (colour, size); found weight, height" in str(done.exception)
