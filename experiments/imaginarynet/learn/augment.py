"""Random views of square pictures for a classifier of generated ones: flips, crops, colours, softness.

A generated picture is softer than a rendered one, as it went through an autoencoder. So a part of the views
is blurred, or made smaller and larger again: a network that never saw such pictures would trust none of them.
All is drawn from the generator that is passed in; one call for a batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

GREY = (0.299, 0.587, 0.114)  # weights of the luma of sRGB


@dataclass(frozen=True, kw_only=True)
class Augmentation:
    """How far views go. The hue stays: captions name colours."""

    smallest_crop: float = 0.72  # side, share of the picture's
    brightness: float = 0.2  # added to [0, 1] pixels
    contrast: float = 0.25  # share
    saturation: float = 0.3  # share
    blurred: float = 0.35  # share of the views
    largest_sigma: float = 1.4  # pixels at 64; in proportion at other sides
    shrunk: float = 0.35  # share of the views
    smallest_side: float = 0.375  # share of the picture's, before it is enlarged again
    noise: float = 0.03  # largest standard deviation


def views(pictures: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """One view of each picture: float32 (n, 3, S, S) in [0, 1] from the same."""
    out = _crop(pictures, settings, generator)
    out = _colours(out, settings, generator)
    out = _shrink(out, settings, generator)
    out = _blur(out, settings, generator)
    level = settings.noise * torch.rand(len(out), 1, 1, 1, generator=generator)
    return (out + level * torch.randn(out.shape, generator=generator)).clamp(0, 1)


def soften(pictures: Tensor) -> Tensor:
    """A fixed soft version, to measure on: half the side and back, then a blur of one pixel at 64."""
    side = pictures.shape[-1]
    small = F.interpolate(pictures, size=side // 2, mode="bilinear", antialias=True)
    large = F.interpolate(small, size=side, mode="bilinear", align_corners=False)
    return gaussian_blur(large, torch.full((len(pictures),), side / 64))


def gaussian_blur(pictures: Tensor, sigmas: Tensor) -> Tensor:
    """Blur each picture (n, C, S, S) by its own standard deviation (n,), pixels; edges are mirrored."""
    n, channels, height, width = pictures.shape
    reach = max(1, math.ceil(2.5 * float(sigmas.max())))
    offsets = torch.arange(-reach, reach + 1, dtype=pictures.dtype)
    kernels = torch.exp(-0.5 * (offsets / sigmas[:, None].clamp_min(1e-3)) ** 2)
    kernels = (kernels / kernels.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    flat = pictures.reshape(1, n * channels, height, width)
    flat = F.pad(flat, (reach,) * 4, mode="reflect")
    flat = F.conv2d(flat, kernels[:, None, :, None], groups=n * channels)
    flat = F.conv2d(flat, kernels[:, None, None, :], groups=n * channels)
    return flat.reshape(pictures.shape)


def _uniform(n: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(n, generator=generator)


def _crop(pictures: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """A square part of each at a random place, of slightly changed aspect, flipped or not."""
    n = len(pictures)
    scale = _uniform(n, settings.smallest_crop, 1.0, generator)
    aspect = _uniform(n, 0.92, 1.0, generator)
    wide = torch.rand(n, generator=generator) < 0.5
    across = torch.where(wide, scale, scale * aspect)
    down = torch.where(wide, scale * aspect, scale)
    flip = torch.where(torch.rand(n, generator=generator) < 0.5, -1.0, 1.0)
    matrix = torch.zeros(n, 2, 3)
    matrix[:, 0, 0], matrix[:, 1, 1] = across * flip, down
    matrix[:, 0, 2] = (1 - across) * _uniform(n, -1, 1, generator)
    matrix[:, 1, 2] = (1 - down) * _uniform(n, -1, 1, generator)
    grid = F.affine_grid(matrix, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)


def _colours(pictures: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    n = len(pictures)
    saturation, contrast = (
        _uniform(n, 1 - reach, 1 + reach, generator)[:, None, None, None]
        for reach in (settings.saturation, settings.contrast)
    )
    added = _uniform(n, -settings.brightness, settings.brightness, generator)[:, None, None, None]
    grey = (pictures * torch.tensor(GREY)[None, :, None, None]).sum(1, keepdim=True)
    out = grey + saturation * (pictures - grey)
    mean = out.mean((1, 2, 3), keepdim=True)
    return (mean + contrast * (out - mean) + added).clamp(0, 1)


def _shrink(pictures: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    """Some made smaller, all of a batch to the same side, and enlarged again."""
    n, side = len(pictures), pictures.shape[-1]
    share = float(_uniform(1, settings.smallest_side, 0.85, generator))
    chosen = torch.rand(n, generator=generator) < settings.shrunk
    if not chosen.any():
        return pictures
    small = F.interpolate(pictures[chosen], size=max(2, round(share * side)), mode="bilinear", antialias=True)
    out = pictures.clone()
    out[chosen] = F.interpolate(small, size=side, mode="bilinear", align_corners=False)
    return out


def _blur(pictures: Tensor, settings: Augmentation, generator: torch.Generator) -> Tensor:
    n, side = len(pictures), pictures.shape[-1]
    sigmas = _uniform(n, 0.3, settings.largest_sigma, generator) * (side / 64)
    chosen = torch.rand(n, generator=generator) < settings.blurred
    if not chosen.any():
        return pictures
    out = pictures.clone()
    out[chosen] = gaussian_blur(pictures[chosen], sigmas[chosen])
    return out
