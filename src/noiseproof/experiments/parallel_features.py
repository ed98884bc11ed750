"""Extraction of features by an executor: one part a slot; a part whose worker is lost goes on where it was."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from noiseproof.errors import MachineError
from noiseproof.experiments.executors.base import Call, Finished, Lost, Pool, Raised

if TYPE_CHECKING:
    from noiseproof.features import Extracted

__all__ = ["all_parts"]

_ATTEMPTS = 5


def all_parts(pool: Pool, call_of: Callable[[tuple[int, int]], Call]) -> list[Extracted]:
    """Every part of the work, one for each slot of the pool.

    Args:
        pool: of local processes or Ray tasks; stays open.
        call_of: the call that computes part (I, N).

    Raises:
        MachineError: the workers of a part were lost five times.
    """
    calls = {number: call_of((number, pool.slots)) for number in range(1, pool.slots + 1)}
    part_of: dict[int, int] = {}  # by ticket
    attempts = dict.fromkeys(calls, 0)
    done: dict[int, Extracted] = {}

    def begin(number: int) -> None:
        attempts[number] += 1
        ticket = len(part_of)
        part_of[ticket] = number
        pool.start(ticket, calls[number])

    for number in calls:
        begin(number)
    while len(done) < len(calls):
        for event in pool.events(5.0):
            number = part_of[event.ticket]
            if isinstance(event, Finished):
                done[number] = event.value
            elif isinstance(event, Raised):
                raise event.error
            elif isinstance(event, Lost):
                if attempts[number] == _ATTEMPTS:
                    raise MachineError(f"part {number} of {len(calls)} lost its worker {_ATTEMPTS} times ({event.why})")
                begin(number)
    return [done[number] for number in calls]
