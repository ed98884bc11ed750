"""Damage: bits, bytes, pieces lost, doubled, moved, and the numbers that break sizes."""

from __future__ import annotations

import random

_ODD = [
    b"\xff" * 4,
    b"\x00" * 4,
    b"\x80\x00\x00\x00",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"-1",
    b"99999999",
    b"\n",
]


def mutated(content: bytes, seed: int) -> bytes:
    """One to four changes, as often near the two ends, where headers are, as anywhere."""
    draw = random.Random(seed)
    found = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        if not found:
            break
        at = _place(draw, len(found))
        kind = draw.randrange(8)
        length = draw.choice((1, 2, 4, 16, 200))
        if kind == 0:
            found[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            found[at] = draw.randrange(256)
        elif kind == 2:
            del found[at : at + length]
        elif kind == 3:
            found[at:at] = found[at : at + length]
        elif kind == 4:
            found[at:at] = draw.randbytes(length)
        elif kind == 5:
            odd = draw.choice(_ODD)
            found[at : at + len(odd)] = odd
        elif kind == 6:
            other = _place(draw, len(found))
            found[at : at + length], found[other : other + length] = (
                found[other : other + length],
                found[at : at + length],
            )
        elif draw.random() < 0.3:
            del found[at:]
    return bytes(found)


def _place(draw: random.Random, size: int) -> int:
    near = min(size, 400)
    return draw.choice((draw.randrange(size), draw.randrange(near), size - 1 - draw.randrange(near)))
