"""Tolerance of a loss to a transition matrix, class by class, and what would establish it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from noiseproof import losses
from noiseproof.losses import Loss
from noiseproof.theory.amse import SmallestA, smallest_a
from noiseproof.theory.asymmetry import Asymmetry, is_asymmetric
from noiseproof.theory.risk import HasPerClass, per_class_of, points
from noiseproof.transition_matrix import transition_matrix

__all__ = ["ClassTolerance", "Tolerance", "tolerance"]


@dataclass(frozen=True)
class ClassTolerance:
    """One row of a transition matrix; true or false as `holds`."""

    label: int
    holds: bool
    """True if the noisy risk of a sample of this class is lowest at this class."""
    margin: float
    """T[label, label] minus the largest other entry; not positive: the clean label does not dominate."""
    rival: int
    """The likeliest wrong label."""
    smallest_a: SmallestA
    """The smallest a of AMSE (with the loss's own q, else 2) for this row."""
    verdict: Asymmetry

    def __bool__(self) -> bool:
        return self.holds


@dataclass(frozen=True)
class Tolerance:
    """A loss against a transition matrix; true if every class holds."""

    loss: str
    classes: tuple[ClassTolerance, ...]

    @property
    def holds(self) -> bool:
        """True if every class holds."""
        return all(one.holds for one in self.classes)

    @property
    def margin(self) -> float:
        """The smallest margin of a class, T[i, i] minus the largest other entry."""
        return min(one.margin for one in self.classes)

    @property
    def smallest_a(self) -> SmallestA:
        """The smallest a of AMSE that serves every class."""
        return max(one.smallest_a for one in self.classes)

    def __bool__(self) -> bool:
        return self.holds

    def __str__(self) -> str:
        failing = [one for one in self.classes if not one]
        hardest = min(self.classes, key=lambda one: one.margin)
        count = len(self.classes)
        lines = [
            f"{self.loss}: {'tolerates' if not failing else 'does not tolerate'} this noise"
            + ("" if not failing else f" for {len(failing)} of {count} classes"),
            f"hardest class {hardest.label}: its label is {hardest.margin:.4g} likelier than {hardest.rival}",
            f"AMSE needs {self.smallest_a}" if math.isfinite(self.smallest_a) else f"AMSE: {self.smallest_a}",
        ]
        example = failing[0] if failing else hardest
        lines += [f"class {example.label}", *(f"  {line}" for line in str(example.verdict).splitlines())]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, strings and lists; what is infinite is None."""
        return {
            "loss": self.loss,
            "tolerates": self.holds,
            "margin": self.margin,
            "smallest_a": _finite(self.smallest_a),
            "classes": [
                {
                    "class": one.label,
                    "tolerates": one.holds,
                    "margin": one.margin,
                    "rival": one.rival,
                    "smallest_a": _finite(one.smallest_a),
                    "slope": _finite(one.verdict.margin),
                    "gap": _finite(one.verdict.gap),
                    "minimiser": list(one.verdict.minimiser),
                    "unique": one.verdict.unique,
                    "certificate": one.verdict.certificate,
                    "notes": list(one.verdict.notes),
                }
                for one in self.classes
            ],
        }


def _finite(number: float) -> float | None:
    return float(number) if math.isfinite(number) else None


def tolerance(
    loss: HasPerClass | str, transition: npt.NDArray[np.floating] | torch.Tensor | Sequence[Sequence[float]]
) -> Tolerance:
    """For each clean class: is the noisy risk least at that class, with what margin, and from which a on?

    What holds for the row of a transition matrix holds for every sample of the class only if the noise does not
    depend on the sample; for instance-dependent noise it is a statement about the average.

    Args:
        loss: a loss, a loss text, or any object with `per_class`.
        transition: (K, K), T[i, j] = P(given j | clean i), rows add up to 1.

    Example:
        >>> import numpy as np
        >>> noise = np.full((3, 3), 0.2) + 0.4 * np.eye(3)
        >>> answer = tolerance("amse(a=2)", noise)
        >>> bool(answer), round(answer.smallest_a, 3)                 # 1 / (0.6 - 0.2)
        (False, 2.5)
        >>> bool(tolerance("amse(a=3)", noise))
        True
    """
    matrix = transition_matrix(transition)
    if isinstance(loss, str):
        loss = losses.parse(loss)
    terms = [term for _, term in loss.terms()] if isinstance(loss, Loss) else []
    q = next((float(vars(term)["q"]) for term in terms if getattr(term, "name", "") == "amse"), 2.0)
    alike = _classes_are_alike(loss, len(matrix))
    known: dict[bytes, Asymmetry] = {}
    rows = []
    for label, row in enumerate(matrix):
        others = np.delete(row, label)
        rival = int(np.argmax(np.where(np.arange(len(row)) == label, -np.inf, row)))
        margin = float(row[label] - others.max())
        if margin <= 1e-12:
            verdict = Asymmetry(
                False,
                label,
                0.0,
                tuple(row.tolist()),
                0.0,
                False,
                "the clean label does not dominate",
                (f"label {rival} is given to this class at least as often as its own",),
            )
        else:
            verdict = _verdict(loss, row, label, known) if alike else is_asymmetric(loss, row)
        least = smallest_a(row, q) if margin > 1e-12 else SmallestA(math.inf, q, margin)
        rows.append(ClassTolerance(label, verdict.holds, margin, rival, least, verdict))
    name = str(loss) if isinstance(loss, Loss) else type(loss).__name__
    return Tolerance(name, tuple(rows))


def _verdict(loss: HasPerClass, row: npt.NDArray[np.float64], label: int, known: dict[bytes, Asymmetry]) -> Asymmetry:
    """`is_asymmetric`, asked once for all rows that hold the same numbers in another order."""
    order = np.concatenate([[label], np.delete(np.arange(len(row)), label)[np.argsort(-np.delete(row, label))]])
    key = row[order].round(12).tobytes()
    if key not in known:
        known[key] = is_asymmetric(loss, row[order])
    found = known[key]
    back = np.empty(len(row))
    back[order] = found.minimiser
    certificate = found.certificate.replace("e_0", f"e_{label}")
    towards = found.certificate.rpartition("towards e_")[2]
    if towards.isdigit():
        certificate = f"the risk falls from e_{label} towards e_{order[int(towards)]}"
    return Asymmetry(
        found.holds, label, found.margin, tuple(back.tolist()), found.gap, found.unique, certificate, found.notes
    )


def _classes_are_alike(loss: HasPerClass, classes: int) -> bool:
    z = points(8, classes, "theory/alike")
    per_class = per_class_of(loss)
    return torch.allclose(per_class(z.flip(1)), per_class(z).flip(1), rtol=1e-9, atol=1e-12)
