"""The model folder: it comes back as it was, anywhere, and refuses what is not as it was."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

import noiseproof
from conftest import ROOT, seeded
from noiseproof import artifacts, data, recipes, train
from noiseproof.artifacts.export import export
from noiseproof.artifacts.new_items import as_inputs, read_items
from noiseproof.data.dataset import Data, Split, Texts, samples
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.errors import DataError, DataMissingError, InputError, MachineError

LABELS = np.arange(90) % 3
CLASSES = ("cat", "dog", "-1")


def data_of(inputs) -> Data:
    whole = Split(inputs, torch.from_numpy(LABELS), None, CLASSES)
    return Data("made", whole.take(range(60)), whole.take(range(60, 90)), "f" * 64)


def pictures() -> torch.Tensor:
    found = torch.randint(0, 90, (90, 3, 24, 30), dtype=torch.uint8, generator=seeded(0))
    found[torch.arange(90), torch.from_numpy(LABELS)] += 120
    return found


def frame() -> pd.DataFrame:
    noise = np.random.default_rng(0).normal(size=(2, 90))
    table = pd.DataFrame(
        {"age": 10 * LABELS + noise[0], "size": noise[1] - LABELS, "town": np.array(["a", "b", "c"])[LABELS]}
    )
    table.loc[3, "age"] = np.nan
    return table


def texts() -> Texts:
    words = (("red", "green", "blue"), ("one", "two", "three"), ("sun", "moon", "star"))
    return Texts(f"{words[k][i % 3]} {words[k][(i + 1) % 3]} {i}" for i, k in enumerate(LABELS.tolist()))


INPUTS = {
    "pictures": (pictures, "patches", "discriminant"),
    "columns": (frame, None, None),
    "text": (texts, None, "discriminant"),
}


@pytest.fixture(scope="module", params=INPUTS)
def learned(request):
    make, extractor, only = INPUTS[request.param]
    found = data_of(make())
    return artifacts.learn(found, extractor=extractor, only=only, cache=None), found


@pytest.fixture(scope="module")
def folder(learned, tmp_path_factory) -> Path:
    return artifacts.save(learned[0].model, tmp_path_factory.mktemp("model"))


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_a_copied_folder_gives_the_same_probabilities(learned, copy):
    result, found = learned
    again = noiseproof.load_model(copy)
    p = again.predict_proba(found.test.inputs)
    np.testing.assert_allclose(p, result.model.predict_proba(found.test.inputs), atol=1e-6)
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-9)
    assert again.classes == CLASSES
    assert (again.predict(found.test.inputs) == np.array(CLASSES, object)[LABELS[60:]]).mean() > 0.9


def test_the_module_computes_the_models_probabilities(learned, folder):
    model, found = noiseproof.load_model(folder), learned[1]
    coded = model.encode(samples(found.test.inputs, np.arange(5)))
    with torch.inference_mode():
        inputs = coded if isinstance(coded, tuple) else (torch.stack(coded) if isinstance(coded, list) else coded,)
        p = model.module(*inputs).softmax(1).numpy()
    np.testing.assert_allclose(p, model.predict_proba(samples(found.test.inputs, np.arange(5))), atol=1e-5)


@pytest.mark.parametrize("name", ["weights.safetensors", "probes.safetensors"])
def test_a_changed_byte_is_found(copy, name):
    content = bytearray((copy / name).read_bytes())
    content[-5] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(DataError, match="is damaged or not the file of this model"):
        noiseproof.load_model(copy)


def changed(folder: Path, **values) -> Path:
    about = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**about, **values}))
    return folder


def test_a_later_format_is_one_sentence(copy):
    with pytest.raises(DataError, match=r"has format 99, this version reads up to 1; update noiseproof"):
        noiseproof.load_model(changed(copy, schema=99))


@pytest.mark.parametrize("name", ["../weights.safetensors", "/etc/passwd", "a/b"])
def test_names_that_lead_out_of_the_folder_are_refused(copy, name):
    with pytest.raises(DataError, match="files must be plain names"):
        noiseproof.load_model(changed(copy, files={name: "0" * 64}))


def test_an_architecture_that_is_not_known_is_refused(copy):
    with pytest.raises(DataError, match=r"architecture 'os\.system' is not known"):
        noiseproof.load_model(changed(copy, architecture="os.system"))


def test_a_description_that_changed_is_refused_where_no_probe_shows_it(copy):
    classes = json.loads((copy / "model.json").read_text())["classes"]
    with pytest.raises(DataError, match=r"model\.json: is damaged or was changed by hand"):
        noiseproof.load_model(changed(copy, classes=classes[::-1]))


def test_a_description_without_a_hash_of_its_own_is_read(copy):
    about = json.loads((copy / "model.json").read_text())
    del about["sha256"]
    (copy / "model.json").write_text(json.dumps(about))
    noiseproof.load_model(copy)


def test_a_model_that_answers_otherwise_than_when_it_was_saved_is_refused(learned, folder, copy):
    from hashlib import sha256

    from safetensors.torch import load_file, save_file

    kept = load_file(copy / "probes.safetensors")
    save_file({**kept, "probabilities": kept["probabilities"].flip(1)}, copy / "probes.safetensors")
    about = json.loads((copy / "model.json").read_text())
    digest = sha256((copy / "probes.safetensors").read_bytes()).hexdigest()
    with pytest.raises(MachineError, match="differ by up to"):
        noiseproof.load_model(changed(copy, files={**about["files"], "probes.safetensors": digest}))


@pytest.mark.parametrize("format", ["onnx", "torch"])
def test_an_export_answers_as_the_model(learned, folder, tmp_path, format):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    model, found = noiseproof.load_model(folder), learned[1]
    path, said = export(model, tmp_path / f"model.{format}", format)
    assert "opened again" in said
    some = samples(found.test.inputs, np.arange(3))
    coded = model.encode(some)
    inputs = coded if isinstance(coded, tuple) else (torch.stack(coded) if isinstance(coded, list) else coded,)
    if format == "torch":
        graph = torch.export.load(path).module()
        answers = graph(*inputs).detach().numpy()
    else:
        session = onnxruntime.InferenceSession(str(path))
        names = [one.name for one in session.get_inputs()]
        (answers,) = session.run(None, {name: one.numpy() for name, one in zip(names, inputs, strict=True)})
        assert json.loads(session.get_modelmeta().custom_metadata_map["names"]) == list(CLASSES)
    np.testing.assert_allclose(answers, model.predict_proba(some), atol=1e-5)


def test_an_exported_graph_takes_pictures_of_other_sizes(tmp_path):
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    model = artifacts.learn(data_of(pictures()), extractor="patches", only="discriminant", cache=None).model
    path, _ = export(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(path))
    for height, width in ((17, 90), (64, 33)):
        some = torch.randint(0, 256, (1, 3, height, width), dtype=torch.uint8, generator=seeded(2))
        (answers,) = session.run(None, {"pictures": some.numpy()})
        np.testing.assert_allclose(answers, model.predict_proba(some), atol=1e-5)


@pytest.mark.parametrize(
    "only", ["extra trees", "boosting", "kernel", "discriminant", "logistic regression", "gce", "jal-ce", "nce+rce"]
)
def test_every_learner_survives_the_folder(only, tmp_path):
    found = data_of(frame())
    model = artifacts.learn(found, only=only).model
    again = noiseproof.load_model(artifacts.save(model, tmp_path))
    np.testing.assert_array_equal(again.predict_proba(found.test.inputs), model.predict_proba(found.test.inputs))


def test_a_trained_network_takes_raw_inputs(tmp_path):
    digits, recipe = data.load("digits"), recipes.load("digits", {"train.epochs": 3})
    outcome = train.fit(digits, None, "ce", recipe, seed=1)
    model = noiseproof.load_model(artifacts.save(artifacts.of_outcome(outcome, digits, recipe), tmp_path))
    right = model.predict(digits.test.inputs) == np.array(digits.classes, object)[digits.test.given.numpy()]
    assert 100 * right.mean() == pytest.approx(outcome.accuracy)


def test_no_data_is_kept_in_the_folder(learned, folder):
    if isinstance(learned[1].train.inputs, Texts):
        kept = json.loads((folder / "model.json").read_text())["probe_texts"]
        assert not set(kept) & set(learned[1].train.inputs)


def test_opening_a_model_loads_no_pickle(copy):
    script = (
        "import sys, pickle\n"
        "def no(*args, **kwargs): raise SystemExit('unpickled')\n"
        "import torch, numpy\n"
        "pickle.load = pickle.loads = pickle.Unpickler = torch.load = no\n"
        "import noiseproof\n"
        f"print(noiseproof.load_model({str(copy)!r}).kind)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr


def test_a_folder_without_a_model_is_named(tmp_path):
    with pytest.raises(DataMissingError, match="holds no model"):
        noiseproof.load_model(tmp_path)


# New items


def test_pictures_are_taken_in_every_usual_form(tmp_path):
    pixels = torch.randint(0, 256, (2, 3, 8, 9), dtype=torch.uint8, generator=seeded(1))
    paths = []
    for number, one in enumerate(pixels):
        Image.fromarray(one.permute(1, 2, 0).numpy()).save(tmp_path / f"{number}.png")
        paths.append(tmp_path / f"{number}.png")
    last = pixels.permute(0, 2, 3, 1)
    forms = [
        pixels,
        last.numpy(),
        pixels.float(),
        [Image.open(path) for path in paths],
        list(pixels),
        tuple(last.numpy()),
    ]
    for form in forms:
        torch.testing.assert_close(torch.stack(list(as_inputs(form, "pictures"))), pixels)
    assert as_inputs([str(path) for path in paths], "pictures") == tuple(paths)


def test_pictures_from_0_to_1_are_refused():
    with pytest.raises(InputError, match="whole numbers from 0 to 255"):
        as_inputs(torch.rand(2, 3, 8, 8), "pictures")


def test_a_tables_rows_keep_the_users_key(tmp_path):
    (tmp_path / "new.csv").write_text("size;id;age\n1;007;3\n2;008;4\n")
    items = read_items(tmp_path / "new.csv", "columns", ["age", "size"], options=ReadingOptions(id="id"))
    assert items.origin.columns() == {"id": ["007", "008"], "row": [2, 3], "index": [0, 1]}
    assert items.notes == []
