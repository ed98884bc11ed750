"""A compressed file that would fill the memory is refused by its ratio, before it is unpacked."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import zipfile

import pytest

from noiseproof.data.io import archives
from noiseproof.data.readers.packed import unpacked
from noiseproof.errors import DataError


def zipped(content: bytes) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("table.csv", content)
    return target.getvalue()


PACKERS = {"zip": zipped, "gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("kind", PACKERS)
def test_a_file_that_holds_a_hundred_times_its_size_is_refused(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_SLACK", 1000)
    path = tmp_path / f"bomb.csv.{kind}"
    path.write_bytes(PACKERS[kind](b"a,label\n" + b"1,x\n" * 500_000))
    with pytest.raises(DataError, match=r"bomb\.csv\..* holds more than 100 times its size; if .* unpack it"):
        unpacked(path, 1 << 30)


@pytest.mark.parametrize("kind", PACKERS)
def test_a_file_of_text_is_unpacked(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "_SLACK", 1000)
    draw = random.Random(1)
    text = "".join(f"{draw.random()},{draw.choice('xyz')}\n" for _ in range(2000)).encode()
    path = tmp_path / f"table.csv.{kind}"
    path.write_bytes(PACKERS[kind](text))
    assert unpacked(path, 1 << 30) == text
