"""Small files of a user's own data, and the labels that are read from them."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from noiseproof import data

COUNT = 30
CLASSES = ["abc"[place % 3] for place in range(COUNT)]
NUMBERS = [(f"{place % 7 / 4 + 1:g}", f"{place * place % 11 / 2 + 0.5:g}") for place in range(COUNT)]
TEXTS = [f"message {place} says hello to you" for place in range(COUNT)]
TOPICS = [("spam", "ham", "news")[place % 3] for place in range(COUNT)]
MESSAGES = [f"message number {place} says {TOPICS[place]} or something else" for place in range(COUNT)]


def labels_of(found: data.Data) -> list[str]:
    return [found.classes[label] for label in found.everything().given.tolist()]


def write(path: Path, content: bytes | str, encoding: str = "utf-8") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode(encoding))
    return path


def picture(path: Path, **options: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), sum(path.name.encode()) % 200, np.uint8)).save(path, **options)
    return path


def png(seed: int) -> bytes:
    memory = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(memory, "PNG")
    return memory.getvalue()


def as_json(path: Path, content: Any) -> Path:
    path.write_text(json.dumps(content))
    return path


def json_lines(path: Path, records: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def sample_lines(pattern: str) -> str:
    """A line a sample: `A`, `B` its numbers, `L` its label, `T` its text, `I` its position."""
    made = []
    for place, (label, text, (a, b)) in enumerate(zip(CLASSES, TEXTS, NUMBERS, strict=True)):
        values = {"A": a, "B": b, "L": label, "T": text, "I": str(place)}
        made.append("".join(values.get(each, each) for each in pattern))
    return "\n".join(made) + "\n"


def table(path: Path, header: str, rows: list[list[object]], mark: str = ",") -> Path:
    path.write_text(header + "\n" + "".join(mark.join(map(str, row)) + "\n" for row in rows))
    return path
