"""The loss as an object: it leaves its surroundings alone, and it can be kept, copied and written down."""

from __future__ import annotations

import copy
import pickle

import torch
from torch import nn

from noiseproof.testing.case import Case, Check, Skip, collect

CHECKS: list[Check] = []
check = collect(CHECKS)


@check
def scores_are_left_alone(case: Case) -> None:
    """A call does not change the scores it is given."""
    scores = case.scores.clone()
    case.call(scores)
    assert torch.equal(scores, case.scores), "the scores changed"


@check
def labels_are_left_alone(case: Case) -> None:
    """A call does not change the labels it is given."""
    labels = case.labels.index_fill(0, torch.tensor([1]), -100)
    before = labels.clone()
    case.call(target=labels)
    assert torch.equal(labels, before), "the labels changed"


@check
def probabilities_are_left_alone(case: Case) -> None:
    """A call does not change the probabilities it is given."""
    soft = case.soft.clone()
    case.call(target=soft)
    assert torch.equal(soft, case.soft), "the probabilities changed"


@check
def random_numbers_are_left_alone(case: Case) -> None:
    """A call draws nothing from torch's global generator."""
    before = torch.get_rng_state()
    case.call()
    assert torch.equal(before, torch.get_rng_state()), "the global generator moved on"


@check
def global_settings_are_left_alone(case: Case) -> None:
    """A call leaves grad mode and the default dtype as they were."""
    before = torch.is_grad_enabled(), torch.get_default_dtype()
    case.call()
    assert before == (torch.is_grad_enabled(), torch.get_default_dtype()), "a global setting changed"


@check
def default_device_does_not_matter(case: Case) -> None:
    """The loss is computed where its scores are, whatever torch's default device."""
    expected = case.call(), case.gradient()
    with torch.device("meta"):  # a tensor made without `device=` has no numbers here
        found = case.call(), case.gradient()
    for one, other in zip(found, expected, strict=True):
        case.equal(one, other.detach(), tolerance=0)


@check
def no_gradient_is_kept_without_need(case: Case) -> None:
    """Scores that need no gradient give a loss that needs none."""
    assert not case.call().requires_grad, "requires_grad"


def _module(case: Case) -> nn.Module:
    if not isinstance(case.loss, nn.Module):
        raise Skip("it is no torch.nn.Module")
    return case.loss


@check
def state_does_not_change(case: Case) -> None:
    """A call leaves parameters and buffers as they were."""
    loss = copy.deepcopy(_module(case))
    before = copy.deepcopy(loss.state_dict())
    loss(case.scores, case.labels)
    after = loss.state_dict()
    assert before.keys() == after.keys(), f"{sorted(after)} instead of {sorted(before)}"
    assert all(torch.equal(before[name], after[name]) for name in before), "a buffer changed"


@check
def state_can_be_stored(case: Case) -> None:
    """state_dict can be loaded into a copy, which then gives the same loss."""
    loss = _module(case)
    other = copy.deepcopy(loss)
    other.load_state_dict(loss.state_dict())
    case.equal(other(case.scores, case.labels), loss(case.scores, case.labels).detach(), tolerance=0)


@check
def copies_are_equal(case: Case) -> None:
    """copy.deepcopy gives the same loss."""
    loss = _module(case)
    case.equal(copy.deepcopy(loss)(case.scores, case.labels), loss(case.scores, case.labels).detach(), tolerance=0)


@check
def pickles_are_equal(case: Case) -> None:
    """pickle gives the same loss back."""
    loss = _module(case)
    back = pickle.loads(pickle.dumps(loss))  # noqa: S301 - the bytes made here, of the loss under test
    case.equal(back(case.scores, case.labels), loss(case.scores, case.labels).detach(), tolerance=0)


@check
def evaluation_mode_does_not_matter(case: Case) -> None:
    """train() and eval() give the same loss."""
    loss = copy.deepcopy(_module(case))
    train, evaluation = (loss.train(mode)(case.scores, case.labels).detach() for mode in (True, False))
    case.equal(train, evaluation, tolerance=0)


@check
def module_can_be_made_double(case: Case) -> None:
    """double() converts it without changing the loss."""
    loss = _module(case)
    other = copy.deepcopy(loss).double()
    case.equal(other(case.scores, case.labels), loss(case.scores, case.labels).detach(), tolerance=1e-6)


def _written(case: Case) -> nn.Module:
    from noiseproof.losses import Loss, parse

    if not isinstance(case.loss, Loss):
        raise Skip("it is no noiseproof loss")
    try:
        parse(str(case.loss))
    except ValueError:
        raise Skip("it is not registered under a name") from None
    return case.loss


@check
def text_gives_the_loss_back(case: Case) -> None:
    """losses.parse(str(loss)) is the loss, its options aside."""
    from noiseproof.losses import parse

    loss = _written(case)
    case.equal(parse(str(loss))(case.scores, case.labels), case.call(), tolerance=0)
    assert str(parse(str(loss))) == str(loss), f"{parse(str(loss))} instead of {loss}"


@check
def repr_says_which_loss_it_is(case: Case) -> None:
    """repr holds the text of the loss."""
    loss = _written(case)
    assert str(loss) in repr(loss), f"{loss!r}"
