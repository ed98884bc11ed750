"""How a trained network stands to its training set: what it fitted, what it memorised, where it stopped learning.

A robust loss pays for its robustness with gradients that vanish on samples it finds implausible. On wrong labels that
is the point; on right ones it is underfitting, and nothing in the loss curve tells the two apart. This does.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from noiseproof.losses import LOSSES, Loss

__all__ = ["LIMIT", "gradients", "health"]

LIMIT = 20_000  # samples that are looked at, evenly spread over the set

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
        one is) among wrong labels. `advice`: a sentence, or "".
    """
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
    """What to change in this loss: more of its active part, or a smaller a of its asymmetric one."""
    terms = [term for _, term in loss.terms() if hasattr(type(term), "name")]
    active = [term.name for term in terms if LOSSES[term.name].claims.get("active")]
    with_a = [term.name for term in terms if hasattr(term, "a")]
    remedies = [f"raise alpha, the factor of {active[0]}"] if len(terms) > 1 and active else []
    remedies += [f"lower a of {with_a[0]}"] if with_a else []
    return " or ".join(remedies) or f"add an active loss, such as 5*nce + {loss}"
