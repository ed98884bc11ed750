"""Networks: the published sizes, torchvision's ResNet-50, the student head's published numbers."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from conftest import seeded
from noiseproof import models
from noiseproof.errors import DataError, DataMissingError, InputError, UnknownNameError
from noiseproof.models import MODELS, StudentHead

SHAPES = {"cnn8": (3, 32, 32), "cnn4": (1, 28, 28), "resnet34": (3, 32, 32), "resnet50": (3, 64, 64), "mlp": (64,)}
USUAL = (3, 32, 32)  # of a network that is not named above


def build(name: str, *, shape=None, classes: int = 10, seed: int = 1, **options) -> models.Network:
    return models.build(
        name, shape=shape or SHAPES.get(name, USUAL), classes=classes, generator=seeded(seed), **options
    )


@pytest.mark.parametrize(
    ("name", "classes", "count"),
    [
        ("cnn8", 10, 1_639_794),
        ("cnn4", 10, 422_090),
        ("resnet34", 100, 21_328_292),
        ("resnet50", 1000, 25_557_032),  # as torchvision's documentation says of its resnet50
        ("mlp", 10, 64 * 256 + 256 + 256 * 256 + 256 + 256 * 10 + 10),
    ],
)
def test_a_network_has_the_published_number_of_parameters(name, classes, count):
    assert sum(p.numel() for p in build(name, classes=classes).parameters()) == count


@pytest.mark.parametrize("name", MODELS.names())
def test_every_network_gives_features_and_then_scores(name):
    network = build(name).eval()
    inputs = torch.randn(2, *SHAPES.get(name, USUAL), generator=seeded(2))
    with torch.no_grad():
        features = network.features(inputs)
        assert features.shape == (2, network.width)
        assert torch.equal(network.fc(features), network(inputs))
        assert network(inputs).shape == (2, 10)


@pytest.mark.parametrize("name", MODELS.names())
def test_initial_weights_come_from_the_generator_and_touch_nothing_global(name):
    before = torch.random.get_rng_state()
    one, two, other = build(name, seed=1), build(name, seed=1), build(name, seed=2)
    assert torch.equal(before, torch.random.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), two.state_dict().values(), strict=True))
    assert not torch.equal(next(one.parameters()), next(other.parameters()))
    assert all(value.isfinite().all() for value in one.state_dict().values())


def test_features_keep_their_order_when_images_lie_channels_last():
    network = build("cnn8").eval()
    inputs = torch.randn(3, 3, 32, 32, generator=seeded(3))
    with torch.no_grad():
        plain = network(inputs)
        turned = network.to(memory_format=torch.channels_last)(inputs.contiguous(memory_format=torch.channels_last))
    torch.testing.assert_close(turned, plain, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["cnn8", "resnet34"])
def test_convolutions_and_linear_layers_start_within_the_published_bounds(name):
    for module in build(name).modules():
        if isinstance(module, nn.Conv2d):
            bound = (6 / module.weight[0].numel()) ** 0.5  # Kaiming-uniform, fan in, ReLU
        elif isinstance(module, nn.Linear):
            bound = (6 / (module.in_features + module.out_features)) ** 0.5  # Xavier-uniform
        else:
            continue
        top = module.weight.abs().max().item()
        assert 0.97 * bound < top <= 1.00001 * bound
        assert module.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.06)
        if module.bias is not None:
            assert module.bias.abs().max().item() <= 1.00001 * module.weight[0].numel() ** -0.5


# torchvision has no CPU build beside this torch: two operators must be defined before it can be imported.
FOREIGN = """
import torch
library = torch.library.Library("torchvision", "DEF")
for name in ("nms", "qnms"):
    library.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
import torchvision
from noiseproof import models
generator = torch.Generator().manual_seed(5)
ours = models.build("resnet50", shape=(3, 96, 96), classes=50, generator=generator)
theirs = torchvision.models.resnet50(num_classes=50, zero_init_residual=True)
assert list(ours.state_dict()) == list(theirs.state_dict()), "keys"
for key, value in theirs.state_dict().items():
    if key.endswith("weight") and value.numel() > 4000:
        spread = float(ours.state_dict()[key].std()), float(value.std())
        assert abs(spread[0] - spread[1]) < 0.05 * spread[1], key
assert all(float(block.bn3.weight.abs().max()) == 0 for block in ours.layer2)
for value in theirs.state_dict().values():
    if value.is_floating_point(): value.copy_(torch.rand(value.shape, generator=generator) * 0.2 + 0.01)
