"""A random table in a random dialect is read back equal or refused, and large files as small ones."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from conftest import count
from noiseproof import data
from noiseproof.data.readers.base import ReadingOptions
from noiseproof.data.readers.csv_table import read_csv
from noiseproof.data.readers.numbers import to_numbers
from noiseproof.errors import DataError

LABELS = [
    "NA",
    "None",
    "007",
    "7",
    "true",
    "=1+1",
    "+",
    "-",
    "@x",
    "caf\u00e9",
    'say "so"',
    "a,b",
    "c;d",
    "two words",
    "1e3",
]
numbers = st.floats(allow_nan=False, allow_infinity=False, width=32).map(lambda x: x + 0.0)


@st.composite
def tables(draw):
    """Header, features, labels, and how they are written."""
    width = draw(st.integers(1, 4))
    names = draw(st.lists(st.sampled_from(LABELS), min_size=2, max_size=5, unique=True))
    length = draw(st.integers(3 * len(names), 40))
    labels = [*names, *names, *names, *draw(st.lists(st.sampled_from(names), min_size=length, max_size=length))]
    rows = [draw(st.lists(numbers, min_size=width, max_size=width)) for _ in labels]
    written = {
        "delimiter": draw(st.sampled_from(",;\t|")),
        "lineterminator": draw(st.sampled_from(["\n", "\r\n"])),
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    }
    ends = draw(st.integers(0, 3))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    comma = draw(st.booleans()) and written["delimiter"] != ","
    return rows, labels, written, ends, encoding, comma


def attempt(read):
    """What is read and no words, or nothing and the words of the refusal."""
    try:
        return read(), ""
    except DataError as error:
        return None, str(error)


def as_bytes(rows, labels, written, ends, encoding, comma) -> bytes:
    memory = io.StringIO()
    table = csv.writer(memory, **written)
    table.writerow([*(f"f{place}" for place in range(len(rows[0]))), "label"])
    for row, label in zip(rows, labels, strict=True):
        texts = [f"{value:.9g}" for value in row]
        table.writerow([*(text.replace(".", ",") if comma else text for text in texts), label])
    return (memory.getvalue() + written["lineterminator"] * ends).encode(encoding)


@settings(max_examples=count(40, 400), deadline=None)
@given(tables())
def test_a_table_in_any_dialect_is_read_back_equal_or_refused(made):
    rows, labels, *_ = made
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.csv"
        path.write_bytes(as_bytes(*made))
        found, refusal = attempt(lambda: data.load(path))
    if found is None:  # two delimiters fit, or commas are decimal marks or thousands: a question, not a guess
        assert "delimiter" in refusal or "thousands" in refusal, refusal
        return
    whole = found.everything()
    assert [found.classes[label] for label in whole.given.tolist()] == labels
    assert whole.origin.rows.tolist() == list(range(2, len(labels) + 2))
    values = whole.inputs.to_numpy(np.float32) if hasattr(whole.inputs, "to_numpy") else whole.inputs.numpy()
    read = list(found.reading.columns)
    wanted = np.array(rows, np.float32)[:, [int(name[1:]) for name in read]]
    assert np.array_equal(values, wanted)
    for name in {f"f{place}" for place in range(len(rows[0]))} - set(read):
        assert name in found.reading.ignored  # rising whole numbers: an id


@settings(max_examples=count(40, 400), deadline=None)
@given(tables(), st.booleans())
def test_a_large_file_is_read_as_a_small_one(made, gap):
    content = as_bytes(*made)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "made.csv"
        lines = content.split(b"\n")
        if gap and len(lines) > 6:
            lines.insert(5, b"\r" if lines[0].endswith(b"\r") else b"")
        path.write_bytes(b"\n".join(lines))
        small, refusal = attempt(lambda: read_csv(path, ReadingOptions(), large=1 << 40))
        large, again = attempt(lambda: read_csv(path, ReadingOptions(), large=0))
        assert again == refusal
        if small is None or large is None:
            return
        assert large.names == small.names
        assert large.rows.tolist() == small.rows.tolist()
        for one, other in zip(small, large, strict=True):
            if other.numbers is not None:
                read = to_numbers(one.texts, "," if any("," in text for text in one.texts) else ".")[0]
                assert np.array_equal(read.astype(np.float32), other.numbers, equal_nan=True)
            assert list(other.texts) == list(one.texts)
            texts, codes = other.coded
            assert [texts[code] for code in codes.tolist()] == list(one.texts)


@settings(max_examples=count(100, 2000), deadline=None)
@given(st.floats(min_value=-1e15, max_value=1e15), st.integers(0, 6))
def test_a_number_is_the_same_with_separators(value, places):
    plain = f"{value:,.{places}f}"
    assume(len(plain.lstrip("-").partition(",")[0]) <= 3)
    german = plain.replace(",", "_").replace(".", ",").replace("_", ".")
    wanted = float(f"{value:.{places}f}")
    assert to_numbers([plain])[0][0] == wanted
    assert to_numbers([german], ",")[0][0] == wanted
