"""The text form: what is written is read back, and nothing else is taken."""

from __future__ import annotations

import contextlib
import math
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conftest import count
from noiseproof.errors import InputError, UnknownNameError, one_of
from noiseproof.registry import Registry
from noiseproof.text import Call, parse_call, parse_sum, split_list, write_call, write_value

EXAMPLES = settings(max_examples=count(200, 1000), deadline=None, derandomize=True, database=None)

plain_words = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}(-[A-Za-z_][A-Za-z0-9_]{0,5}){0,2}", fullmatch=True)
keys = st.from_regex(r"[a-z][a-z_]{0,6}[a-z]", fullmatch=True).filter(str.isidentifier)
numbers = st.one_of(
    st.integers(-(10**18), 10**18), st.floats(allow_nan=False, allow_infinity=False), st.sampled_from([1e-8, 1e5, 0.1])
)
values = st.one_of(numbers, st.booleans(), plain_words, st.text(max_size=20))


def is_keyword(word):
    import keyword

    return any(keyword.iskeyword(part) for part in word.split("-"))


names = plain_words.filter(lambda word: not is_keyword(word) and "_hyphen_" not in word and word != "__debug__")
keys = keys.filter(lambda word: not is_keyword(word))


# Written and read


@given(values)
@example("true")
@example("False")
@example("None")
@example("_hyphen_")
@example("it's")
@example("a\\b\n\0\ud800")
@example(-0.0)
@EXAMPLES
def test_a_value_is_read_as_it_was_written(value):
    call = parse_call(f"name(key={write_value(value)})")
    (_, found) = call.named[0]
    assert found == value
    assert isinstance(found, bool) == isinstance(value, bool)
    assert isinstance(found, str) == isinstance(value, str)


@given(names, st.dictionaries(keys, values, max_size=4))
@EXAMPLES
def test_a_call_is_read_as_it_was_written(name, named):
    assert parse_call(write_call(name, named)) == Call(name, (), tuple(named.items()))


@given(names, st.dictionaries(keys, values, max_size=3))
@EXAMPLES
def test_writing_is_canonical(name, named):
    text = write_call(name, named)
    assert write_call(name, dict(parse_call(text).named)) == text


factors = st.floats(1e-6, 1e6)


@given(st.lists(st.tuples(factors, names, st.dictionaries(keys, numbers, max_size=2)), min_size=1, max_size=5))
@EXAMPLES
def test_a_sum_is_read_term_by_term(terms):
    text = " + ".join(f"{factor!r}*{write_call(name, named)}" for factor, name, named in terms)
    assert parse_sum(text) == [(factor, Call(name, (), tuple(named.items()))) for factor, name, named in terms]
    after = " + ".join(f"{write_call(name, named)} * {factor!r}" for factor, name, named in terms)
    assert parse_sum(after) == parse_sum(text)


@given(factors, factors, names, names)
@EXAMPLES
def test_brackets_distribute(one, two, left, right):
    found = parse_sum(f"{one!r}*({left} + {two!r}*{right})")
    assert [call.name for _, call in found] == [left, right]
    assert [factor for factor, _ in found] == [one, one * two]


@given(st.lists(st.tuples(names, st.dictionaries(keys, values, max_size=3)), max_size=5))
@EXAMPLES
def test_a_list_is_split_between_its_texts(calls):
    texts = [write_call(name, named) for name, named in calls]
    assert split_list(", ".join(texts)) == texts
    assert split_list(" ,, ".join(texts)) == texts


@given(names, st.dictionaries(keys, numbers, min_size=1, max_size=3), st.sampled_from(["", " ", "  ", "\t"]))
@EXAMPLES
def test_blanks_do_not_matter(name, named, blank):
    inside = f"{blank},{blank}".join(f"{key}{blank}={blank}{write_value(value)}" for key, value in named.items())
    text = f"{blank}{name}{blank}({blank}{inside}{blank}){blank}"
    assert parse_call(text) == parse_call(write_call(name, named))


def test_numbers_are_written_as_a_person_writes_them():
    assert [write_value(v) for v in (30.0, 30, 0.5, 1e-8, 1e5, -2.0, 1e300, True)] == [
        *("30", "30", "0.5", "1e-08", "100000", "-2", "1e+300", "true")
    ]


# Refused


@given(st.text(max_size=60))
@EXAMPLES
def test_any_text_is_read_or_refused(text):
    for read in (parse_sum, parse_call):
        with contextlib.suppress(InputError):
            read(text)
    assert all(part and part in text for part in split_list(text))


alphabet = st.text(alphabet="nce+*().,=-_'\"\\0159 #[]{}:;@~^&|<>!?\t\n", max_size=40)


@given(alphabet)
@EXAMPLES
def test_texts_of_the_right_letters_are_read_or_refused(text):
    try:
        terms = parse_sum(text)
    except InputError:
        return
    assert all(math.isfinite(factor) or factor == math.inf for factor, _ in terms)


