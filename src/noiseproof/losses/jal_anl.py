"""The losses of the JAL and ANL papers, with the papers' parameters for a number of classes; see `parse`."""

from __future__ import annotations

from typing import Unpack

from noiseproof.losses.base import Loss, Options, parse

__all__ = ["ANL_CE", "ANL_FL", "JAL_CE", "JAL_FL"]


def JAL_CE(num_classes: int, **options: Unpack[Options]) -> Loss:
    """Joint asymmetric loss: normalized cross-entropy and AMSE. Source: ICCV 2025 (arXiv:2507.17692).

    Example:
        >>> JAL_CE(num_classes=100)
        losses.parse('5*nce + amse(a=20)')
    """
    return parse("jal-ce", num_classes=num_classes, **options)


def JAL_FL(num_classes: int, **options: Unpack[Options]) -> Loss:
    """Joint asymmetric loss: normalized focal loss and AMSE. Source: ICCV 2025 (arXiv:2507.17692)."""
    return parse("jal-fl", num_classes=num_classes, **options)


def ANL_CE(num_classes: int, **options: Unpack[Options]) -> Loss:
    """Active negative loss: normalized cross-entropy and its mirror image. Source: Ye et al., NeurIPS 2023."""
    return parse("anl-ce", num_classes=num_classes, **options)


def ANL_FL(num_classes: int, **options: Unpack[Options]) -> Loss:
    """Active negative loss: normalized focal loss and its mirror image. Source: Ye et al., NeurIPS 2023."""
    return parse("anl-fl", num_classes=num_classes, **options)
