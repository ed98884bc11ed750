"""Diagnosis of noisy labels: suspect labels, noise rate and matrix, a method that fits."""

from noiseproof.doctor.issues import ClassFinding as ClassFinding
from noiseproof.doctor.issues import LabelIssues as LabelIssues
from noiseproof.doctor.issues import find_label_issues as find_label_issues


def __getattr__(name: str) -> object:
    """Names that import much, loaded on first use."""
    if name in ("Diagnosis", "diagnose"):
        from noiseproof.doctor import diagnosis

        return getattr(diagnosis, name)
    if name == "cross_fit":
        from noiseproof.doctor.judges.network import cross_fit

        return cross_fit
    raise AttributeError(f"module 'noiseproof.doctor' has no attribute {name!r}")
