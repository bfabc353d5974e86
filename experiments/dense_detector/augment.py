"""Chance in training pictures: mirrored left to right, brightness and contrast varied.

What happens to a picture depends on (seed, epoch, index) alone. Whole pictures are always kept, as published.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from suite.seeds import item_rng


@dataclass(frozen=True, eq=False)
class Item:
    """What goes with a picture, in its pixels: n boxes with labels, m ignore regions."""

    boxes: np.ndarray  # float32 (n, 4)
    labels: np.ndarray  # int64 (n,)
    ignore: np.ndarray  # float32 (m, 4)


def vary(
    images: Tensor,
    items: Sequence[Item],
    indices: Sequence[int],
    *,
    seed: int = 0,
    epoch: int = 0,
    flip: float = 0.0,
    jitter: float = 0.0,
) -> tuple[Tensor, list[Item]]:
    """Pictures (N, C, H, W) in [0, 1] and their items, varied.

    `flip`: probability of mirroring; `jitter`: the share by which brightness and contrast vary at most.
    """
    if not flip and not jitter:
        return images, list(items)
    # Both are always drawn, so that switching one off leaves the other's choices alone.
    draws = np.stack([item_rng(seed, "dense.augment", index, epoch).random(3) for index in indices])
    mirror, width = draws[:, 0] < flip, images.shape[-1]
    varied = [flip_item(item, width) if m else item for item, m in zip(items, mirror, strict=True)]
    images = torch.where(torch.from_numpy(mirror).view(-1, 1, 1, 1), images.flip(-1), images)
    return (photometric(images, 1 + jitter * (2 * draws[:, 1:] - 1)) if jitter else images), varied


def flip_item(item: Item, width: int) -> Item:
    """The item mirrored left to right in a picture `width` pixels wide; twice is once not at all."""

    def mirrored(boxes: np.ndarray) -> np.ndarray:
        return np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], axis=1)

    return Item(mirrored(item.boxes), item.labels, mirrored(item.ignore))


def photometric(images: Tensor, factors: np.ndarray) -> Tensor:
    """Pictures in [0, 1] by factors (N, 2): brightness, and contrast about each picture's mean."""
    brightness, contrast = torch.from_numpy(factors).float().T.reshape(2, -1, 1, 1, 1)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    return (((images - mean) * contrast + mean) * brightness).clamp_(0, 1)
