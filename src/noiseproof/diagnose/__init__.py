"""How noisy is my data, which labels are suspect, which method fits."""

from noiseproof.diagnose.issues import ClassFinding as ClassFinding
from noiseproof.diagnose.issues import LabelIssues as LabelIssues
from noiseproof.diagnose.issues import find_label_issues as find_label_issues
