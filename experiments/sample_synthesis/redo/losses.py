"""ReDO's losses (paper, sections 3 and 4): hinge losses, and the latents regressed from what was drawn."""

from __future__ import annotations

import numpy as np
from torch import Tensor
from torch.nn import functional as F


def composites(pictures: Tensor, masks: Tensor, drawn: Tensor) -> Tensor:
    """One picture per region, in which that region alone is redrawn and the rest is the real picture.

    pictures (n, 3, S, S), masks (n, R, S, S), drawn (n, R, 3, S, S), already 0 outside its mask.
    Returns (n * R, 3, S, S); the composites of a picture stand side by side.
    """
    return (drawn + (1 - masks)[:, :, None] * pictures[:, None]).flatten(0, 1)


def discriminator_loss(real: Tensor, fake: Tensor) -> Tensor:
    """Hinge: mean max(0, 1 - D(real)) + mean max(0, 1 + D(fake)), each mean over its own batch."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def generator_loss(fake: Tensor) -> Tensor:
    """-mean D(fake)."""
    return -fake.mean()


def latent_loss(regressed: Tensor, latents: Tensor, *, weight: float) -> Tensor:
    """weight * mean squared error over all latents (n, R, latent)."""
    return weight * F.mse_loss(regressed, latents)


def smaller_share(masks: np.ndarray) -> float:
    """Mean soft size of the smaller of two regions of a set, share of the pictures in [0, 0.5].

    masks: of one of the regions, (n, S, S).
    """
    mean = float(masks.mean(dtype=np.float64))
    return min(mean, 1 - mean)
