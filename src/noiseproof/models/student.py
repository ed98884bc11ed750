"""The student head: class centres and a Student-t likelihood in place of a linear layer (LT-APL).

Source: S. Zhang et al., "Student Loss: Towards the Probability Assumption in Inaccurate Supervision", IEEE TPAMI 46(6),
2024; constants as in its code, Zhangshuojackpot/Student-Loss at c2bd086.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from noiseproof.errors import in_range

__all__ = ["StudentHead"]


class StudentHead(nn.Module):
    r"""Scores from the distance to a centre of each class, under a Student-t of learned degree.

    With features f and centres mu_k of unit length and nu_k = r_k^2 + 0.1:

        d_k = ||f - mu_k||^2 / 2                     (of the given class, in training: times 1 + alpha)
        e_k = (nu_k + ln D) / 2
        s_k = Gamma(e_k) / (Gamma(nu_k / 2) nu_k^{(ln D)/2}) (1 + d_k / nu_k)^{-e_k}

    and the scores are s / ||s||. The published code has ln D where a D-dimensional Student-t has D.

    Args:
        width: D, the number of features.
        classes: number of scores.
        alpha: margin of the given class, in training only.
        lam: factor of the centre term, half the mean squared distance to the given class's centre.
    """

    def __init__(self, width: int, classes: int, *, alpha: float = 0.1, lam: float = 0.05) -> None:
        super().__init__()
        self.alpha, self.lam = in_range("alpha", alpha, 0), in_range("lam", lam, 0)
        self.centres = nn.Parameter(torch.empty(classes, width, dtype=torch.float32, device="cpu"))
        self.degrees = nn.Parameter(torch.empty(classes, 1, dtype=torch.float32, device="cpu"))

    def initialise(self, generator: torch.Generator) -> None:
        """Centres and degrees Xavier-uniform, as published."""
        nn.init.xavier_uniform_(self.centres, generator=generator)
        nn.init.xavier_uniform_(self.degrees, generator=generator)

    def forward(self, features: Tensor) -> Tensor:
        """Scores without a margin, (N, K)."""
        return self._scores(self._distances(features))

    def training_scores(self, features: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """Scores with the margin for the given labels, and the centre term to add to the loss."""
        distances = self._distances(features)
        own = distances.gather(1, given[:, None])
        centre_term = self.lam * own.mean()
        return self._scores(distances.scatter_add(1, given[:, None], self.alpha * own)), centre_term

    def _distances(self, features: Tensor) -> Tensor:
        """d_k, (N, K): for unit vectors, 1 - the cosine."""
        with torch.autocast(features.device.type, enabled=False):  # in bf16 the differences between classes drown
            return 1 - F.normalize(features.to(self.centres.dtype)) @ F.normalize(self.centres).T

    def _scores(self, distances: Tensor) -> Tensor:
        nu = self.degrees.flatten().square() + 0.1
        half_log_d = math.log(self.centres.shape[1]) / 2
        e = nu / 2 + half_log_d
        log_c = e.lgamma() - (nu / 2).lgamma() - half_log_d * nu.log()
        return F.normalize((log_c - e * (distances / nu).log1p()).exp())
