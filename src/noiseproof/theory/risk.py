"""The weighted risk of a loss over the simplex: values, slopes at a vertex, shape and lowest points.

F(u) = sum_k w_k L(u, k), evaluated in float64 through scores z = log u, so that probabilities of 1e-250 keep
their relative precision and the limit at a vertex can be seen.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from noiseproof import losses, rng
from noiseproof.errors import InputError

__all__ = ["APPROACH", "FAR", "HasPerClass", "Risk", "limit", "per_class_of", "points"]

FAR = 1e35  # minus this, as a score: a class that is gone even on a logarithmic scale

APPROACH = np.log(10) * np.array([-7.0, -8.0, -9.0, -12.0, -16.0, -20.0])  # log s on the way to a vertex


class HasPerClass(Protocol):
    """Any loss: ours, or an object of the user's own."""

    def per_class(self, logits: Tensor, /) -> Tensor:
        """(N, K) scores to the (N, K) losses of every possible label."""
        ...


def per_class_of(loss: HasPerClass | str) -> Callable[[Tensor], Tensor]:
    """`per_class` of a loss or a loss text, with the true derivative where a published code detaches a factor."""
    if isinstance(loss, str):
        loss = losses.parse(loss)
    if not callable(getattr(loss, "per_class", None)):
        raise InputError(f"a loss needs per_class(logits) -> (N, K), got {loss!r}")
    if isinstance(loss, nn.Module):
        loss = copy.deepcopy(loss)
        for part in loss.modules():
            if getattr(part, "detach", None) is True:
                vars(part)["detach"] = False
    target = loss

    def per_class(logits: Tensor) -> Tensor:
        values = target.per_class(logits)
        if values.shape != logits.shape:
            raise InputError(f"per_class must map (N, K) to (N, K), got {tuple(logits.shape)} to {tuple(values.shape)}")
        return values

    return per_class


def points(count: int, classes: int, purpose: str) -> Tensor:
    """Logarithms of `count` points of the simplex, from nearly uniform to nearly one-hot, (count, classes)."""
    random = np.random.Generator(np.random.Philox(key=rng.key(1, purpose, classes) & (2**64 - 1)))
    shapes = random.choice([0.02, 0.1, 0.3, 1.0, 3.0], size=(count, 1))
    # A Gamma(shape) variable in logarithms: Gamma(shape + 1) * U^(1/shape); small shapes underflow otherwise.
    logs = np.log(random.gamma(shapes + 1, size=(count, classes)))
    logs += np.log(random.random((count, classes)).clip(1e-300)) / shapes
    return torch.from_numpy(logs).clamp_min(-700.0).log_softmax(1)


