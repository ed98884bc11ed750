"""Numbers of bytes in words."""

from __future__ import annotations

__all__ = ["byte_text"]


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
