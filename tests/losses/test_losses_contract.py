"""Every loss is a drop-in for `torch.nn.functional.cross_entropy`: options, shapes, dtypes, refusals."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F

from conftest import count, seeded
from noiseproof import losses
from noiseproof.errors import InputError

NAMES = losses.LOSSES.names()
SUMS = ["nce + amse", "5*nfl(detach=true) + 5*nnfl(detach=true)"]

REDUCTIONS = ("none", "mean", "sum")
SMOOTHINGS = (0.0, 0.1, 1.0)
IGNORED = ("none hit", "some", "all")
TARGETS = ("labels", "probabilities")
SHAPES = ((7, 5), (5,), (3, 5, 2, 4))
OPTIONS = list(itertools.product(REDUCTIONS, (False, True), SMOOTHINGS, IGNORED, TARGETS, SHAPES))


def make(weighted, ignored, kind, shape, *, dtype=torch.float64):
    generator = seeded(5)
    K = shape[min(1, len(shape) - 1)]
    scores = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    places = shape[:1] + shape[2:] if len(shape) > 1 else ()
    labels = torch.randint(K, places, generator=generator)
    if kind == "probabilities":
        target = torch.rand(shape, generator=generator, dtype=torch.float64)
        target /= target.sum(min(1, len(shape) - 1), keepdim=True)
    elif ignored == "all":
        target = torch.full_like(labels, -100)
    elif ignored == "some":
        target = labels.masked_fill(torch.rand(places, generator=generator) < 0.4, -100)
    else:
        target = labels
    weight = torch.rand(K, generator=generator, dtype=torch.float64) + 0.5 if weighted else None
    return scores.to(dtype).requires_grad_(), target, weight


def rule(per_class, target, weight, reduction, smoothing, ignore_index=-100):
    """The definition, one sample after the other, over rows (N, K) of losses."""
    K = per_class.shape[1]
    w = torch.ones(K, dtype=per_class.dtype) if weight is None else weight
    values, shares = [], []
    for row, given in zip(per_class, target, strict=True):
        if target.is_floating_point():
            values.append((w * ((1 - smoothing) * given + smoothing / K) * row).sum())
            shares.append(1.0)
        elif given == ignore_index:
            values.append(0 * row.sum())
            shares.append(0.0)
        else:
            values.append((1 - smoothing) * w[given] * row[given] + smoothing / K * (w * row).sum())
            shares.append(float(w[given]))
    values = torch.stack(values)
    if reduction == "none":
        return values
    return values.sum() / (sum(shares) if reduction == "mean" else 1)


def rows(tensor, K):
    return tensor.movedim(1, -1).reshape(-1, K) if tensor.dim() > 1 else tensor.reshape(1, K)


@pytest.mark.parametrize("case", OPTIONS, ids=str)
def test_our_cross_entropy_is_torchs(case):
    reduction, weighted, smoothing, ignored, kind, shape = case
    scores, target, weight = make(weighted, ignored, kind, shape)
    options = {"reduction": reduction, "weight": weight, "label_smoothing": smoothing}
    found, expected = losses.CE(**options)(scores, target), F.cross_entropy(scores, target, **options)
    torch.testing.assert_close(found, expected, equal_nan=True, rtol=1e-12, atol=1e-12)
    slopes = [torch.autograd.grad(value.sum(), scores)[0] for value in (found, expected)]
    torch.testing.assert_close(*slopes, equal_nan=True, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("text", [*NAMES, *SUMS])
def test_every_loss_follows_the_rule_of_cross_entropy(text):
    cases = OPTIONS if count(0, 1) else OPTIONS[:: 1 + len(OPTIONS) // 60]
    for reduction, weighted, smoothing, ignored, kind, shape in cases:
        scores, target, weight = make(weighted, ignored, kind, shape)
        loss = losses.parse(text, reduction=reduction, weight=weight, label_smoothing=smoothing)
        K = shape[min(1, len(shape) - 1)]
        given = rows(target, K) if kind == "probabilities" else target.reshape(-1)
        expected = rule(loss.per_class(rows(scores, K)), given, weight, reduction, smoothing)
        found = loss(scores, target)
        assert found.shape == ((shape[:1] + shape[2:] if len(shape) > 1 else ()) if reduction == "none" else ())
        torch.testing.assert_close(found.reshape(expected.shape), expected, equal_nan=True, rtol=1e-12, atol=1e-12)


def test_the_rule_is_that_of_torch():
    for reduction, weighted, smoothing, ignored, kind, _ in OPTIONS:
        scores, target, weight = make(weighted, ignored, kind, (7, 5))
        found = rule(-scores.log_softmax(1), target, weight, reduction, smoothing)
        options = {"reduction": reduction, "weight": weight, "label_smoothing": smoothing}
        torch.testing.assert_close(found, F.cross_entropy(scores, target, **options), equal_nan=True)


@pytest.mark.parametrize("text", [*NAMES, *SUMS])
def test_float32_follows_the_rule_too(text):
    # float32 with labels may take another way through the code than float64 does
    for reduction, weighted, ignored in itertools.product(REDUCTIONS, (False, True), IGNORED):
        scores, target, weight = make(weighted, ignored, "labels", (7, 5), dtype=torch.float32)
        loss = losses.parse(text, reduction=reduction, weight=None if weight is None else weight.float())
        table = loss.per_class(scores.detach().double())
        found, expected = loss(scores, target), rule(table, target, weight, reduction, 0.0)
        torch.testing.assert_close(found.double(), expected, equal_nan=True, rtol=1e-5, atol=1e-6)


# Shapes, dtypes and ranges

DTYPES = (
    *(torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8, torch.uint16, torch.uint32, torch.uint64),
    *(torch.bool, torch.float32, torch.float64, torch.complex64),
)
TARGET_SHAPES = ((), (4,), (5,), (4, 1), (1, 4), (4, 3), (3, 4), (4, 3, 2), (0,), (4, 2))
FILLS = (0, 1, 2, 3, -1, -100, 127, 2**31, float("nan"))
WIDER = (torch.int8, torch.int16, torch.int32, torch.uint16, torch.uint32, torch.uint64)
MATRIX = list(itertools.product(DTYPES, TARGET_SHAPES, FILLS))


def holds(dtype, number):
    if dtype.is_floating_point or dtype.is_complex:
        return True
    limits = torch.iinfo(torch.uint8 if dtype == torch.bool else dtype)
    return limits.min <= number <= (1 if dtype == torch.bool else limits.max)


def outcome(call):
    try:
        return "value", call()
    except Exception as error:
        return "refused", error


@pytest.mark.parametrize("text", ["ce", "nce + amse"] if not count(0, 1) else [*NAMES, *SUMS])
@pytest.mark.parametrize("scores_shape", [(4, 3), (3,), (4, 3, 2)])
def test_whatever_comes_is_taken_or_refused_as_torch_does(text, scores_shape):
    scores = torch.randn(scores_shape, generator=seeded(1))
    loss = losses.parse(text)
    for dtype, shape, fill in MATRIX:
        if not holds(dtype, fill):
            continue
        target = torch.full(shape, fill, dtype=dtype)
        # We also take the integer types that torch refuses; as labels they mean what int64 means.
        widened = target.long() if dtype in WIDER else target
        expected = outcome(lambda t=widened: F.cross_entropy(scores, t))
        if dtype == torch.uint8 and "found Byte" in str(expected[1]):  # torch takes bytes for (N, K) scores only
            expected = outcome(lambda t=target: F.cross_entropy(scores, t.long()))
        found = outcome(lambda t=target: loss(scores, t))
        where = (dtype, shape, fill, expected[1])
        assert found[0] == expected[0], (where, found[1])
        if expected[0] == "refused":
            assert type(found[1]) is type(expected[1]), (where, found[1])
            assert str(found[1]) == str(expected[1])
        else:
            assert found[1].isnan() == expected[1].isnan(), (where, found[1])


@pytest.mark.parametrize("name", NAMES)
def test_the_options_are_refused_in_torchs_words(name):
    scores, target = torch.randn(4, 3, generator=seeded(1)), torch.tensor([0, 1, 2, 0])
    for options in (
        {"reduction": "avg"},
        {"label_smoothing": 1.5},
        {"weight": torch.ones(4)},
        {"weight": torch.ones(3, 1)},
    ):
        expected = outcome(lambda o=options: F.cross_entropy(scores, target, **o))
        found = outcome(lambda o=options: losses.parse(name, **o)(scores, target))
        assert expected[0] == "refused"
        assert (type(found[1]), str(found[1])) == (type(expected[1]), str(expected[1]))


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_comes_out_as_float32(name):
    loss = losses.parse(name)
    for dtype in (torch.float16, torch.bfloat16):
        scores = (3 * torch.randn(6, 4, generator=seeded(2))).to(dtype)
        target = torch.tensor([0, 1, 2, 3, 0, 1])
        assert loss(scores, target).dtype == torch.float32
        torch.testing.assert_close(loss(scores, target), loss(scores.float(), target), rtol=1e-6, atol=1e-6)
        leaf = scores.clone().requires_grad_()
        loss(leaf, target).backward()
        assert leaf.grad.dtype == dtype


@pytest.mark.parametrize("name", NAMES)
def test_autocast_keeps_float32(name):
    scores, target = 3 * torch.randn(6, 4, generator=seeded(2)), torch.tensor([0, 1, 2, 3, 0, 1])
    loss = losses.parse(name)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(scores, target)
        half = loss(scores.bfloat16(), target)
    assert found.dtype == half.dtype == torch.float32
    torch.testing.assert_close(found, loss(scores, target), rtol=1e-6, atol=1e-6)


def test_negative_smoothing_is_refused():
    scores, target = torch.randn(4, 3, generator=seeded(1)), torch.tensor([0, 1, 2, 0])
    with pytest.raises(RuntimeError, match=r"between 0\.0 and 1\.0\. Got: -0\.1"):
        losses.CE(label_smoothing=-0.1)(scores, target)


# Masked scores


@pytest.mark.parametrize("name", NAMES)
def test_masked_classes_give_no_nan(name):
    loss = losses.parse(name, reduction="none")
    for dtype in (torch.float32, torch.float64):
        scores = torch.tensor(
            [[1.0, -torch.inf, 0.3, -torch.inf], [0.0, -torch.inf, -torch.inf, -torch.inf]], dtype=dtype
        )
        assert not loss.per_class(scores).isnan().any()
        for label in range(4):
            leaf = scores.clone().requires_grad_()
            value = loss(leaf, torch.tensor([label, label]))
            assert not value.isnan().any()
            (slope,) = torch.autograd.grad(value.sum(), leaf, create_graph=True)
            assert slope.isfinite().all()
            if slope.requires_grad:
                (second,) = torch.autograd.grad(slope.square().sum(), leaf)
                assert second.isfinite().all()


@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in ("nce", "nfl", "normalized", "mse", "amse", "ldr", "nnce", "nnfl")]
)
def test_masked_classes_are_as_good_as_absent(name):
    loss = losses.parse(name)
    scores = torch.tensor([[1.0, 0.3, -0.5]], dtype=torch.float64)
    masked = torch.cat([scores, torch.full((1, 2), -torch.inf, dtype=torch.float64)], 1)
    for label in range(3):
        target = torch.tensor([label])
        torch.testing.assert_close(loss(masked, target), loss(scores, target), rtol=1e-12, atol=1e-12)


def test_a_masked_class_has_the_limit_of_its_loss():
    scores = torch.tensor([[1.0, 0.0, -torch.inf]], dtype=torch.float64)
    for text, own in [("ce", torch.inf), ("fl", torch.inf), ("mae", 2), ("nce", 1), ("nfl", 1), ("nnce", 1)]:
        assert losses.parse(text).per_class(scores)[0, 2].item() == own
    for text in ("nce", "nfl"):
        assert (losses.parse(text).per_class(scores)[0, :2] < 1e-20).all()


@pytest.mark.parametrize("name", NAMES)
def test_soft_targets_without_a_share_for_masked_classes_are_finite(name):
    scores = torch.tensor([[1.0, -torch.inf, 0.3]], requires_grad=True)
    value = losses.parse(name)(scores, torch.tensor([[0.7, 0.0, 0.3]]))
    (slope,) = torch.autograd.grad(value, scores)
    assert value.isfinite()
    assert slope.isfinite().all()


# Sums


def test_a_sum_is_the_sum_and_its_options_are_its_own():
    scores, target, weight = make(True, "some", "labels", (7, 5))
    options = {"weight": weight, "label_smoothing": 0.2, "reduction": "sum"}
    both = losses.parse("2*nce + 0.5*mae", **options)
    parts = 2 * losses.NCE(**options)(scores, target) + 0.5 * losses.MAE(**options)(scores, target)
    torch.testing.assert_close(both(scores, target), parts)
    assert both.same_as(2 * losses.NCE(**options) + 0.5 * losses.MAE(**options))


def test_factors_multiply_through_brackets():
    assert str(losses.parse("2*(nce + 3*mae)")) == "2*nce + 6*mae"
    assert str(2 * (losses.NCE() + 3 * losses.MAE())) == "2*nce + 6*mae"


@pytest.mark.parametrize("text", ["0*nce", "-1*nce", "nce + -2*mae"])
def test_factors_must_be_positive(text):
    with pytest.raises(InputError, match="must be positive and finite"):
        losses.parse(text)


def test_terms_that_differ_in_their_options_are_refused():
    with pytest.raises(InputError, match="give these to the sum"):
        losses.NCE(reduction="sum") + losses.MAE()


def test_a_loss_is_added_to_losses_and_multiplied_by_numbers_alone():
    for wrong in (lambda: losses.NCE() + 1, lambda: losses.NCE() * "2", lambda: True * losses.NCE()):
        with pytest.raises(TypeError, match=r"unsupported operand|multiply"):
            wrong()


def test_losses_equal_losses_of_the_same_text_and_options_alone():
    class Own(losses.NCE):
        pass

    own = Own()
    assert losses.parse("2*nce").same_as(2 * losses.NCE())
    assert not (2 * losses.NCE()).same_as(losses.NCE())
    assert losses.NCE() != "nce"
    assert own == own != Own()
    assert own != losses.NCE() != own


def test_a_loss_without_a_formula_says_what_it_must_define():
    class Empty(losses.Loss):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty must define per_class\(logits\) -> \(N, K\)"):
        Empty()(torch.zeros(2, 3), torch.tensor([0, 1]))


def test_one_sample_with_a_list_of_labels_is_refused_where_torch_is_silent():
    with pytest.raises(ValueError, match=r"for scores of shape \(3,\), got torch.int64 of shape \(1,\)"):
        losses.NCE()(torch.zeros(3), torch.tensor([1]))


@pytest.mark.parametrize("shape", [(3,), (5, 3), (5, 3, 2, 2)])
def test_scores_become_predictions_along_the_class_axis(shape):
    scores, loss, axis = torch.randn(shape, generator=seeded(1)), losses.parse("nce + mae"), min(1, len(shape) - 1)
    torch.testing.assert_close(loss.activation(scores).sum(axis), torch.ones(scores.select(axis, 0).shape))
    assert torch.equal(loss.decodes(loss.activation(scores)), scores.argmax(axis))


def test_a_loss_that_returns_another_shape_is_named():
    class Mean(losses.Loss):
        def per_class(self, logits):
            return -logits.log_softmax(1).mean(1)

    with pytest.raises(InputError, match=r"Mean.per_class must return the loss of every label, \(4, 3\), got \(4,\)"):
        Mean()(torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))