class Risk:
    """F(u) = sum_k w_k L(u, k) of a loss, as a function of scores z (u = softmax(z))."""

    def __init__(self, loss: HasPerClass | str, weights: npt.NDArray[np.float64], clean: int | None = None) -> None:
        self.loss = losses.parse(loss) if isinstance(loss, str) else loss
        self.per_class = per_class_of(self.loss)
        self.weights = torch.from_numpy(weights)
        self.clean = int(weights.argmax()) if clean is None else clean
        self.classes = len(weights)

    def only_clean(self) -> Risk:
        """The same without the wrong classes: w_m L(u, m)."""
        part = copy.copy(self)
        part.weights = torch.zeros_like(self.weights)
        part.weights[self.clean] = self.weights[self.clean]
        return part

    def __call__(self, scores: Tensor) -> Tensor:
        values = self.per_class(scores) * self.weights
        return torch.where(self.weights > 0, values, 0.0).sum(1)

    def gradient(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """F and dF/dz at each row."""
        z = scores.clone().requires_grad_()
        with torch.enable_grad():
            value = self(z)
            (slope,) = torch.autograd.grad(value.sum(), z)
        return value.detach(), slope

    def depends_on_scores(self) -> bool:
        """True if adding a number to all logits changes the loss: then it is no function of the probabilities."""
        z = points(16, self.classes, "theory/shift")
        return not torch.allclose(self.per_class(z), self.per_class(z + 3.0), rtol=1e-9, atol=1e-9)

    # At the vertex e_m

    def at_vertex(self) -> tuple[float, bool]:
        """The least limit of F towards e_m, and whether every way there leads to it.

        NCE's limit depends on which class's probability vanishes fastest, so each class is tried as that one.
        """
        near, at = self(self._ways(-1e7)), self(self._ways(-1e14))
        if bool((at > 1e4 * near.abs().clamp_min(1.0)).any()):
            return float("inf"), True
        low, high = float(at.min()), float(at.max())
        return low, high - low <= 1e-9 * max(1.0, abs(low))

    def _ways(self, score: float) -> Tensor:
        """Scores close to e_m, one row a class that is far less likely than the others, and one row without any."""
        ways = self.weights.new_full((self.classes, self.classes), score)
        ways.fill_diagonal_(1e15 * score)
        ways[self.clean] = score
        ways[:, self.clean] = 0.0
        return ways

    def edge_slopes(self) -> tuple[Tensor, Tensor]:
        """dF along each edge from e_m towards e_j at e_m itself, (K,), inf at m; and how far off each may be.

        The other classes are gone even on a logarithmic scale, where NCE is constant along the edge. The terms of a
        sum are taken one by one, since NCE's slope between two classes vanishes like 1 / log s.
        """
        slopes = torch.full_like(self.weights, torch.inf)
        errors = torch.zeros_like(slopes)
        wrong = [j for j in range(self.classes) if j != self.clean]
        z = torch.cat([self.edge(j, APPROACH) for j in wrong])
        towards = torch.tensor(wrong, device="cpu").repeat_interleave(len(APPROACH))[:, None]
        slopes[wrong] = 0.0
        for part in self.terms():
            along = part.gradient(z)[1].gather(1, towards) / z.gather(1, towards).exp()
            for j, found in zip(wrong, along.view(-1, len(APPROACH)).tolist(), strict=True):
                slope, error = limit(found)
                slopes[j] += slope
                errors[j] = max(float(errors[j]), error)
        return slopes, errors

    def terms(self) -> list[Risk]:
        """The risks of the terms of a sum, each with its factor; of any other loss itself."""
        if not isinstance(self.loss, losses.WeightedSum):
            return [self]
        return [Risk(term, factor * self.weights.numpy(), self.clean) for factor, term in self.loss.terms()]

    def edge(self, j: int, log_shares: npt.NDArray[np.float64]) -> Tensor:
        """Scores of the points (1 - s) e_m + s e_j."""
        z = self.weights.new_full((len(log_shares), self.classes), -FAR)
        z[:, j] = torch.from_numpy(log_shares)
        z[:, self.clean] = torch.log(-torch.expm1(z[:, j]))
        return z

    # Everywhere

    def curvature(self) -> str:
        """ "linear", "convex", "concave" or "neither", judged on 2,048 random segments of the simplex."""
        ends, others = points(2048, self.classes, "theory/left"), points(2048, self.classes, "theory/right")
        share = torch.linspace(0.02, 0.98, len(ends), dtype=torch.float64, device="cpu")[:, None]
        between = torch.logaddexp(ends + share.log(), others + torch.log1p(-share))
        chord = share[:, 0] * self(ends) + (1 - share[:, 0]) * self(others)
        bend = (chord - self(between)) / chord.abs().clamp_min(1.0)
        convex, concave = bool((bend >= -1e-11).all()), bool((bend <= 1e-11).all())
        if convex:
            return "linear" if concave else "convex"
        return "concave" if concave else "neither"

    def starts(self) -> Tensor:
        """Starting points of the search: the even point, the weights, vertices, edges from m, random points."""
        count = max(8, min(64, 6400 // self.classes))
        near = self.weights.new_full((self.classes, self.classes), -7.0).fill_diagonal_(0.0)
        edges = near.clone()
        edges[:, self.clean] = 0.0
        special = torch.stack([torch.zeros_like(self.weights), self.weights.clamp_min(1e-30).log()])
        few = slice(0, count)
        return torch.cat([special, near[few], edges[few], points(count, self.classes, "theory/starts")]).log_softmax(1)

    def lowest(self, steps: int = 150) -> tuple[Tensor, Tensor]:
        """Scores and values that many descents end at; each also with one class sent away altogether."""
        z = self.starts()
        value, slope = self.gradient(z)
        step = torch.ones_like(value)[:, None]
        for _ in range(steps):
            # Mirror descent: z - step * dF/du, where dF/du = (dF/dz) / u up to a constant.
            move = (slope / z.exp()).nan_to_num(0.0) * step
            trial = (z - move.clamp(-3.0, 3.0)).log_softmax(1).clamp_min(-700.0)
            trial_value, trial_slope = self.gradient(trial)
            better = trial_value < value
            z, slope = torch.where(better[:, None], trial, z), torch.where(better[:, None], trial_slope, slope)
            value = torch.where(better, trial_value, value)
            step *= torch.where(better, 1.6, 0.4)[:, None]
            if float(step.max()) < 1e-10:
                break
        best = torch.cat([z[value.argsort()[:16]], self.starts()[:2]])
        lightest = self.weights.argsort()[:16]
        away = best.repeat_interleave(len(lightest), 0)
        away[torch.arange(len(away), device="cpu"), lightest.repeat(len(best))] = -FAR
        ends = torch.cat([z, away.log_softmax(1)])
        return ends, self(ends)

    def along_edge(self, j: int) -> Tensor:
        """Scores of the point where F stops falling on the edge from e_m to e_j, to the precision of log s."""
        low, high = -575.0, -1e-9  # log s
        for _ in range(80):
            middle = (low + high) / 2
            z = self.edge(j, np.array([middle]))
            low, high = (middle, high) if self.gradient(z)[1][0, j] < 0 else (low, middle)
        return z


def limit(slopes: list[float]) -> tuple[float, float]:
    """The limit of a slope taken at the shares of APPROACH, and its relative error.

    Near 1e-8 the differences grow for slopes such as s^(q-1) of GCE: infinite. Otherwise c + d s^p is extrapolated
    (Aitken), from the shares near 1e-16 where they agree with that trend, since s^(q-1) of AMSE with q near 1
    vanishes slowly; else from those near 1e-8: a loss written with expm1 has lost the derivative of p^q by then.
    """
    near, far = ([0.0 if abs(slope) < 1e-10 else slope for slope in part] for part in (slopes[:3], slopes[3:]))
    before, after = near[1] - near[0], near[2] - near[1]
    if before * after > 0 and abs(after) > 1.002 * abs(before) and abs(after) > 1e-6 * abs(near[2]):
        return float(np.copysign(np.inf, after)), 0.0
    if _vanishes_like_a_logarithm(near):
        return 0.0, 1e-9
    extrapolated, _ = _aitken(near)
    if np.isfinite(far).all() and abs(far[0] - near[2]) <= 3 * abs(extrapolated - near[2]) + 1e-9 * abs(near[2]):
        return _aitken(far)
    return extrapolated, 3e-8


def _vanishes_like_a_logarithm(slopes: list[float]) -> bool:
    """True if these are c (1/l + 1/l^2) with l = -log s, as NCE's between two classes: the derivative of s / l."""
    log_s = APPROACH[: len(slopes)]
    constants = np.array(slopes) * log_s / (1 / log_s - 1)
    return bool(np.isfinite(constants).all() and np.ptp(constants) <= 1e-6 * np.abs(constants).max() > 0)


def _aitken(values: list[float]) -> tuple[float, float]:
    """The limit of c + d r^i from three consecutive values, and its relative error."""
    before, after = values[1] - values[0], values[2] - values[1]
    if abs(after) <= 1e-13 * abs(values[2]) or abs(after) >= abs(before):
        return values[2], 1e-9
    ratio = after / before
    return values[2] + after * ratio / (1 - ratio), 1e-9 + 1e-12 / (1 - ratio) ** 2
