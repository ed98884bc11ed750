"""Is a loss asymmetric on given weights: does the noisy risk have its minimum at the clean class?"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from noiseproof import losses
from noiseproof.losses import Loss
from noiseproof.theory.amse import Weights, checked_weights, two_largest
from noiseproof.theory.kinds import is_symmetric
from noiseproof.theory.risk import HasPerClass, Risk, points

__all__ = ["Asymmetry", "is_asymmetric"]


@dataclass(frozen=True)
class Asymmetry:
    """The verdict about one loss on one vector of weights; true or false as `holds`."""

    holds: bool
    clean: int
    """The class of the largest weight."""
    margin: float
    """The least slope of the risk at e_clean towards another vertex: how much it rises per probability moved."""
    minimiser: tuple[float, ...]
    """The probabilities with the lowest risk found; e_clean where the condition holds."""
    gap: float
    """Risk at e_clean minus the lowest risk found; 0 where the condition holds (inf where e_clean costs infinity)."""
    unique: bool
    """True if no other point was found that is as low as e_clean."""
    certificate: str
    """Why the verdict is more than a search; "" where it is not."""
    notes: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return self.holds

    def __str__(self) -> str:
        if self.holds:
            lines = [
                "asymmetric here: the risk is lowest at the clean class"
                + ("" if self.unique else ", and just as low elsewhere"),
                f"slope away from it at least {self.margin:.4g}",
            ]
        else:
            heavy = sorted(range(len(self.minimiser)), key=lambda k: -self.minimiser[k])[:3]
            where = ", ".join(f"{self.minimiser[k]:.4g} on {k}" for k in heavy if self.minimiser[k] > 1e-12)
            lines = [
                f"not asymmetric here: the risk is lowest near {where}",
                f"{self.gap:.4g} below the clean class; least slope away from it {self.margin:.4g}",
            ]
        reason = f"because {self.certificate}" if self.certificate else "by search alone, without a certificate"
        return "\n".join([*lines, reason, *self.notes])


def is_asymmetric(loss: HasPerClass | str, weights: Weights) -> Asymmetry:
    r"""Does $\sum_k w_k L(u, k)$ have its minimum over the simplex at e_m, m the class of the largest weight?

    Three independent looks, each able to say no: the slopes along all edges at e_m (a violation that moves the
    minimiser by 1e-40 is seen there and nowhere else), descents from many starts, and points with one class gone
    altogether. A yes comes with a certificate where one exists: the risk is convex and no edge falls; it is concave
    and e_m is the lowest vertex; the loss is symmetric and the wrong classes weigh the same; or every term of a sum
    is asymmetric. Convexity is judged on 2,048 random segments, not proved.

    NCE and its relatives jump at the vertices: the limit depends on how u gets there. For them the question is
    whether the infimum is approached at e_m; `unique` is False when it is approached elsewhere too.

    Args:
        loss: a loss, a text such as "nce + amse(a=30)", or any object with `per_class`.
        weights: (K,) not negative, P(given label k | sample) or anything proportional.

    Example:
        >>> noisy = [0.6, 0.4, 0.0]
        >>> bool(is_asymmetric("mae", noisy)), bool(is_asymmetric("ce", noisy))
        (True, False)
        >>> [round(p, 3) for p in is_asymmetric("ce", noisy).minimiser]       # cross-entropy learns the noise
        [0.6, 0.4, 0.0]
    """
    w = checked_weights(weights)
    clean, w_m, w_n = two_largest(w)
    total = float(w.sum())
    if w_m <= w_n:
        even = tuple((w / total).tolist())
        return Asymmetry(False, clean, 0.0, even, 0.0, False, "", ("no single class has the largest weight",))
    if isinstance(loss, str):
        loss = losses.parse(loss)
    risk = Risk(loss, w / total)
    found = _over_scores(risk) if risk.depends_on_scores() else _over_simplex(loss, risk)
    return replace(found, margin=total * found.margin, gap=total * found.gap)


def _over_simplex(loss: HasPerClass, risk: Risk) -> Asymmetry:
    clean = risk.clean
    vertex, continuous = risk.at_vertex()
    slopes, errors = risk.edge_slopes()
    margin, towards = float(slopes.min()), int(slopes.argmin())
    falls = margin < -float(errors[towards]) * _size(risk.only_clean().edge_slopes()[0])
    ends, values = risk.lowest()
    lowest = float(values.min())
    allowed = 1e-9 * max(1.0, abs(min(vertex, lowest)))

    if falls or lowest < vertex - allowed:
        best, notes = ends[values.argmin()], []
        if lowest >= vertex - allowed:
            best = risk.along_edge(towards)[0]
            notes.append("the minimum leaves the vertex by less than the risk shows in float64; its slope shows it")
        gap = vertex - min(lowest, vertex)
        reason = f"the risk falls from e_{clean} towards e_{towards}" if falls else "a lower point was found"
        return Asymmetry(False, clean, margin, _probabilities(best), gap, False, reason, tuple(notes))

    elsewhere = bool(((values <= vertex + allowed) & (ends[:, clean].exp() < 0.99)).any())
    notes = []
    if not continuous:
        notes.append(
            "the loss jumps at the vertices; its infimum is approached where the least likely class fades first"
        )
    if elsewhere:
        notes.append(
            "the same infimum is approached away from the clean class too, so the risk alone does not lead there"
        )
    one_hot = tuple(float(k == clean) for k in range(risk.classes))
    reason = _certificate(loss, risk, vertex, continuous)
    return Asymmetry(True, clean, margin, one_hot, 0.0, not elsewhere, reason, tuple(notes))


def _size(slopes: torch.Tensor) -> float:
    """Scale of a slope: the clean class's part of it."""
    finite = slopes[slopes.isfinite()].abs()
    return float(finite.max()) if len(finite) else 1.0


