"""Segmentation with wrong labels: a small U-Net on digits whose masks often carry another digit's class.

    python docs/examples/segmentation.py [--loss TEXT] [--epochs N] [--seed S]

Each picture is a 24 x 24 canvas with two handwritten digits; each pixel is background or one of four digits. In the
training masks 40 % of the digits carry the class of another one, as when annotators confuse objects but not their
outlines.
Prints the share of digit pixels of clean test pictures that get the right class.
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

from noiseproof import losses, noise

SIZE, DIGITS = 24, 4  # the digits 0 to 3; class 0 is background, class d + 1 the digit d


def pictures(images, labels, count, generator):
    """`count` canvases (count, 1, SIZE, SIZE) with their masks (count, SIZE, SIZE)."""
    canvas, mask = torch.zeros(count, 1, SIZE, SIZE), torch.zeros(count, SIZE, SIZE, dtype=torch.int64)
    for index in range(count):
        for left in (0, 12):
            chosen = int(torch.randint(len(images), (), generator=generator))
            top = int(torch.randint(SIZE - 12 + 1, (), generator=generator))
            digit = nn.functional.interpolate(images[chosen][None, None], size=12, mode="bilinear")[0, 0]
            spot = (slice(top, top + 12), slice(left, left + 12))
            canvas[index, 0][spot] = digit
            mask[index][spot] = (digit > 0.3) * (labels[chosen] + 1)
    return canvas, mask


class UNet(nn.Module):
    """One step down, one step up, joined by a skip."""

    def __init__(self, width=16):
        super().__init__()
        self.down = block(1, width)
        self.deep = nn.Sequential(
            nn.MaxPool2d(2), block(width, 2 * width), nn.MaxPool2d(2), block(2 * width, 4 * width)
        )
        self.up = nn.Upsample(scale_factor=4, mode="nearest")
        self.head = nn.Sequential(block(5 * width, width), nn.Conv2d(width, DIGITS + 1, 1))

    def forward(self, x):
        near = self.down(x)
        return self.head(torch.cat([near, self.up(self.deep(near))], 1))


def block(inside, outside):
    return nn.Sequential(
        nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(),
        nn.Conv2d(outside, outside, 3, padding=1, bias=False), nn.BatchNorm2d(outside), nn.ReLU(),
    )  # fmt: skip


def train(text, *, epochs, seed):
    """The accuracy on the digits' pixels of clean test pictures, in percent."""
    generator = torch.Generator().manual_seed(seed)
    digits = load_digits(n_class=DIGITS)
    images, labels = torch.tensor(digits.images / 16).float(), torch.tensor(digits.target)
    given = torch.as_tensor(noise.corrupt(labels[:500], "symmetric(0.4)", num_classes=DIGITS, seed=seed).labels)
    x, y = pictures(images[:500], given, 1000, generator)
    test_x, test_y = pictures(images[500:], labels[500:], 200, generator)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = UNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    # Most pixels are background; with equal weights a robust loss may take the digits for the errors.
    loss = losses.parse(text, weight=torch.tensor([0.2] + DIGITS * [1.0]))
    for _ in range(epochs):
        for batch in torch.randperm(len(x), generator=generator).split(32):
            optimizer.zero_grad()
            loss(model(x[batch]), y[batch]).backward()  # scores (N, K, H, W), masks (N, H, W)
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        predicted = model(test_x).argmax(1)
    drawn = test_y > 0
    return 100 * (predicted == test_y)[drawn].float().mean().item()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loss", action="append", help="a loss text; may be repeated (default: ce, GCE and JAL-CE)")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for text in arguments.loss or ["ce", "gce(q=0.7)", "nce + amse(a=30)"]:
        print(f"{text}: {train(text, epochs=arguments.epochs, seed=arguments.seed):.1f} % of the digits' pixels")
