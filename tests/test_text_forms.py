"""Texts of losses and noise give the same objects back; awkward words, lookalikes of Python and registries."""

from __future__ import annotations

import string
import sys
from contextlib import suppress

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from conftest import count
from noiseproof import losses, noise
from noiseproof.errors import InputError, UnknownNameError, in_range
from noiseproof.losses import LOSSES, Loss
from noiseproof.noise import NOISES
from noiseproof.registry import Registry
from noiseproof.text import Call, parse_call, parse_sum, split_list, write_call

EXAMPLES = settings(max_examples=count(100, 1000), deadline=None, derandomize=True, database=None)

first, inner = string.ascii_letters + "_", string.ascii_letters + string.digits + "_"
words = st.builds(str.__add__, st.sampled_from(first), st.text(inner, max_size=8))
names = st.lists(words, min_size=1, max_size=3).map("-".join)
values = (
    st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | names
)


# Awkward words


@pytest.mark.parametrize(
    "value",
    [
        "true",
        "false",
        "True",
        "None",
        "class",
        "if-else",
        "a_hyphen_b",
        "-",
        "a-1",
        "1",
        "1e5",
        "",
        " ",
        "a b",
        "a.b",
        "it's",
        '"',
        "both ' and \"",
        "back\\slash",
        "\\",
        "\\'",
        "#",
        "a # b",
        "new\nline",
        "tab\t",
        "\0",
        "\x7f",
        "ü",
        "\u202e",
        "\ud800",
        "😀",
        "a,b",
        "(",
        "a)b",
        "{}",
        "inf",
        "nan",
        "lambda-x",
        "_",
        "__import__",
    ],
)
def test_awkward_words_are_read_back_as_they_were_written(value):
    assert parse_call(write_call("x", {"v": value})) == Call("x", (), (("v", value),))


@EXAMPLES
@given(st.lists(st.builds(write_call, names, st.dictionaries(words, values, max_size=3)), max_size=5))
def test_a_list_is_split_into_what_was_joined(texts):
    assert split_list(", ".join(texts)) == texts


def test_a_list_is_split_at_the_commas_outside_brackets_and_quotes():
    text = """a('it\\'s, "x"', b=1), "c, d", [e, f], g(h(i, j), k)"""
    assert split_list(text) == ["""a('it\\'s, "x"', b=1)""", '"c, d"', "[e, f]", "g(h(i, j), k)"]


def test_a_list_without_anything_is_empty():
    assert split_list("") == split_list(" , ,") == []


# Every loss and every noise


def parameters(entry) -> st.SearchStrategy[dict[str, object]]:
    """Values around the defaults; those that the class refuses are left out by the test."""

    def near(default: object) -> st.SearchStrategy[object]:
        if isinstance(default, bool):
            return st.booleans()
        if isinstance(default, str):  # a loss inside a loss
            return st.sampled_from(["ce", "gce(q=0.5)", "nce + amse(a=30)"])
        size = float(default)
        return st.floats(0.01, 100).map(lambda factor: size * factor) | st.integers(0, 40).map(float) | st.just(size)

    return st.fixed_dictionaries({}, optional={name: near(default) for name, default in entry.parameters.items()})


@st.composite
def any_loss(draw) -> Loss:
    entry = draw(st.sampled_from(list(LOSSES)))
    try:
        return entry.cls(**draw(parameters(entry)))
    except InputError:
        assume(False)
        raise


@EXAMPLES
@given(any_loss())
def test_a_loss_writes_the_text_that_gives_it_back(loss):
    back = losses.parse(str(loss))
    assert back.same_as(loss)
    assert str(back) == str(loss)
    assert eval(repr(loss), {"losses": losses}).same_as(loss)
    assert {key: str(getattr(back, key)) for key in LOSSES[loss.name].parameters} == {
        key: str(getattr(loss, key)) for key in LOSSES[loss.name].parameters
    }


@EXAMPLES
@given(st.lists(st.tuples(st.floats(1e-6, 1e6), any_loss()), min_size=2, max_size=4))
def test_a_sum_writes_the_text_that_gives_it_back(terms):
    total = losses.WeightedSum(terms)
    back = losses.parse(str(total))
    assert back.same_as(total)
    assert [factor for factor, _ in back.terms()] == [factor for factor, _ in terms]
    scores = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(3, 4)
    by_hand = sum(factor * loss.per_class(scores) for factor, loss in terms)
    torch.testing.assert_close(back.per_class(scores), by_hand)


