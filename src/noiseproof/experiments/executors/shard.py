"""A part of a grid, for several drivers that share one."""

from __future__ import annotations

import re
from typing import NamedTuple

from noiseproof.errors import InputError

__all__ = ["WHOLE", "Shard"]


class Shard(NamedTuple):
    """Part `number` of `of` of a grid, counted from 1; which runs it holds depends on their names alone."""

    number: int = 1
    of: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Read `I/N`.

        Raises:
            InputError: it is not that, or I is not one of 1 to N.

        Example:
            >>> Shard.parse("2/8")
            Shard(number=2, of=8)
        """
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        if match and 1 <= int(match[1]) <= int(match[2]):
            return cls(int(match[1]), int(match[2]))
        raise InputError(f"a shard is I/N with I from 1 to N, such as 2/8; got {text!r}")

    def holds(self, run_id: str) -> bool:
        """True if the run belongs to this part.

        Example:
            >>> [Shard(number, 3).holds("00" * 31 + "05") for number in (1, 2, 3)]
            [False, False, True]
        """
        return int(run_id, 16) % self.of == self.number - 1


WHOLE = Shard()
