"""Cleaning: from suspects to decisions, and from decisions to a new data set with a log that reverses it."""

from __future__ import annotations

from noiseproof.doctor.cleaning.apply import Cleaned, clean
from noiseproof.doctor.cleaning.decisions import Decision, merge, read_decisions, write_decisions
from noiseproof.doctor.cleaning.log import undo
from noiseproof.doctor.cleaning.rules import decide, read_issues

__all__ = [
    "Cleaned",
    "Decision",
    "clean",
    "decide",
    "merge",
    "read_decisions",
    "read_issues",
    "undo",
    "write_decisions",
]
