"""Gate: compare a diagnosis with an earlier one, hold it against a limit, and say it as SARIF or annotations."""

from __future__ import annotations

from noiseproof.doctor.gate.before import Comparison, compare, read_baseline, suspects
from noiseproof.doctor.gate.github import github_annotations, write_summary
from noiseproof.doctor.gate.limit import Verdict, judge, share
from noiseproof.doctor.gate.sarif import sarif

__all__ = [
    "Comparison",
    "Verdict",
    "compare",
    "github_annotations",
    "judge",
    "read_baseline",
    "sarif",
    "share",
    "suspects",
    "write_summary",
]
