"""Laws of every registered method: it trains, repeats, resumes bit for bit, sees no clean label, and is its loss alone
at zero strength."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from conftest import seeded
from noiseproof import methods, recipes
from noiseproof.data import Data, Split
from noiseproof.errors import InputError, UnknownNameError
from noiseproof.methods import ADDITIONS, METHODS
from noiseproof.methods.transition_estimates import TRANSITIONS
from noiseproof.testing import check_method
from noiseproof.train import Training, fit

EPOCHS = 4
# Parameters that make every part of a method act within four epochs.
TEXTS = {
    "selc": "selc(start=1)",
    "cores2": "cores2(warmup=1, ramp=2, sieve=1)",
    "truncate": "truncate(start=1, every=1)",
    "pes": "pes(t1=1, t2=1, t3=1)",
    "co-teaching": "co-teaching(ramp=2)",
    "co-teaching-plus": "co-teaching-plus(start=1, ramp=2)",
    "jocor": "jocor(ramp=2)",
    "decoupling": "decoupling(start=1)",
    "dividemix": "dividemix(warmup=1, rampup=1, lambda_u=5)",
    "t-revision": "t-revision(start=1, lr=1e-3)",
}
WITH = {"swa": "swa(start=1)", "ema": "ema(decay=0.9, every=2)"}
ALL = [TEXTS.get(name, name) for name in METHODS.names()] + [f"ce + {WITH.get(n, n)}" for n in ADDITIONS.names()]
ALL += [f"prune(by={by})" for by in ("confident(folds=2)", "aum")] + ["elr + sam", "co-teaching(forget_rate=0.2) + ema"]


def blobs(count: int = 96, *, clean: bool = True) -> Data:
    """Five blobs in eight dimensions, a third of the labels wrong."""
    labels = torch.arange(count) % 5
    inputs = torch.eye(8)[labels] * 3 + torch.randn(count, 8, generator=seeded(1))
    given = torch.where(torch.rand(count, generator=seeded(2)) < 0.3, (labels + 1) % 5, labels)
    names = tuple("abcde")
    train = Split(inputs, given, labels if clean else None, names)
    return Data("blobs", train, Split(inputs[:20], labels[:20], labels[:20], names), "0" * 64)


def recipe(epochs: int = EPOCHS):
    return recipes.load("digits", {"train.epochs": epochs, "train.batch_size": 16, "model.hidden": [16, 16]})


def trained(text: str, data: Data | None = None, epochs: int = EPOCHS, **options):
    return fit(data or blobs(), None, text, recipe(epochs), seed=3, device="cpu", precision="fp32", **options)


def weights(outcome) -> dict[str, torch.Tensor]:
    return dict(outcome.model.state_dict())


def equal(one, other) -> bool:
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("text", ALL)
def test_a_method_keeps_its_promises(text):
    check_method(text, epochs=EPOCHS)


@pytest.mark.parametrize("text", ALL)
def test_true_labels_change_nothing(text):
    assert equal(trained(text), trained(text, blobs(clean=False)))


@pytest.mark.parametrize("entry", [e for e in METHODS if e.claims.get("neutral")], ids=lambda entry: entry.name)
def test_without_strength_a_method_is_its_loss_alone_bit_for_bit(entry):
    text = entry.claims["neutral"]
    alone = str(methods.parse(text).loss)
    assert equal(trained(text), trained(alone))


@pytest.mark.parametrize("text", ["ce + sam(rho=0)", "ce + smooth(0)", "ce + ema(decay=0, every=1)"])
def test_without_strength_an_addition_changes_nothing(text):
    assert equal(trained(text), trained("ce"))


@pytest.mark.parametrize("name", [n for n in TRANSITIONS.names() if n not in ("file", "oracle")])
def test_estimated_matrices_have_rows_that_sum_to_one(name):
    training = Training(blobs(), None, f"forward(transition={name}, warmup=4)", recipe(1), seed=1, device="cpu")
    for _ in training.steps():
        pass
    matrix = training.rule.matrix
    torch.testing.assert_close(matrix.sum(1), torch.ones(5))
    assert (matrix >= 0).all()


@pytest.mark.parametrize("text", ["volminnet(lr=1)", "t-revision(lr=0.1, start=1)"])
def test_learned_matrices_have_rows_that_sum_to_one_and_move(text):
    training = Training(blobs(), None, text, recipe(), seed=1, device="cpu")
    before = training.rule.w.clone() if hasattr(training.rule, "w") else training.rule.slack.clone()
    for _ in training.steps():
        pass
    rule = training.rule
    from noiseproof.methods.volminnet import learned_matrix

    matrix = learned_matrix(rule.w) if hasattr(rule, "w") else rule.revised()
    torch.testing.assert_close(matrix.sum(1), torch.ones(5))
    assert not torch.equal(before, rule.w if hasattr(rule, "w") else rule.slack)


def test_a_matrix_from_a_file_is_read_and_a_wrong_one_refused(tmp_path):
    file = tmp_path / "T.csv"
    file.write_text("\n".join(",".join("0.8" if i == j else "0.05" for j in range(5)) for i in range(5)))
    training = Training(blobs(), None, f'forward(transition=file("{file}"))', recipe(1), seed=1, device="cpu")
    for _ in training.steps():
        pass
    assert training.rule.matrix[0].tolist() == pytest.approx([0.8, 0.05, 0.05, 0.05, 0.05])
    file.write_text("1,0\n0,1")
    with pytest.raises(InputError, match="2 classes, the data has 5"):
        trained(f'forward(transition=file("{file}"))')


def test_only_oracles_see_true_labels_and_the_record_says_so():
    outcome = trained("forward(transition=oracle)", epochs=1)
    assert any("oracle" in note for note in outcome.notes)
    with pytest.raises(InputError, match="no true labels"):
        trained("forward(transition=oracle)", blobs(clean=False), epochs=1)


@pytest.mark.parametrize("text", ALL)
def test_texts_are_read_back(text):
    method = methods.parse(text)
    assert str(methods.parse(str(method))) == str(method)


def test_texts_say_what_differs_from_the_defaults():
    assert str(methods.parse("elr(lam=3, beta=0.9, loss=nce+mae)+ema+sam(rho=0.1)")) == (
        "elr(loss=nce + mae, beta=0.9) + ema + sam(rho=0.1)"
    )
    assert str(recipes.load("cifar10").method("elr(loss=jal-ce)").method) == "elr(loss=nce + amse)"
    assert recipes.load("cifar10").method("jal-ce + sam(rho=0.05)").l1 == 5e-5


@pytest.mark.parametrize(
    ("text", "classes", "canonical"),
    [
        ("jal-ce + sam(rho=0.1)", 10, "nce + amse + sam(rho=0.1)"),
        ("JAL-CE + sam", 100, "5*nce + amse(a=20) + sam"),
        ("elr(loss=anl-ce, lam=1)", 10, "elr(loss=5*nce + 5*nnce, lam=1)"),
        ("plain(jal-ce)", 10, "nce + amse"),
        ("nce + mae", 10, "nce + mae"),
    ],
)
def test_with_the_number_of_classes_published_names_are_read(text, classes, canonical):
    assert str(methods.parse(text, num_classes=classes)) == canonical


def test_the_one_obvious_parameter_needs_no_name():
    written = ["forward(hoc)", "prune(aum)", "relabel(knn)", "co-teaching(0.2)", "bootstrap(soft)"]
    written += ["ce + ema(0.9)", "ce + swa(0.5)", "ce + sam(0.1)", "ce + smooth(-0.6)"]
    named = ["forward(transition=hoc)", "prune(by=aum)", "relabel", "co-teaching(forget_rate=0.2)"]
    named += ["bootstrap(kind=soft)", "ce + ema(decay=0.9)", "ce + swa(start=0.5)", "ce + sam(rho=0.1)"]
    assert [str(methods.parse(text)) for text in written] == [*named, "ce + smooth(r=-0.6)"]


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        (
            "jal-ce + sam",
            UnknownNameError,
            r"write methods.parse\('jal-ce \+ sam', num_classes=10\)",
        ),
        ("jal-cee", UnknownNameError, "did you mean 'jal-ce'"),
        ("elrr", UnknownNameError, "did you mean 'elr'"),
        ("elr(lamb=3)", UnknownNameError, "did you mean 'lam'"),
        ("elr(beta=1)", InputError, r"beta must lie in \[0, 1\)"),
        ("elr + ce", InputError, "elr is a method"),
        ("sam + ce", InputError, "sam is an addition"),
        ("forward(transition=ancor)", UnknownNameError, "did you mean 'anchor'"),
        ("co-teaching(forget_rate=2)", InputError, "forget_rate must lie"),
        ("prune(by=kn)", UnknownNameError, "knn"),
        ("elr(loss=3)", InputError, "loss must be the text of a loss"),
    ],
)
def test_wrong_texts_are_refused_with_what_to_type(text, error, says):
    with pytest.raises(error, match=says):
        methods.parse(text)


def test_elr_state_by_sample_is_printed_with_its_size():
    assert any("1.92 kB of state for 96 samples" in note for note in trained("elr", epochs=1).notes)


def test_several_processes_are_refused_where_state_cannot_be_shared():
    from noiseproof.train.method_preparation import check_processes

    check_processes(methods.parse("js + ema"), "js", 2)
    for text in ("elr", "ce + sam"):
        with pytest.raises(InputError, match="one process only"):
            check_processes(methods.parse(text), text, 2)


def test_two_networks_predict_as_one_and_differ():
    outcome = trained("co-teaching(forget_rate=0.2)")
    one, other = outcome.model.members
    assert not torch.equal(one.fc.weight, other.fc.weight)
    inputs = torch.randn(4, 8, generator=seeded(5))
    mean = (one(inputs).softmax(1) + other(inputs).softmax(1)) / 2
    torch.testing.assert_close(outcome.model(inputs).softmax(1), mean)


def test_a_method_of_ones_own_is_one_class(monkeypatch):
    from noiseproof.methods import Method

    class Halved(Method):
        """Half the loss."""

        def __init__(self, loss="ce"):
            super().__init__(loss)

        def objective(self, batch):
            logits = batch.logits()
            return self.loss(logits, batch.given) / 2, logits

    monkeypatch.setattr(METHODS, "_entries", dict(METHODS._entries))
    METHODS.register("halved", cost=1.0)(Halved)
    assert trained("halved(loss=mae)").status == "done"
    check_method("halved", epochs=2)


def test_fields_of_a_task_hold_no_truth():
    names = {field.name for field in dataclasses.fields(methods.Task)}
    assert not names & {"clean", "test", "noise", "rate"}
