"""Losses as text: parameters and their ranges, what is written down and what comes back."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import count, seeded
from noiseproof import losses
from noiseproof.errors import InputError, UnknownNameError

ENTRIES = list(losses.LOSSES)
EXAMPLES = settings(max_examples=count(25, 100), deadline=None, derandomize=True, database=None)


@pytest.fixture(params=ENTRIES, ids=lambda entry: entry.name)
def entry(request):
    return request.param


# Parameters

REFUSED = {
    "gce(q=1.7)": "q must lie in (0, 1], got q=1.7",
    "gce(q=0)": "q must lie in (0, 1], got q=0",
    "fl(gamma=-0.1)": "gamma must lie in [0, inf), got gamma=-0.1",
    "fl(detach=1)": "detach must be true or false, got detach=1",
    "nfl(gamma=word)": "gamma must lie in [0, inf), got gamma='word'",
    "rce(log_zero=0)": "log_zero must lie in [-inf, 0), got log_zero=0",
    "sce(alpha=-1)": "alpha must lie in [0, inf), got alpha=-1",
    "agce(a=0)": "a must lie in [1e-09, inf), got a=0",
    "agce(q=0)": "q must lie in (0, inf), got q=0",
    "aul(a=0.5)": "a must lie in [1, inf), got a=0.5",
    "ael(a=-3)": "a must lie in [1e-09, inf), got a=-3",
    "amse(a=0.9)": "a must lie in [1, inf), got a=0.9",
    "amse(q=-2)": "q must lie in (0, inf), got q=-2",
    "nnce(p_min=0)": "p_min must lie in (0, 1), got p_min=0",
    "nnfl(p_min=1)": "p_min must lie in (0, 1), got p_min=1",
    "lc(delta=0)": "delta must lie in (0, inf), got delta=0",
    "ece(m=-1)": "m must lie in [0, inf), got m=-1",
    "efl(gamma=-1)": "gamma must lie in [0, inf), got gamma=-1",
    "ldr(c=-1)": "c must lie in [0, inf), got c=-1",
    "ldr(lam=0)": "lam must lie in (0, inf), got lam=0",
    "vce(a=0)": "a must lie in (0, inf), got a=0",
    "taylor-ce(t=0)": "t must lie in [1, 1000], got t=0",
    "taylor-ce(t=1.5)": "t must be a whole number, got t=1.5",
    "phuber(tau=0.9)": "tau must lie in [1, inf), got tau=0.9",
    "piecewise-zero(c=1)": "c must lie in [0, 1), got c=1",
    "bi-tempered(t1=1.1)": "t1 must lie in [0, 1], got t1=1.1",
    "bi-tempered(t2=0.9)": "t2 must lie in [1, inf), got t2=0.9",
    "sym(loss=3)": "loss must be the text of a loss, such as gce(q=0.5); got 3",
    "normalized(loss=3)": "loss must be the text of a loss, such as gce(q=0.5); got 3",
    "logit-bias(eps=1e5)": "eps must lie in [-10000, 10000], got eps=100000.0",
    "ldr(c=9, lam=0.1)": "c / lam must lie in [0, 80], got c / lam=90.0",
}


@pytest.mark.parametrize("text", REFUSED)
def test_parameters_out_of_range_are_refused_with_the_range(text):
    with pytest.raises(InputError) as error:
        losses.parse(text)
    assert str(error.value) == REFUSED[text]


def test_every_loss_with_parameters_has_a_refused_value():
    with_parameters = {entry.name for entry in ENTRIES if entry.parameters}
    assert {text.partition("(")[0] for text in REFUSED} == with_parameters


@pytest.mark.parametrize("value", [float("nan"), float("inf"), True, None, "0.5", 1j])
def test_a_parameter_must_be_a_finite_number(value):
    with pytest.raises(InputError, match=r"q must lie in \(0, 1\]"):
        losses.GCE(q=value)


def test_p_min_must_leave_room_for_one_class():
    with pytest.raises(InputError, match=r"p_min must be below 1/K, here 1/4, got p_min=0\.25"):
        losses.NNCE(p_min=0.25)(torch.zeros(1, 4), torch.tensor([0]))
    assert losses.NNCE(p_min=0.249)(torch.zeros(1, 4), torch.tensor([0])).isfinite()


def test_unknown_losses_and_parameters_come_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match="no loss named 'gcee'; did you mean 'gce'"):
        losses.parse("gcee")
    with pytest.raises(UnknownNameError, match=r"gce has no parameter 'Q'.*did you mean 'q'"):
        losses.parse("gce(Q=0.5)")


def test_unknown_options_are_refused():
    with pytest.raises(TypeError, match="CE has no option reductions"):
        losses.CE(reductions="sum")


# Written down and kept


def parameters(entry):
    """Values that lie in the range of every loss that has the parameter."""
    pool = {
        "q": st.floats(0.01, 1),
        "a": st.floats(1, 1000),
        "gamma": st.floats(0, 5),
        "detach": st.booleans(),
        "log_zero": st.floats(-20, -0.1),
        "p_min": st.floats(1e-12, 1e-3),
        "alpha": st.floats(0.01, 100),
        "beta": st.floats(0, 100),
        "delta": st.floats(0.01, 10),
        "m": st.floats(0, 1e6),
        "c": st.floats(0, 0.9) if entry.name == "piecewise-zero" else st.floats(0, 2),
        "t": st.integers(1, 9),
        "tau": st.floats(1, 100),
        "t1": st.floats(0, 1),
        "t2": st.floats(1, 5),
        "eps": st.floats(-5, 5),
        "loss": st.sampled_from(["ce", "gce(q=0.5)"] + (["mae", "nce + amse(a=6)"] if entry.name != "phuber" else [])),
        "lam": st.floats(0.05, 100),
    }
    return st.fixed_dictionaries({name: pool[name] for name in entry.parameters})


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_text_repr_pickle_and_copy_give_the_same_loss_back(entry):
    scores, target = torch.randn(4, 5, generator=seeded(0)), torch.tensor([0, 1, 2, 3])

    @given(parameters(entry))
    @EXAMPLES
    def holds(values):
        loss = entry.cls(**values)
        twins = [losses.parse(str(loss)), eval(repr(loss)), pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)]
        for twin in twins:
            assert twin.same_as(loss)
            assert twin != loss  # a module is itself alone
            assert str(twin) == str(loss)
            assert torch.equal(twin(scores, target), loss(scores, target))

    holds()


def test_only_parameters_that_differ_from_their_defaults_are_written(entry):
    assert str(entry.cls()) == entry.name
    assert str(losses.parse(entry.usage)) == entry.name


@pytest.mark.parametrize("text", ["nce + amse", "5*nce + 0.1*rce", "nfl(detach=true) + 4*agce(a=6, q=1.5)"])
def test_sums_are_written_and_read(text):
    loss = losses.parse(text)
    assert str(loss) == text
    assert losses.parse(str(loss)).same_as(loss)
    assert loss.same_as(eval(repr(loss)))
    assert pickle.loads(pickle.dumps(loss)).same_as(loss)
    assert copy.deepcopy(loss).same_as(loss)


def test_options_are_part_of_a_loss():
    weighted = losses.NCE(weight=torch.tensor([1.0, 2.0]), ignore_index=3)
    assert not weighted.same_as(losses.NCE())
    assert pickle.loads(pickle.dumps(weighted)).same_as(weighted)
    assert list(weighted.state_dict()) == ["weight"]
    assert "ignore_index=3" in repr(weighted)


def test_a_loss_moves_and_converts_with_its_weight():
    loss = losses.CE(weight=torch.tensor([1.0, 2.0])).double()
    assert loss.weight.dtype == torch.float64
    assert losses.parse("gce(q=0.5)").double().same_as(losses.GCE(q=0.5))


def test_names_may_be_capital():
    assert str(losses.parse("NCE + AMSE(a=20)")) == "nce + amse(a=20)"


def test_a_methods_name_is_told_from_a_losss():
    with pytest.raises(UnknownNameError, match=r"no loss named 'jal-ce'; .* losses\.parse\('jal-ce', num_classes=10\)"):
        losses.parse("jal-ce")


def test_published_methods_are_named_with_their_number_of_classes():
    for K, text in ((10, "nce + amse(a=30)"), (8, "nce + amse(a=30)"), (14, "5*nce + 0.1*amse(a=5)")):
        assert losses.parse("jal-ce", num_classes=K).same_as(losses.parse(text))
        assert losses.JAL_CE(K, reduction="sum").same_as(losses.parse(text, reduction="sum"))
    from noiseproof import recipes

    for K, data in ((10, "cifar10"), (100, "cifar100"), (14, "clothing1m"), (50, "webvision")):
        for name in ("jal-ce", "jal-fl", "anl-ce", "anl-fl"):
            assert losses.parse(name, num_classes=K).same_as(recipes.load(data).method(name).loss)
    with pytest.raises(UnknownNameError, match="no published loss named 'jal-cd'; did you mean 'jal-ce'"):
        losses.parse("jal-cd", num_classes=10)
    with pytest.raises(InputError, match="num_classes must be an integer from 2 on"):
        losses.JAL_CE(num_classes=1)
