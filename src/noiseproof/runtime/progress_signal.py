"""Signs of progress from a long computation to whoever waits for it.

`beat` is called where work is done (after every batch), not from a thread beside it, so that a computation that
hangs falls silent.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["beat", "heard_by"]

_EVERY = 1.0  # seconds between two signs that are passed on
_listener: Callable[[], object] | None = None
_last = 0.0


def beat() -> None:
    """Say that the work has moved; cheap enough for an inner loop."""
    global _last
    if _listener is not None and (now := time.monotonic()) - _last >= _EVERY:
        _last = now
        _listener()


@contextmanager
def heard_by(listener: Callable[[], object]) -> Iterator[None]:
    """Pass the signs of this process on to `listener`, at most one a second.

    Example:
        >>> heard = []
        >>> with heard_by(lambda: heard.append("moved")):
        ...     beat(), beat()
        (None, None)
        >>> heard
        ['moved']
    """
    global _listener, _last
    before, _listener, _last = _listener, listener, 0.0
    try:
        yield
    finally:
        _listener = before
