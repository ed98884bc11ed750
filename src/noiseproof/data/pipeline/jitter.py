"""Random brightness, contrast, saturation and hue of whole batches, on any device."""

from __future__ import annotations

from itertools import permutations, product

import torch

__all__ = ["brightness", "contrast", "hue", "jitter", "saturation"]

_ORDERS = torch.tensor(list(permutations(range(4))), device="cpu")


def jitter(images: torch.Tensor, draws: torch.Tensor, strengths: tuple[float, float, float, float]) -> torch.Tensor:
    """Change the colours of each image by amounts and in an order of its own.

    Args:
        images: uint8 (N, 3, H, W).
        draws: (N, 5) in [0, 1): four amounts and the order.
        strengths: of brightness, contrast and saturation: factors from 1 - s to 1 + s; of hue: turns from -s to s.

    Returns:
        float32 from 0 to 255.

    Source: torchvision's ColorJitter, here without rounding between the steps.
    """
    batch = images.float() / 255
    low = batch.new_tensor([max(0.0, 1 - s) for s in strengths[:3]] + [-strengths[3]])
    high = batch.new_tensor([1 + s for s in strengths[:3]] + [strengths[3]])
    amounts = (low + (high - low) * draws[:, :4]).float()
    orders = _ORDERS.to(batch.device)[(draws[:, 4] * len(_ORDERS)).long()]
    changes = (brightness, contrast, saturation, hue)
    if batch.device.type == "cpu":  # image by image: each stays in the processor's cache
        for i, order in enumerate(orders.tolist()):
            image = batch[i : i + 1]
            for number in order:
                image = changes[number](image, amounts[i : i + 1, number]) if strengths[number] else image
            batch[i] = image[0]
    else:
        for place, number in product(range(4), range(4)):
            if strengths[number]:
                mine = (orders[:, place] == number).nonzero()[:, 0]
                batch[mine] = changes[number](batch[mine], amounts[mine, number])
    return batch.mul_(255)


def brightness(batch: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Mix with black."""
    return (batch * _each(factor)).clamp(0, 1)


def contrast(batch: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Mix with the image's mean grey."""
    return _mix(batch, _grey(batch).mean((1, 2, 3), keepdim=True), factor)


def saturation(batch: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    """Mix with the grey image."""
    return _mix(batch, _grey(batch), factor)


def hue(batch: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Turn the colour circle; a turn of 1 is all the way round."""
    red, green, blue = batch.unbind(1)
    top, bottom = batch.amax(1), batch.amin(1)
    spread = top - bottom
    # The angle in sixths of the circle, from red; of a grey it may be anything, as long as it is a number.
    per_spread = 1 / torch.where(spread == 0, 1, spread)
    beside_green, beside_blue = (blue - red) * per_spread + 2, (red - green) * per_spread + 4
    angle = torch.where(green == top, beside_green, beside_blue)
    angle = torch.where(red == top, (green - blue) * per_spread, angle)
    angle += 6 * turn[:, None, None]
    angle -= 6 * (angle / 6).floor()
    # Each channel is a plateau with a slope on both sides: red around 0, green around 2, blue around 4.
    shares = ((angle - 3).abs() - 1, 2 - (angle - 2).abs(), 2 - (angle - 4).abs())
    return torch.stack([bottom + spread * share.clamp_(0, 1) for share in shares], 1)


def _grey(batch: torch.Tensor) -> torch.Tensor:
    weights = batch.new_tensor([0.2989, 0.587, 0.114])
    return (batch * weights[:, None, None]).sum(1, keepdim=True)


def _mix(batch: torch.Tensor, other: torch.Tensor, factor: torch.Tensor) -> torch.Tensor:
    share = _each(factor)
    return (batch * share + other * (1 - share)).clamp(0, 1)


def _each(factor: torch.Tensor) -> torch.Tensor:
    return factor[:, None, None, None]
