"""Checks of labels and probabilities that a user brings, in blocks of rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from noiseproof.doctor.probabilities import Labels, blocks, row_sums
from noiseproof.errors import InputError

__all__ = ["checked"]


def checked(given: Any, pred_probs: Any) -> tuple[Labels, npt.NDArray[Any]]:
    """Labels as int64 and probabilities as they are, if they fit together.

    Raises:
        InputError: they do not; the message names the first row at fault.
    """
    labels, p = _array("given", given), _array("pred_probs", pred_probs)
    if p.ndim != 2 or p.shape[1] < 2:
        raise InputError(f"pred_probs must be (N, K) with K >= 2 classes, got shape {p.shape}")
    if labels.ndim != 1:
        hint = " (one-hot? use given.argmax(1))" if labels.shape == p.shape else ""
        raise InputError(f"given must be (N,) labels, got shape {labels.shape}{hint}")
    if len(labels) != len(p):
        raise InputError(f"given has {len(labels)} labels, pred_probs has {len(p)} rows; they must be as many")
    if not len(labels):
        raise InputError("there is nothing to judge: given and pred_probs are empty")
    classes = p.shape[1]
    if not _whole(labels):
        raise InputError(f"given must be whole numbers from 0 to {classes - 1}, got {labels[:3].tolist()}, ...")
    outside = (labels < 0) | (labels >= classes)
    if outside.any():
        raise InputError(
            f"given must lie in 0..{classes - 1}, the columns of pred_probs; got {labels[outside][0]} in row "
            f"{int(outside.argmax())} ({int(outside.sum())} such)"
        )
    if p.dtype.kind not in "fiub":
        raise InputError(f"pred_probs must be numbers, got {p.dtype}")
    return labels.astype(np.int64), _normalised(p)


def _normalised(p: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array itself, if its rows add up to 1 within rounding; a float32 copy where they have to be rescaled."""
    tolerance = 1e-3 if p.dtype.itemsize > 2 else 1e-2
    exact = True
    for rows, part in blocks(p):
        sums = row_sums(part)
        if not np.isfinite(sums).all():
            bad = ~np.isfinite(part).all(1)
            row = rows.start + int(bad.argmax())
            raise InputError(
                f"pred_probs must be finite; row {row} is not ({int(bad.sum())} such among its neighbours)"
            )
        low, high = float(part.min()), float(part.max())
        if low < -1e-6 or high > 1 + 1e-2:
            raise InputError(f"pred_probs must lie in [0, 1], got {low:.4g} to {high:.4g} (scores? use softmax first)")
        off = np.abs(sums - 1)
        worst = int(off.argmax())
        if off[worst] > 1e-2 + tolerance:
            raise InputError(
                f"each row of pred_probs must add up to 1; row {rows.start + worst} adds up to {sums[worst]:.6g}"
            )
        exact = exact and off[worst] <= tolerance and low >= 0
    if exact:
        return p
    found = np.clip(p, 0, 1, dtype=np.float32)
    found /= found.sum(1, keepdims=True)
    return np.asarray(found)


def _array(name: str, values: Any) -> npt.NDArray[Any]:
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = (values.float() if values.dtype == torch.bfloat16 else values).numpy()
    try:
        return np.asarray(values)
    except ValueError:
        raise InputError(f"{name} must be a rectangular array of numbers") from None


def _whole(labels: npt.NDArray[Any]) -> bool:
    if labels.dtype.kind in "iub":
        return True
    return labels.dtype.kind == "f" and bool((np.isfinite(labels) & (labels == np.floor(labels))).all())