ours.load_state_dict(theirs.state_dict())
x = torch.randn(2, 3, 96, 96, generator=generator)
for net in (ours, theirs): net.train()
a, b = ours(x), theirs(x)
assert torch.equal(a, b), float((a - b).abs().max())
for net in (ours, theirs): net.eval()
assert torch.equal(ours(x), theirs(x))
assert torch.equal(ours.layer4[2].bn3.running_var, theirs.layer4[2].bn3.running_var)
print("equal")
"""


def test_resnet50_is_torchvisions_key_for_key_and_value_for_value():
    if find_spec("torchvision") is None:
        pytest.skip("torchvision is not installed")
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FOREIGN], capture_output=True, text=True)
    assert done.stdout == "equal\n", done.stderr


def test_a_network_refuses_inputs_it_cannot_take():
    with pytest.raises(InputError, match=r"cnn8 needs images .* at least 8x8, got inputs of shape \(64,\)"):
        build("cnn8", shape=(64,))
    with pytest.raises(InputError, match="resnet34 needs images"):
        build("resnet34", shape=(64,))
    with pytest.raises(UnknownNameError, match="did you mean 'resnet34'"):
        models.build("resnet43", shape=(3, 32, 32), classes=2, generator=seeded(1))
    with pytest.raises(InputError, match="takes no hidden"):
        build("cnn8", hidden=(3,))


# The student head


def student() -> StudentHead:
    head = StudentHead(4, 3, alpha=0.1, lam=0.05).double()
    head.centres.data = torch.tensor([[1.0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 3, 4]], dtype=torch.float64)
    head.degrees.data = torch.tensor([[0.5], [1.0], [-1.5]], dtype=torch.float64)
    return head


FEATURES, GIVEN = torch.tensor([[1.0, 2, 2, 0]], dtype=torch.float64), torch.tensor([1])


def test_the_student_head_gives_the_numbers_of_its_published_code():
    head = student()
    scores, centre_term = head.training_scores(FEATURES, GIVEN)
    expected = torch.tensor([[0.26521484, 0.77018077, 0.58007126]], dtype=torch.float64)
    trained = torch.tensor([[0.26617836, 0.76825589, 0.58217864]], dtype=torch.float64)
    torch.testing.assert_close(head(FEATURES), expected, rtol=0, atol=5e-8)
    torch.testing.assert_close(scores, trained, rtol=0, atol=5e-8)
    assert centre_term.item() == pytest.approx(0.00285955, abs=5e-9)


def test_the_student_head_has_the_right_derivative():
    head = student()
    features = FEATURES.clone().requires_grad_()

    def scores(features, centres, degrees):
        return torch.func.functional_call(head, {"centres": centres, "degrees": degrees}, (features,))

    assert torch.autograd.gradcheck(scores, (features, head.centres, head.degrees))


def test_the_centre_term_is_half_the_mean_squared_distance_to_the_given_centre():
    head = StudentHead(5, 4, lam=1.0).double()
    head.initialise(seeded(1))
    features, given = torch.randn(6, 5, generator=seeded(2), dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0, 1])
    unit = nn.functional.normalize
    distance = (unit(features) - unit(head.centres)[given]).square().sum(1).mean() / 2
    torch.testing.assert_close(head.training_scores(features, given)[1], distance)


# Starting weights


def test_weights_are_read_from_a_file_and_another_last_layer_is_kept(tmp_path):
    from safetensors.torch import save_file

    source = build("mlp", classes=7, seed=9)
    save_file(source.state_dict(), tmp_path / "w.safetensors")
    torch.save(source.state_dict(), tmp_path / "w.pth")
    for name in ("w.safetensors", "w.pth"):
        network = build("mlp", classes=7)
        models.load_weights(network, str(tmp_path / name))
        assert torch.equal(network.fc.weight, source.fc.weight)
        wider = build("mlp", classes=9)
        last = wider.fc.weight.clone()
        models.load_weights(wider, str(tmp_path / name))
        assert torch.equal(wider.fc.weight, last)
        assert torch.equal(wider.body[1].weight, source.body[1].weight)


def test_weights_of_another_network_are_refused(tmp_path):
    torch.save(build("mlp").state_dict(), tmp_path / "mlp.pt")
    with pytest.raises(DataError, match=r"does not hold the weights of a cnn8: \d+ are missing"):
        models.load_weights(build("cnn8"), str(tmp_path / "mlp.pt"))
    (tmp_path / "bad.pt").write_bytes(b"not weights")
    with pytest.raises(DataError, match="cannot read weights"):
        models.load_weights(build("cnn8"), str(tmp_path / "bad.pt"))
    with pytest.raises(DataMissingError, match="no weights at"):
        models.load_weights(build("cnn8"), str(tmp_path / "none.pt"))
