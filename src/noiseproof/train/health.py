"""Health of a training: the share of labels that were fitted, memorised, or without any gradient.

A robust loss pays for its robustness with gradients that vanish on samples it finds implausible. On wrong labels that
is the point; on right ones it is underfitting, and nothing in the loss curve tells the two apart. This does.

Every run's record has it. In a loop of your own, `watch(loss)` collects what the loss is given.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from noiseproof.losses import LOSSES, Loss

__all__ = ["LIMIT", "Watched", "gradients", "health", "non_finite", "watch"]

LIMIT = 20_000  # samples that are looked at, evenly spread over the set

_NUMBERS = 1 << 24  # logits that `watch` holds at most: 64 MB
_NOTHING = 0.01  # of the gradient at even scores: below this a sample no longer moves anything


def gradients(loss: Loss, scores: Tensor, given: Tensor) -> Tensor:
    """The norm of each sample's gradient on its scores, as a share of the norm at even scores, (N,)."""
    with torch.enable_grad():
        leaf = scores.detach().float().requires_grad_()
        even = torch.zeros_like(leaf[:1], requires_grad=True)
        ours, theirs = torch.autograd.grad(len(leaf) * loss(leaf, given) + loss(even, given[:1]), (leaf, even))
    share: Tensor = ours.norm(dim=1) / theirs.norm()
    return share


def health(loss: Loss, scores: Tensor, given: Tensor, clean: Tensor | None) -> dict[str, Any]:
    """Shares, from 0 to 1, of the training samples, and a sentence if something is wrong.

    Args:
        loss: what was trained.
        scores: of the trained network on the training samples, not augmented.
        given: the labels it was trained on.
        clean: the true labels where they are known; they are looked at here only, after training.

    Returns:
        `fitted`: the given label is predicted; `no_gradient`: nothing pulls any more (fitted well, or given up);
        `stuck`: another label is predicted and nothing pulls. With true labels also `clean_fitted` and `clean_stuck`
        among right labels, `flipped_memorised` (the wrong given label is predicted) and `flipped_corrected` (the true
        one is) among wrong labels. `advice`: a sentence, or "". Where numbers are not finite, `non_finite` says which,
        and nothing else can be said.
    """
    if broken := non_finite(loss, scores, given):
        named = " and ".join(broken)
        return {"non_finite": broken, "advice": f"diverged: {named} not finite; try a smaller train.lr"}
    predicted, pull = scores.argmax(1), gradients(loss, scores, given)
    fitted, still = predicted == given, pull < _NOTHING
    found: dict[str, Any] = {
        "fitted": _share(fitted),
        "no_gradient": _share(still),
        "stuck": _share(still & ~fitted),
    }
    if clean is not None:
        flipped = given != clean
        found["clean_fitted"] = _share(fitted[~flipped])
        found["clean_stuck"] = _share((still & ~fitted)[~flipped])
        if flipped.any():
            found["flipped_memorised"] = _share(fitted[flipped])
            found["flipped_corrected"] = _share((predicted == clean)[flipped])
    found["advice"] = _advice(found, loss)
    return found


def non_finite(loss: Loss, scores: Tensor, given: Tensor) -> list[str]:
    """Infinite or undefined values: the scores, or else each term of the loss whose values or slopes are.

    Example:
        >>> from noiseproof import losses
        >>> non_finite(losses.parse("nce + mae"), torch.tensor([[0.0, float("nan")]]), torch.tensor([0]))
        ['scores']
    """
    if not scores.isfinite().all():
        return ["scores"]
    found = []
    for _, term in loss.terms():
        with torch.enable_grad():
            leaf = scores.detach().float().requires_grad_()
            value = term(leaf, given)
            (slope,) = torch.autograd.grad(value.sum(), leaf)
        if not (value.isfinite().all() and slope.isfinite().all()):
            found.append(str(term))
    return found


class Watched:
    """The latest logits and labels that a loss was given, at most 20,000 samples or 64 MB, and what they say."""

    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self._seen: deque[tuple[Tensor, Tensor]] = deque()
        self._count = self._soft = 0

    def keep(self, logits: Tensor, given: Tensor) -> None:
        """Remember a batch: logits (N, K) with labels (N,), or dense ones; soft labels are passed over.

        Of a batch with more samples than are held an evenly spread part is kept.
        """
        if given.is_floating_point():
            self._soft += 1
            return
        logits = logits.detach().movedim(1, -1).flatten(0, -2) if logits.dim() > 1 else logits.detach()[None]
        given = given.detach().flatten()
        limit = max(1, min(LIMIT, _NUMBERS // logits.shape[1]))
        rows = (given != self.loss.ignore_index).nonzero().flatten()
        rows = rows[:: max(1, -(-len(rows) // limit))]
        self._seen.append((logits[rows].float(), given[rows].long()))
        self._count += len(rows)
        while self._count - len(self._seen[0][1]) >= limit:
            self._count -= len(self._seen.popleft()[1])

    def report(self, clean: Tensor | None = None) -> dict[str, Any]:
        """`health` of the latest samples; `clean` are their true labels, where they are known.

        Where nothing was seen, `advice` says so and what to look for.
        """
        if not self._count:
            return {"advice": _unseen(self._soft)}
        logits, given = (torch.cat(parts) for parts in zip(*self._seen, strict=True))
        return health(self.loss, logits, given, clean)


def _unseen(soft: int) -> str:
    if soft:
        return f"saw nothing: all {soft} batches had soft labels, whose health is not defined"
    return "saw nothing: this loss object was never called; watch the one that the training calls, not a copy of it"


@contextmanager
def watch(loss: Loss) -> Iterator[Watched]:
    """Collect what a loss is given while something trains with it, whoever calls it.

    Example:
        >>> from noiseproof import losses
        >>> loss = losses.parse("nce + amse(a=30)")
        >>> with watch(loss) as seen:
        ...     value = loss(torch.tensor([[9.0, 0.0], [9.0, 0.0]]), torch.tensor([0, 0]))
        >>> seen.report()["fitted"]
        1.0
    """
    seen = Watched(loss)
    handle = loss.register_forward_hook(lambda module, given, value: seen.keep(*given[:2]))
    try:
        yield seen
    finally:
        handle.remove()


def _share(which: Tensor) -> float:
    return which.double().mean().item() if len(which) else 0.0


def _advice(found: dict[str, Any], loss: Loss) -> str:
    # Among right labels being stuck is always a loss; without the truth more than half of all samples has to be.
    lost, limit, of = (
        (found["clean_stuck"], 0.1, "the rightly labelled samples")
        if "clean_stuck" in found
        else (found["stuck"], 0.5, "the samples")
    )
    if lost > limit:
        return f"underfits: {lost:.0%} of {of} are not fitted and pull no more; {_remedy(loss)}"
    if found.get("flipped_memorised", 0.0) > 0.5:
        return (
            f"memorises: {found['flipped_memorised']:.0%} of the wrong labels are predicted as given; use a robust loss"
        )
    return ""


def _remedy(loss: Loss) -> str:
    """Remedy for this loss: more of its active part, or a smaller a of its asymmetric one."""
    terms = [term for _, term in loss.terms() if hasattr(type(term), "name")]
    active = [term.name for term in terms if LOSSES[term.name].claims.get("active")]
    with_a = [term.name for term in terms if hasattr(term, "a")]
    remedies = [f"raise alpha, the factor of {active[0]}"] if len(terms) > 1 and active else []
    remedies += [f"lower a of {with_a[0]}"] if with_a else []
    return " or ".join(remedies) or f"add an active loss, such as 5*nce + {loss}"
