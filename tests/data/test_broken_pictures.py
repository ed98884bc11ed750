"""Broken pictures: found at the door without a miss, left out of every command, listed and counted."""

from __future__ import annotations

import csv
import io
import json
import random
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import count
from noiseproof import data
from noiseproof.cli import main
from noiseproof.data.io.broken_pictures import looks_whole
from noiseproof.data.pipeline.decoding import opened
from noiseproof.data.readers.table_pictures import look_at
from noiseproof.errors import DataError

FORMS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")


def picture(form: str, *, side: int = 24, mode: str = "RGB", channel: int = 0, **options: object) -> bytes:
    pixels = np.random.default_rng(side + channel).integers(0, 90, (side, side, 3)).astype(np.uint8)
    pixels[..., channel] += 150
    memory = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(memory, form, **options)
    return memory.getvalue()


def broken_pictures() -> dict[str, bytes]:
    """Files that no decoder takes; the second half looks whole at its beginning and end."""
    png, jpeg, webp, gif, bmp = (picture(form) for form in FORMS[:5])
    return {
        "empty.jpg": b"",
        "words.jpg": b"no picture",
        "page.png": b"<html>404</html>",
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "cut.png": png[: len(png) // 2],
        "ended.jpg": jpeg[:300] + b"\xff\xd9",
        "hole.png": png[:41] + bytes(64) + png[105:],  # over the head of the compressed data
        "tables.jpg": jpeg[: (at := jpeg.index(b"\xff\xc4") + 5)] + b"\xff" * 16 + jpeg[at + 16 :],
        "frameless.jpg": b"\xff\xd8\xff\xe0" + bytes(100) + b"\xff\xd9",
        "hole.webp": webp[:30] + b"\xff" * 200 + webp[230:],
        "hole.gif": gif[:800] + b"\xff" * 100 + gif[900:],
        "header.bmp": bmp[:14] + bytes(20) + bmp[34:],
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes of whole pictures, with the broken ones among the cats."""
    root = tmp_path_factory.mktemp("own") / "pets"
    for channel, name in enumerate(("cat", "dog", "owl")):
        (root / name).mkdir(parents=True)
        for place in range(12):
            form = FORMS[place % len(FORMS)]
            (root / name / f"{place:02}.{form.lower()}").write_bytes(picture(form, channel=channel))
    for name, content in broken_pictures().items():
        (root / "cat" / name).write_bytes(content)
    return root


LEFT_OUT = f"left out: {len(broken_pictures())} pictures cannot be read (damaged or no picture) (cat/"


def skipped_of(told: dict[str, object]) -> list[str]:
    return sorted(item["what"] for item in told["skipped"])  # type: ignore[index]


def test_broken_pictures_are_left_out_as_if_they_were_not_there(folder, tmp_path):
    found = data.load(folder)
    assert skipped_of(found.reading.to_json()) == sorted(f"cat/{name}" for name in broken_pictures())
    whole = tmp_path / "whole"
    for path in folder.rglob("*.*"):
        if path.name not in broken_pictures():
            copy = whole / path.relative_to(folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    assert found.fingerprint == data.load(whole).fingerprint
    assert any(note.startswith(LEFT_OUT) for note in found.notes)


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl"])
def test_a_table_of_paths_leaves_them_out_too(folder, tmp_path, form):
    rows = [(str(path.relative_to(folder)), path.parent.name) for path in sorted(folder.rglob("*.*"))]
    table = tmp_path / f"pets.{form}"
    if form == "csv":
        with table.open("w", newline="") as file:
            csv.writer(file).writerows([("path", "label"), *rows])
    elif form == "jsonl":
        table.write_text("".join(json.dumps({"path": path, "label": label}) + "\n" for path, label in rows))
    else:
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.table({"path": [r[0] for r in rows], "label": [r[1] for r in rows]}), table)
    found = data.load(table, root=folder)
    assert skipped_of(found.reading.to_json()) == sorted(f"cat/{name}" for name in broken_pictures())
    assert len(found.everything()) == 36


def test_strict_stops_and_names_the_check(folder):
    with pytest.raises(DataError, match="without --strict it is left out; noiseproof data check lists them all"):
        data.load(folder, strict=True)


def command(*words: object) -> int:
    """Exit code of `noiseproof WORDS`, run in this process."""
    before = sys.argv
    sys.argv = ["noiseproof", *map(str, words)]
    try:
        main()
    except SystemExit as stop:
        return int(stop.code or 0)
    finally:
        sys.argv = before
    return 0


def learned(folder: Path, out: Path) -> tuple[object, ...]:
    return ("train", folder, "--features", "patches", "--learner", "discriminant", "--out", out)


COMMANDS: dict[str, Callable[[Path, Path], tuple[object, ...]]] = {
    "train": learned,
    "train a network": lambda folder, out: ("train", folder, "--method", "ce", "--epochs", 1, "--out", out),
    "compare": lambda folder, out: (
        "compare",
        folder,
        "--methods",
        "ce",
        "--epochs",
        1,
        "--seeds",
        1,
        "--workers",
        1,
        "--out",
        out,
    ),
    "noise": lambda folder, out: ("noise", folder, "symmetric(0.4)", "--out", out.with_suffix(".csv")),
    "sweep": lambda folder, out: ("sweep", grid(folder, out), "--dry-run", "--out", out),
    "data check": lambda folder, out: ("data", "check", folder),
}


def grid(folder: Path, out: Path) -> Path:
    text = f"data = ['{folder}']\nnoise = ['symmetric(0.4)']\nmethods = ['ce']\nseeds = [1]\n"
    path = out.with_suffix(".toml")
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "name", [name for name in COMMANDS if name != "compare" or count(0, 1)]
)  # its workers take 8 s
def test_every_command_leaves_them_out_and_says_so_first(folder, tmp_path, capsys, name):
    assert command(*COMMANDS[name](folder, tmp_path / "out")) == 0
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines[:4] if line.startswith(LEFT_OUT)]
    assert line.endswith(f"all of them: noiseproof data check {folder}")
    for record in tmp_path.glob("out/runs/*/record.json"):
        assert any(note.startswith(LEFT_OUT) for note in json.loads(record.read_text())["data"]["notes"])


def test_predict_and_evaluate_leave_them_out(folder, tmp_path, capsys):
    assert command(*learned(folder, tmp_path / "out")) == 0
    predictions = tmp_path / "predictions.csv"
    assert command("predict", tmp_path / "out" / "model", folder, "--out", predictions) == 0
    assert f"{len(broken_pictures())} of 48 items skipped" in capsys.readouterr().err
    assert len(list(csv.DictReader(predictions.read_text().splitlines()))) == 36
    assert command("predict", tmp_path / "out" / "model", folder, "--strict") == 2
    assert "without --strict it is skipped" in capsys.readouterr().err
    assert command("evaluate", tmp_path / "out" / "model", folder, "--json") == 0
    printed = capsys.readouterr()
    assert LEFT_OUT in printed.err
    assert json.loads(printed.out)["samples"] > 0


# The test of the bytes


VARIANTS: list[tuple[str, dict[str, object]]] = [
    ("JPEG", {}), ("JPEG", {"progressive": True}), ("JPEG", {"quality": 97, "subsampling": 0}), ("JPEG", {"mode": "L"}),
    ("JPEG", {"optimize": True, "restart_marker_blocks": 2}), ("PNG", {}), ("PNG", {"mode": "P"}),
    ("PNG", {"mode": "L"}), ("PNG", {"mode": "RGBA"}), ("PNG", {"mode": "1"}), ("PNG", {"mode": "I;16"}),
]  # fmt: skip


@pytest.mark.parametrize(("form", "options"), VARIANTS)
@pytest.mark.parametrize("side", [1, 9, 64])
def test_whole_pictures_look_whole(form, options, side):
    options = dict(options)
    if options.get("mode") == "I;16":
        memory = io.BytesIO()
        Image.fromarray(np.arange(side * side, dtype=np.uint16).reshape(side, side)).save(memory, form)
        assert looks_whole(memory.getvalue())
    else:
        assert looks_whole(picture(form, side=side, **options))


def damaged(content: bytes, draw: random.Random) -> bytes:
    """A picture with bytes taken out, put in, overwritten or cut off, its first two and often its end intact."""
    first = draw.randrange(2, len(content))
    length = draw.randrange(1, 120)
    noise = bytes(draw.randrange(256) for _ in range(length))
    return draw.choice(
        [
            content[:first] + content[first + length :],
            content[:first] + noise + content[first:],
            content[:first] + noise + content[first + length :],
            content[:first] + bytes([draw.choice([0, 255])]) * length + content[first + length :],
            content[:first] + content[-12:],
            content[:first] + noise[:1] + content[first + 1 :],
        ]
    )


@pytest.mark.filterwarnings("ignore")  # of Pillow, about metadata
def test_what_looks_whole_can_be_decoded(tmp_path):
    draw, path, passed = random.Random(1), tmp_path / "picture", 0
    bases = [picture(form, side=40, **options) for form, options in VARIANTS if options.get("mode") != "I;16"]
    for _ in range(count(400, 2000)):
        content = damaged(draw.choice(bases), draw)
        if looks_whole(content):
            path.write_bytes(content)
            assert opened(path).size[0] > 0
            passed += 1
    assert passed


def test_a_picture_is_looked_at_again_when_it_changes(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paths = [tmp_path / f"{place}.png" for place in range(70)]
    for path in paths:
        path.write_bytes(picture("PNG", side=8))
    first = look_at([str(path) for path in paths])
    assert not first.broken
    paths[3].write_bytes(b"")
    paths[5].unlink()
    again = look_at([str(path) for path in paths])
    assert list(again.broken) == [3, 5]
    assert all(again.hashes[name] == digest for name, digest in first.hashes.items() if name in again.hashes)


@pytest.mark.parametrize("mode", ["1", "P", "L", "LA", "RGB", "RGBA"])
def test_a_png_too_short_for_its_pixels_is_refused_before_room_is_made(tmp_path, mode):
    path = tmp_path / "plain.png"
    Image.new(mode, (3000, 2000)).save(path, compress_level=9)  # as short as a sound one can be
    assert opened(path).size == (3000, 2000)
    content = bytearray(path.read_bytes())
    content[16:24] = (7900).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)
    with pytest.raises(DataError, match="too short for 7900 x 7900 pixels"):
        opened(path)