def _certificate(loss: HasPerClass, risk: Risk, vertex: float, continuous: bool) -> str:
    if continuous:
        shape = risk.curvature()
        if shape in ("linear", "convex"):
            return f"the risk is {shape} and no edge falls from e_{risk.clean}"
        if shape == "concave":
            return f"the risk is concave and e_{risk.clean} is its lowest vertex"
    symmetric = is_symmetric(loss, risk.classes)
    wrong = torch.cat([risk.weights[: risk.clean], risk.weights[risk.clean + 1 :]])
    if symmetric and float(wrong.max() - wrong.min()) <= 1e-12 * float(risk.weights.max()):
        return "the loss is symmetric and the wrong classes weigh the same"
    if symmetric and vertex <= symmetric.constant * float(risk.weights.min()) + 1e-9:
        return "the losses of all labels add up to a constant, and the least likely label carries all of it"
    highest = float(risk.per_class(points(512, risk.classes, "theory/highest")).max())
    if symmetric and continuous and highest * (risk.classes - 1) <= symmetric.constant * (1 + 1e-9):
        return "the losses of all labels add up to a constant, and none is higher than a wrong label's at a vertex"
    terms = loss.terms() if isinstance(loss, Loss) else []
    if len(terms) > 1 and all(is_asymmetric(term, risk.weights) for _, term in terms):
        return "a sum of losses that are each asymmetric here"
    return ""


def _over_scores(risk: Risk) -> Asymmetry:
    """A loss of scores that are not log-probabilities: compare the noisy minimum with the clean minimiser's risk."""
    best, at_clean = _descend(risk), _descend(risk.only_clean())
    lowest, there = float(risk(best)), float(risk(at_clean))
    holds = there - lowest <= 1e-6 * max(1.0, abs(lowest))
    return Asymmetry(
        holds,
        risk.clean,
        float("nan"),
        _probabilities((at_clean if holds else best)[0].log_softmax(0)),
        0.0 if holds else there - lowest,
        True,
        "",
        ("the loss depends on the size of the scores, not on the probabilities alone: searched over scores",),
    )


def _descend(risk: Risk, steps: int = 200) -> torch.Tensor:
    starts = (
        2 * torch.cat([risk.starts()[: 2 + min(risk.classes, 8)], points(16, risk.classes, "theory/scores")]).exp() - 1
    )
    z = torch.cat([scale * starts for scale in (0.1, 1.0, 5.0, 20.0)])
    value, slope = risk.gradient(z)
    step = 0.1 / slope.abs().amax(1, keepdim=True).clamp_min(1e-300)  # so that a factor on the loss changes nothing
    for _ in range(steps):
        trial = z - (step * slope).clamp(-3.0, 3.0)
        trial_value, trial_slope = risk.gradient(trial)
        better = trial_value < value
        z, slope = torch.where(better[:, None], trial, z), torch.where(better[:, None], trial_slope, slope)
        value = torch.where(better, trial_value, value)
        step *= torch.where(better, 1.6, 0.4)[:, None]
    # Clipped scores may be as low as those within; the smallest say most.
    lowest = value.isclose(value.min(), rtol=1e-14, atol=0, equal_nan=True)
    return z[lowest][z[lowest].norm(dim=1).argmin()][None]


def _probabilities(scores: torch.Tensor) -> tuple[float, ...]:
    return tuple(scores.exp().tolist())