@EXAMPLES
@given(any_loss(), st.floats(1e-3, 1e3), st.floats(1e-3, 1e3))
def test_factors_multiply(loss, a, b):
    assert [factor for factor, _ in (a * (b * loss)).terms()] == [a * b]
    assert (loss * a).same_as(a * loss)
    inside = parse_sum(f"{a!r}*({b!r}*ce + mae)")
    assert inside == [(a * b, Call("ce")), (a, Call("mae"))]


@EXAMPLES
@given(st.sampled_from(["symmetric", "pairflip", "instance"]), st.floats(0, 1), st.data())
def test_a_noise_writes_the_text_that_gives_it_back(kind, rate, data):
    conventions = {
        "symmetric": ["exact", "independent", "jal", "apl", "dividemix"],
        "instance": ["xia", "logitclip", "jal"],
    }
    convention = data.draw(st.sampled_from(conventions.get(kind, ["exact", "independent"])))
    rule = NOISES[kind].cls(rate, convention)
    back = noise.parse(str(rule))
    assert (back, back.rate, back.convention) == (rule, rate, convention)
    assert eval(repr(rule), {"noise": noise}) == rule


@pytest.mark.parametrize("file", ["T.csv", "a b/T.csv", "it's.npy", 'quo"te.json', "ü#1.csv", "-.csv", "a,b.csv"])
def test_a_file_in_a_noise_text_keeps_its_name(file):
    assert noise.parse(str(noise.Transition(file))).file == file


# Everything else is refused, and only so


@EXAMPLES
@given(st.text(max_size=60) | st.text("abce+*()=,.'\"- 0123456789qmnx#\\\n", max_size=60))
def test_any_text_is_read_or_refused_in_one_way(text):
    for read in (losses.parse, noise.parse, parse_sum, parse_call, split_list):
        with suppress(InputError):
            read(text)


@pytest.mark.parametrize(
    "text",
    [
        "(" * 500 + "ce" + ")" * 500,
        "ce+" * 1300 + "ce",
        "-" * 4000 + "1*ce",
        "ce(" * 900,
        "f(a=" + "-" * 3000 + "1)",
        "[" * 3000,
        "a." * 1900 + "b",
        "x(f=" + "a." * 1900 + "b)",
        "9" * 4000 + "*ce",
        "ce(q=" + "9" * 4000 + ")",
    ],
    ids=range(10),
)
def test_what_would_exhaust_the_parser_is_refused_in_a_line(text):
    with pytest.raises(InputError) as raised:
        losses.parse(text)
    assert len(str(raised.value)) < 700


def test_parameters_out_of_a_dict_are_refused_by_name():
    with pytest.raises(InputError, match=r"'\*\*' is not part of the text form"):
        losses.parse("gce(**x)")


def test_a_sum_of_a_hundred_terms_is_read_and_more_are_refused_however_deep_python_may_go():
    assert len(parse_sum(" + ".join(["ce"] * 100))) == 100
    allowed = sys.getrecursionlimit()
    sys.setrecursionlimit(5000)  # as torch.compile does, more or less
    try:
        with pytest.raises(InputError, match="at most 100 terms"):
            parse_sum("ce+" * 1300 + "ce")
    finally:
        sys.setrecursionlimit(allowed)


@pytest.mark.parametrize("number", [10**400, -(10**400), float("inf"), float("nan"), 10**308 * 2])
def test_numbers_beyond_floating_point_are_refused(number):
    with pytest.raises(InputError):
        in_range("q", number, 0)
    with pytest.raises(InputError):
        losses.GCE(q=number)


@pytest.mark.parametrize(
    "text",
    [
        "nce # + mae",
        "nce\n+ mae",
        "nce; mae",
        "nce, mae",
        "nce if 1 else mae",
        "lambda: 1",
        "nce == mae",
        "not nce",
        "nce.parse",
        "nce[0]",
        "nce()()",
        "nce(x)(y)",
        "{nce}",
        "[nce]",
        "...",
        "f'{nce}'",
        "await nce",
        "(x := nce)",
        "gce(q=f'{1}')",
        "gce(q=b'1')",
        "gce(q=1j)",
        "gce(q=None)",
        "gce(q=...)",
        "gce(*q)",
        "gce(q=-x)",
        "gce(q=1+1)",
        "gce(q=ce(1))",
        "gce(q={})",
        "gce(q=lambda: 1)",
        "'nce'",
        "1",
        "true",
        "nce + 1",
        "nce - mae",
        "-nce",
        "nce/2",
        "2**nce",
        "nce + -1*mae",
        "rce('\\d')",
        "gce(q=inf)",
        "gce(q=nan)",
    ],
)
def test_what_looks_like_python_but_is_no_text_is_refused(text):
    with pytest.raises(InputError):
        losses.parse(text)


