"""Networks of other libraries are fine-tuned one option away, and leave model folders like any other."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import noiseproof
from conftest import seeded
from noiseproof import artifacts, data, models, recipes, train
from noiseproof.artifacts.export import export
from noiseproof.data.dataset import Data, Split, Texts
from noiseproof.errors import DataError, DataMissingError, InputError, UnknownNameError
from noiseproof.models import layers_of
from support.pretrained import bert_folder, vit_folder

LABELS = np.arange(24) % 3
TEXTS = ["win free prize now", "see you at lunch", "call me after the meeting"]


def data_of(inputs) -> Data:
    whole = Split(inputs, torch.from_numpy(LABELS), None, ("a", "b", "c"))
    return Data("made", whole.take(range(18)), whole.take(range(18, 24)), "f" * 64)


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> tuple[Path, ...]:
    folder, generator = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for number, label in enumerate(LABELS):
        pixels = generator.integers(0, 90, (40, 44, 3))
        pixels[:, :, label] += 120
        Image.fromarray(pixels.astype("uint8")).save(folder / f"{number:02}.png")
    return tuple(sorted(folder.iterdir()))


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory) -> Path:
    """A ViT and a BERT folder, and the file of a torchvision ResNet-18 with 1,000 classes."""
    pytest.importorskip("transformers")
    torchvision = pytest.importorskip("torchvision")
    folder = tmp_path_factory.mktemp("pretrained")
    vit_folder(folder / "vit")
    bert_folder(folder / "bert")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save(torchvision.models.resnet18().state_dict(), folder / "resnet18.pth")
    return folder


def fine_tuned(name: str, found: Data, folder: Path, **values):
    settings = {"model.name": name, "train.epochs": 2, "train.batch_size": 6, **values}
    recipe = recipes.load("fine-tune", settings)
    outcome = train.fit(found, None, "ce", recipe, seed=1, device="cpu", precision="fp32", keep_outputs=True)
    return outcome, artifacts.save(artifacts.of_outcome(outcome, found, recipe), folder)


@pytest.fixture(scope="module", params=["vit", "resnet18", "bert"])
def tuned(request, pretrained, photos, tmp_path_factory):
    found = data_of(Texts(TEXTS[label] for label in LABELS) if request.param == "bert" else photos)
    words = {
        "vit": (f"transformers:{pretrained / 'vit'}", {}),
        "bert": (f"transformers:{pretrained / 'bert'}", {"train.lr": 0.01}),
        "resnet18": (
            "torchvision:resnet18",
            {"model.weights": str(pretrained / "resnet18.pth"), "augment.crop": 32, "augment.resize": 36},
        ),
    }[request.param]
    return found, *fine_tuned(words[0], found, tmp_path_factory.mktemp("model"), **words[1])


def test_the_folder_predicts_what_was_trained(tuned):
    found, outcome, folder = tuned
    model = noiseproof.load_model(folder)
    expected = outcome.outputs["test_scores"].softmax(1).numpy()
    np.testing.assert_allclose(model.predict_proba(found.test.inputs), expected, atol=5e-3)  # pixels are not rounded
    assert model.predict(found.test.inputs).shape == (6,)


def test_the_folder_is_exported(tuned, tmp_path):
    """By torch.export, from which the ONNX graph is made."""
    _, _, folder = tuned
    _, said = export(noiseproof.load_model(folder), tmp_path / "file", "torch")
    assert "opened again" in said


def test_weights_and_a_fresh_head(pretrained):
    kept = torch.load(pretrained / "resnet18.pth", weights_only=True)
    network = models.build("torchvision:resnet18", shape=(3, 32, 32), classes=3, generator=seeded(1))
    head = network.fc.weight.clone()
    models.load_weights(network, str(pretrained / "resnet18.pth"))
    assert torch.equal(network.get_parameter("body.layer2.0.conv1.weight"), kept["layer2.0.conv1.weight"])
    assert torch.equal(network.fc.weight, head)
    again = models.build("torchvision:resnet18", shape=(3, 32, 32), classes=3, generator=seeded(1))
    assert torch.equal(again.fc.weight, head)


def test_a_hugging_face_folder_brings_its_weights_and_its_preprocessing(pretrained):
    from safetensors.torch import load_file

    name = f"transformers:{pretrained / 'vit'}"
    network = models.build(name, shape=(3, 32, 32), classes=3, generator=seeded(1))
    kept = load_file(pretrained / "vit" / "model.safetensors")
    assert network.fc.weight.shape == (3, 16)
    key = next(key for key in kept if key.endswith("patch_embeddings.projection.weight"))
    assert torch.equal(network.state_dict()[f"body.model.{key}"], kept[key])
    augment = recipes.load("fine-tune", {"model.name": name}).augment
    assert (augment.mean, augment.resize, augment.crop) == ((0.5, 0.5, 0.5), (32, 32), None)


@pytest.mark.parametrize("name", ["cnn4", "mlp", "torchvision:resnet18", "vit"])
def test_layers_hold_every_parameter_once_and_end_with_the_head(name, pretrained):
    name, shape = {
        "vit": (f"transformers:{pretrained / 'vit'}", (3, 32, 32)),
        "mlp": (name, (5,)),
    }.get(name, (name, (3, 32, 32)))
    network = models.build(name, shape=shape, classes=3, generator=seeded(1))
    found = [id(parameter) for layer in layers_of(network) for parameter in layer.parameters]
    assert sorted(found) == sorted(map(id, network.parameters()))
    assert found[-len(list(network.fc.parameters())) :] == list(map(id, network.fc.parameters()))
    assert len(layers_of(network)) > 2


def test_rates_fall_by_the_same_factor_and_frozen_layers_stay(tmp_path):
    digits = data.load("digits")
    values = {"train.epochs": 1, "train.samples": 100, "train.momentum": 0.0, "train.l2": 0.0}

    def trained(**more):
        recipe = recipes.load("digits", {**values, **more})
        training = train.Training(digits, None, "ce", recipe, seed=1, device="cpu")
        before = [[p.clone() for p in layer.parameters] for layer in layers_of(training.network)]
        for _ in training.steps():
            break  # one step of plain gradient descent: the change is the rate times the same gradient
        after = [layer.parameters for layer in layers_of(training.network)]
        return [[b - a for a, b in zip(*pair, strict=True)] for pair in zip(before, after, strict=True)]

    plain, decayed = trained(), trained(**{"train.layer_decay": 0.5})
    depth = len(plain) - 1
    for number, (one, other) in enumerate(zip(plain, decayed, strict=True)):
        for a, b in zip(one, other, strict=True):
            torch.testing.assert_close(b, 0.5 ** (depth - number) * a, rtol=1e-3, atol=1e-6)
    frozen = trained(**{"train.frozen_layers": 1})
    assert not any(change.any() for change in frozen[0])
    assert all(change.any() for layer in frozen[1:] for change in layer)
    with pytest.raises(InputError, match="must be below that, got 9"):
        trained(**{"train.frozen_layers": 9})


def test_statistics_of_frozen_layers_stay(pretrained, photos):
    settings = {
        "model.name": "torchvision:resnet18", "train.epochs": 1, "train.frozen_layers": 3, "augment.crop": 32,
        "augment.resize": 36,
    }  # fmt: skip
    training = train.Training(data_of(photos), None, "ce", recipes.load("fine-tune", settings), seed=1, device="cpu")
    before = {key: value.clone() for key, value in training.network.state_dict().items()}
    for _ in training.steps():
        pass
    changed = {key for key, value in training.network.state_dict().items() if not torch.equal(value, before[key])}
    assert not any(key.startswith(("body.conv1", "body.bn1", "body.layer1")) for key in changed)
    assert "body.layer2.0.bn1.running_mean" in changed
    assert "3 of 10 layers kept their starting weights: up to body.layer1.1" in training.notes


def test_names_that_are_not_there_are_named_and_nothing_is_downloaded(tmp_path):
    pytest.importorskip("torchvision")
    with pytest.raises(UnknownNameError, match=r"did you mean 'resnet18'"):
        models.entry_of("torchvision:resnet19")
    with pytest.raises(DataMissingError, match="Nothing is downloaded"):
        models.entry_of("transformers:google/vit-base-patch16-224")
    network = models.build("torchvision:resnet18", shape=(3, 32, 32), classes=3, generator=seeded(1))
    with pytest.raises(DataMissingError, match=r"download https://.* and give its path"):
        models.load_weights(network, "IMAGENET1K_V1")


@pytest.mark.parametrize(
    ("key", "value"),
    [("auto_map", {"AutoModel": "evil.Net"}), ("model_type", "timm_wrapper"), ("backbone", "resnet50")],
)
def test_a_folder_that_asks_for_code_or_other_files_is_refused(pretrained, tmp_path, key, value):
    import shutil

    folder = Path(shutil.copytree(pretrained / "vit", tmp_path / "vit"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, key: value}))
    with pytest.raises(DataError, match=r"classifies no pictures|asks for code or files"):
        models.build(f"transformers:{folder}", shape=(3, 32, 32), classes=3, generator=seeded(1))
