"""Counts, times and sizes as a person says them."""

from __future__ import annotations

__all__ = ["byte_text", "counted", "duration"]


def counted(count: int, what: str) -> str:
    """A number of things.

    Example:
        >>> counted(1, "seed"), counted(3, "seed")
        ('1 seed', '3 seeds')
    """
    return f"{count} {what}{'' if count == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time that a person can take in: the first two units that matter.

    Example:
        >>> [duration(s) for s in (0.42, 42, 75, 4200, 420000)]
        ['0.4 s', '42 s', '1 min 15 s', '1 h 10 min', '4 d 20 h']
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    for size, word, inner, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if seconds >= size:
            whole, rest = divmod(round(seconds), size)
            return f"{whole} {word}" + (f" {rest // inner} {small}" if rest // inner else "")
    return f"{seconds:.0f} s"


def byte_text(count: int) -> str:
    """A number of bytes in the largest unit that leaves at least one.

    Example:
        >>> byte_text(5), byte_text(2048), byte_text(3 << 20), byte_text(5 << 40)
        ('5 bytes', '2.0 KiB', '3.0 MiB', '5120.0 GiB')
    """
    size, units = float(count), iter(["bytes", "KiB", "MiB", "GiB"])
    unit = next(units)
    while size >= 1024 and unit != "GiB":
        size, unit = size / 1024, next(units)
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