@pytest.mark.parametrize(
    ("text", "same_as"),
    [
        ("NCE", "nce"), (" nce ", "nce"), ("nce()", "nce"), ("(nce)", "nce"), ("1*nce", "nce"), ("+1*nce", "nce"),
        ("nce*2", "2*nce"), ("2*(nce + mae)", "2*nce + 2*mae"), ("gce(0.7)", "gce"), ("gce(.5)", "gce(q=0.5)"),
        ("gce(5e-1)", "gce(q=0.5)"), ("AGCE(q = 2.0, a=1)", "agce"), ("fl(detach=True)", "fl(detach=true)"),
        ("rce(log_zero=-4)", "rce(log_zero=-4)"), ("rce(-4)", "rce(log_zero=-4)"), ("rce(log_zero=- 4)", "rce(-4)"),
        ("nce+0.5 * mae", "nce + 0.5*mae"), ("gce(q=0x1)", "gce(q=1)"), ("1_0*ce", "10*ce"),
    ],
)  # fmt: skip
def test_ways_to_write_the_same_loss(text, same_as):
    assert losses.parse(text).same_as(losses.parse(same_as))


def test_hyphens_belong_to_names_and_minus_signs_to_numbers():
    assert parse_call("jal-ce").name == "jal-ce"
    assert parse_call("x(a=-1, b=- 2, c=a-b)").named == (("a", -1), ("b", -2), ("c", "a-b"))
    assert parse_call("human('a-b')").values == ("a-b",)
    assert parse_call("transition(some-file.v2.csv)").values == ("some-file.v2.csv",)


# Registries


class Thing:
    def __init__(self, size: float, colour: str = "red", *, label: str = "") -> None:
        """A thing, for tests."""
        self.size, self.colour, self.label = size, colour, label


@pytest.fixture
def things() -> Registry[Thing]:
    registry: Registry[Thing] = Registry("thing", "things")
    registry.register("box", heavy=True)(type("Box", (Thing,), {"__doc__": "A box.\n\nMore of it."}))
    return registry


def test_a_registry_builds_writes_and_lists(things):
    box = things.build("box(2)", label="mine")
    assert (box.size, box.colour, box.label) == (2, "red", "mine")
    assert things.write(box) == "box(size=2)"
    box.colour = "dark blue"
    assert things.write(box) == "box(size=2, colour='dark blue')"
    assert (len(things), things.names(), "box" in things, "cube" in things) == (1, ["box"], True, False)
    (entry,) = things
    assert (entry.usage, entry.summary, entry.claims, entry.positional) == (
        "box(size, colour=red)",
        "A box.",
        {"heavy": True},
        "size",
    )


def test_options_are_no_parameters_of_a_text(things):
    with pytest.raises(UnknownNameError, match="it has: size, colour"):
        things.build("box(2, label=mine)")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bax(2)", "no thing named 'bax'; did you mean 'box'"),
        ("box", "box needs size; write box(size, colour=red)"),
        ("box(1, 2)", "parameters need their names"),
        ("box(1, size=2)", "parameters need their names"),
        ("box(size=1, size=2)", "size=1, size=2"),
        ("box(1, color=blue)", "no parameter 'color' (it has: size, colour); did you mean 'colour'?"),
        ("2*box(1)", "expected one NAME"),
    ],
)
def test_a_registry_refuses_with_what_to_write(things, text, words):
    with pytest.raises(InputError) as raised:
        things.build(text)
    assert words in str(raised.value)


def test_a_name_is_registered_once(things):
    with pytest.raises(InputError, match="registered already"):
        things.register("box")(Thing)


def test_a_class_without_parameters_says_so():
    registry: Registry[object] = Registry("thing", "things")
    registry.register("dot")(type("Dot", (), {}))
    with pytest.raises(UnknownNameError, match="it has: none"):
        registry.build("dot(size=1)")
    assert next(iter(registry)).usage == "dot"
