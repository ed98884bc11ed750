"""Work in a child that may take so much memory and so many seconds, and no more; a crash or a hang is an answer too."""

from __future__ import annotations

import mmap
import os
import pickle
import resource
import signal
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

MEMORY = 1 << 30  # bytes on top of what this process takes
SECONDS = 10  # of CPU for one case, so that a busy machine makes no hang
WAIT = 300  # seconds for one case, for those that wait for ever


def in_a_child(work: Callable[..., Any], *args: object) -> Any:
    """What `work` returns when a fork of this process runs it; its failure is an AssertionError with its traceback."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            try:
                answer = (True, work(*args))
            except BaseException:
                answer = (False, traceback.format_exc())
            with open(writing, "wb") as pipe:
                pickle.dump(answer, pipe)
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        said = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if not said:
        raise AssertionError(f"the child ended with {f'signal {-code}' if code < 0 else f'code {code}'}")
    fine, answer = pickle.loads(said)
    assert fine, answer
    return answer


def each_within_limits(work: Callable[[Any], str], cases: Iterable[Any]) -> dict[str, int]:
    """How often each answer came when `work` was given each case, in a child with limits on memory and time.

    A crash, a hang or an exception is a failure that names the case.
    """
    last = mmap.mmap(-1, 200)  # shared with the child: the case that it works on

    def run() -> dict[str, int]:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        for late in (signal.SIGALRM, signal.SIGPROF):
            signal.signal(late, signal.SIG_DFL)
        found: dict[str, int] = {}
        for case in cases:
            last[:] = repr(case).encode()[:200].ljust(200)
            signal.setitimer(signal.ITIMER_PROF, SECONDS)
            signal.alarm(WAIT)
            answer = work(case)
            found[answer] = found.get(answer, 0) + 1
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        return found

    try:
        return in_a_child(run)
    except AssertionError as error:
        raise AssertionError(f"case {last[:].decode(errors='replace').strip()}: {error}") from None
