"""How noisy is my data, which labels are suspect, which method fits."""

from noiseproof.diagnose.issues import ClassFinding as ClassFinding
from noiseproof.diagnose.issues import LabelIssues as LabelIssues
from noiseproof.diagnose.issues import find_label_issues as find_label_issues


def __getattr__(name: str) -> object:
    """`diagnose` and `Diagnosis` train networks: loaded when they are asked for."""
    if name in ("Diagnosis", "cross_fit", "diagnose"):
        from noiseproof.diagnose import crossfit, doctor

        return getattr(crossfit if name == "cross_fit" else doctor, name)
    raise AttributeError(f"module 'noiseproof.diagnose' has no attribute {name!r}")