CODE = [
    "__import__('os').system('touch here')",
    "(lambda: nce)()",
    "nce if 1 else mae",
    "[nce for _ in 'x']",
    "nce(a=open('file'))",
    "nce(a=1+1)",
    "nce(a=b())",
    "nce(**{'a': 1})",
    "nce(*[1])",
    "nce[0]",
    "nce.mae",
    "nce; mae",
    "nce\nmae",
    "nce := mae",
    "f'{nce}'",
    "nce - mae",
    "nce / 2",
    "2 ** nce",
    "-nce",
    "nce * mae",
    "2 * 3",
    "2",
    "'nce'",
    "",
    "()",
    "nce(a=None)",
    "nce(a=1j)",
    "nce(a=...)",
    "nce(a=b'x')",
    "nce(a=(1, 2))",
    "nce(a=1e999)",
    "nce(a=--inf)",
    "nce # mae",
    "nce(a=1, a=2)x",
    "nce(a=\\x41)",
]


@pytest.mark.parametrize("text", CODE)
def test_code_is_refused_and_not_run(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"cannot read|expected one NAME"):
        parse_call(text)
    assert list(tmp_path.iterdir()) == []


def test_infinity_comes_in_as_a_word_only():
    assert parse_call("nce(a=inf)").named == (("a", "inf"),)


@pytest.mark.parametrize(
    "text",
    ["(" * 2000 + "nce" + ")" * 2000, "-" * 4000 + "1*nce", "nce" * 5000, "1*" * 2000 + "nce", "9" * 4000 + "*nce"],
)
def test_endless_texts_are_refused_quickly(text):
    start = time.process_time()
    with pytest.raises(InputError) as error:
        parse_sum(text)
    assert time.process_time() - start < 2
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("thing", [None, 3, b"nce", ["nce"], object()])
def test_what_is_no_text_is_refused(thing):
    with pytest.raises(InputError, match="expected a text such as"):
        parse_sum(thing)


# Registries


class Dish:
    """A dish."""


def kitchen():
    dishes = Registry("dish", "dishes")

    @dishes.register("soup", warm=True)
    class Soup(Dish):
        """Soup, eaten with a spoon."""

        def __init__(self, salt=0.5, *, bowl="deep"):
            self.salt, self.bowl = salt, bowl

    @dishes.register("fried-rice", warm=True)
    class Rice(Dish):
        """Rice."""

        def __init__(self, grains, oil=1.0, hot=False):
            self.grains, self.oil, self.hot = grains, oil, hot

    return dishes


def test_a_registry_builds_what_a_text_names():
    dishes = kitchen()
    assert dishes.build("soup").salt == 0.5
    assert dishes.build("SOUP(2)").salt == 2
    assert dishes.build("soup(salt=2)", bowl="flat").bowl == "flat"
    assert dishes.build("fried-rice(100, hot=true)").hot is True
    assert dishes.names() == ["soup", "fried-rice"]
    assert len(dishes) == 2
    assert "soup" in dishes
    assert [entry.claims["warm"] for entry in dishes] == [True, True]


def test_a_registry_writes_what_differs_from_the_defaults():
    dishes = kitchen()
    for text in ("soup", "soup(salt=2)", "fried-rice(grains=100, hot=true)", "fried-rice(grains=3, oil=0.25)"):
        assert dishes.write(dishes.build(text)) == text


def test_an_entry_says_how_it_is_written():
    soup, rice = kitchen()
    assert (soup.usage, rice.usage) == ("soup(salt=0.5)", "fried-rice(grains, oil=1, hot=false)")
    assert (soup.positional, rice.positional) == ("salt", "grains")
    assert soup.summary == "Soup, eaten with a spoon."


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "sop",
            "no dish named 'sop'; did you mean 'soup'? (there are: soup, fried-rice; see `noiseproof list dishes`)",
        ),
        ("soup(sallt=1)", "soup has no parameter 'sallt' (it has: salt); did you mean 'salt'?"),
        ("soup(bowl=flat)", "soup has no parameter 'bowl' (it has: salt)"),
        ("soup(1, 2)", "soup: parameters need their names; write soup(salt=0.5)"),
        ("soup(1, salt=2)", "soup: parameters need their names; write soup(salt=0.5)"),
        ("fried-rice", "fried-rice needs grains; write fried-rice(grains, oil=1, hot=false)"),
    ],
)
def test_a_registry_says_what_to_write_instead(text, message):
    with pytest.raises(InputError) as error:
        kitchen().build(text)
    assert str(error.value) == message


def test_unknown_names_are_errors_of_their_own():
    with pytest.raises(UnknownNameError):
        kitchen()["pizza"]


def test_a_name_is_registered_once():
    dishes = kitchen()
    with pytest.raises(InputError, match="a dish named 'soup' is registered already"):
        dishes.register("soup")(Dish)


def test_a_parameter_is_given_once():
    with pytest.raises(InputError, match=r"repeated|twice|cannot read"):
        kitchen().build("soup(salt=1, salt=2)")


def test_a_word_is_one_of_those_accepted_or_all_of_them_are_told():
    assert one_of("--mode", "fast", iter(["deterministic", "fast"])) == "fast"
    with pytest.raises(UnknownNameError) as raised:
        one_of("--mode", "fats", iter(["deterministic", "fast"]))
    assert str(raised.value) == "--mode must be one of deterministic, fast; got 'fats'; did you mean 'fast'?"
