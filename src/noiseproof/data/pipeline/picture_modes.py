"""Pictures of any mode as RGB bytes, as a person sees them: 16 bits scaled to 8, transparency laid on white."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

__all__ = ["as_rgb", "upright"]


def as_rgb(image: Image.Image) -> Image.Image:
    """The picture as 8-bit RGB.

    Whole numbers of 16 or 32 bits are divided by 256 as often as it takes; floats are 0..1 or 0..255; what is
    transparent is white.

    Raises:
        ValueError: floats beyond 255 or below 0, whose black and white are unknown.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return Image.fromarray(_bytes(np.asarray(image)), "L").convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        whole = image.convert("RGBA")
        white = Image.new("RGBA", whole.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, whole).convert("RGB")
    return image.convert("RGB")


def upright(image: Image.Image) -> Image.Image:
    """The picture turned as its EXIF orientation says."""
    return ImageOps.exif_transpose(image) or image


def _bytes(pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype.kind == "f":
        low, high = float(np.nanmin(pixels)), float(np.nanmax(pixels))
        if not 0 <= low <= high <= 255 or np.isnan(pixels).any():
            raise ValueError(f"holds floats from {low:g} to {high:g}; save them as 8 or 16 bits")
        return (pixels * (255 if high <= 1 else 1)).round().astype(np.uint8)
    if pixels.size and int(pixels.min()) < 0:
        raise ValueError("holds negative numbers; save it as 8 or 16 bits")
    wide = pixels.dtype == np.int32 and pixels.size and int(pixels.max()) > 0xFFFF
    return (pixels.astype(np.int64) >> (24 if wide else 8)).astype(np.uint8)
