"""The seam of an augmentation: a random change of training samples, `extra = ["cutout(size=8)"]` in a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from noiseproof.registry import Registry

if TYPE_CHECKING:  # commands that need no torch list what there is
    from torch import Tensor

__all__ = ["AUGMENTATIONS", "Augmentation"]


class Augmentation:
    """A random change of training samples; evaluation never sees it.

    Subclasses take their parameters in `__init__`, keep them under the same names, and define `change`. All randomness
    comes from the numbers that `change` is given: those of a sample depend on seed, epoch and sample alone, so a run
    repeats, resumes and is shared by several processes bit for bit.

    Example:
        >>> import torch
        >>> @AUGMENTATIONS.register("brighter")
        ... class Brighter(Augmentation):
        ...     '''Pictures made brighter by up to `most`.'''
        ...     def __init__(self, most: float = 0.2):
        ...         self.most = most
        ...     def change(self, inputs, u):
        ...         return (inputs + self.most * u[:, :1, None, None]).clamp(0, 1)
        >>> changed = AUGMENTATIONS.build("brighter(0.5)").change(torch.zeros(2, 3, 1, 1), torch.tensor([[0.2], [0.8]]))
        >>> changed[:, 0].flatten().tolist()
        [0.1000..., 0.4000...]
    """

    name: ClassVar[str]

    def draws(self, shape: tuple[int, ...]) -> int:
        """Number of random numbers that a sample of this shape needs; one unless it says otherwise."""
        return 1

    def change(self, inputs: Tensor, u: Tensor) -> Tensor:
        """The samples, changed.

        Args:
            inputs: float32 (B, ...): pictures (B, C, H, W) of pixels from 0 to 1, before the recipe's mean and std are
                taken off; or vectors (B, D), after. They may be changed in place.
            u: (B, draws) random numbers in [0, 1), float32 on the same device.

        Returns:
            float32 of the same shape.
        """
        raise NotImplementedError(f"{type(self).__name__} must define change(inputs, u) -> inputs")

    def __str__(self) -> str:
        return AUGMENTATIONS.write(self)


AUGMENTATIONS: Registry[Augmentation] = Registry("augmentation", "augmentations")
