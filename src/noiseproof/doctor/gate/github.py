"""Suspect labels as annotations of GitHub Actions: the ten that are shown, the rest in the step's summary."""

from __future__ import annotations

from pathlib import Path

from noiseproof.doctor.diagnosis import Diagnosis
from noiseproof.doctor.gate.before import Comparison, Suspect, suspects
from noiseproof.doctor.gate.limit import Verdict
from noiseproof.doctor.gate.sarif import location
from noiseproof.escaping import markdown
from noiseproof.storage import files

__all__ = ["github_annotations", "summary", "write_summary"]

_SHOWN = 10  # annotations of one kind that GitHub shows of a step; more would be dropped unsaid
_LISTED = 1_000


def github_annotations(diagnosis: Diagnosis, comparison: Comparison | None, verdict: Verdict) -> list[str]:
    """The workflow commands: new suspects first where there is a baseline, and an error for each failed limit."""
    chosen = list(comparison.new) if comparison is not None else suspects(diagnosis)
    base = Path.cwd()
    lines = [_command(diagnosis, one, base) for one in chosen[:_SHOWN]]
    if len(chosen) > _SHOWN:
        lines.append(f"{len(chosen) - _SHOWN:,} more suspect labels are in the step's summary")
    return [*lines, *(f"::error title=noiseproof::{_escaped(reason)}" for reason in verdict.reasons[:_SHOWN])]


def summary(diagnosis: Diagnosis, comparison: Comparison | None, verdict: Verdict) -> str:
    """The step's summary in Markdown, for the file that $GITHUB_STEP_SUMMARY names."""
    chosen = list(comparison.new) if comparison is not None else suspects(diagnosis)
    what = "New suspect labels" if comparison is not None else "Suspect labels"
    low, high = diagnosis.rate_interval
    lines = [
        f"## Labels of {markdown(diagnosis.data)}: {'passed' if verdict else 'failed'}",
        "",
        f"Estimated share of wrong labels: {diagnosis.rate:.1%} ({low:.1%} to {high:.1%}).",
        *(markdown(reason, None) for reason in verdict.reasons),
        "",
        f"{what}: {len(chosen):,}",
        "",
        "| sample | given | likely | suspicion |",
        "|---|---|---|---:|",
        *(
            f"| {markdown(next(iter(one.key.values())))} | {markdown(one.given)} | {markdown(one.likely)} "
            f"| {one.suspicion:.2f} |"
            for one in chosen[:_LISTED]
        ),
    ]
    if len(chosen) > _LISTED:
        lines.append(f"\n{len(chosen) - _LISTED:,} more are in the diagnosis.")
    return "\n".join(lines) + "\n"


def _command(diagnosis: Diagnosis, one: Suspect, base: Path) -> str:
    uri, line = location(diagnosis, one, base)
    text = f"label {one.given!r} is suspect ({one.suspicion:.2f}), more likely {one.likely!r}"
    return f"::warning file={_property(uri)},line={line},title=suspect label::{_escaped(text)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def write_summary(place: str, diagnosis: Diagnosis, comparison: Comparison | None, verdict: Verdict) -> None:
    """Add the summary to the step's file, behind what other commands wrote there."""
    path = Path(place)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    files.write_atomic(path, before + summary(diagnosis, comparison, verdict))
