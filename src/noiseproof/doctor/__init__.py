"""How noisy is my data, which labels are suspect, which method fits."""

from noiseproof.doctor.issues import ClassFinding as ClassFinding
from noiseproof.doctor.issues import LabelIssues as LabelIssues
from noiseproof.doctor.issues import find_label_issues as find_label_issues


def __getattr__(name: str) -> object:
    """`diagnose`, `Diagnosis` and `cross_fit` train networks: loaded when they are asked for."""
    if name in ("Diagnosis", "diagnose"):
        from noiseproof.doctor import diagnosis

        return getattr(diagnosis, name)
    if name == "cross_fit":
        from noiseproof.doctor.crossfit import cross_fit

        return cross_fit
    raise AttributeError(f"module 'noiseproof.doctor' has no attribute {name!r}")
