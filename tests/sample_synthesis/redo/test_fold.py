"""The mask network written for prediction is the same function."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from experiments.sample_synthesis.redo.fold import (
    FoldedMaskNet,
    convolve_by_rows,
    convolve_enlarged,
    fold_upsampling,
)
from experiments.sample_synthesis.redo.networks import MaskNet, build

ROUNDING = {"rtol": 1e-4, "atol": 1e-5}  # float32 sums in another order


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 7), (16, 16)])
def test_four_small_convolutions_are_the_large_one_of_the_enlarged_map(height, width):
    x, weight = noise(2, 5, height, width), noise(3, 5, 3, 3, seed=1)
    expected = F.conv2d(F.interpolate(x, scale_factor=2.0, mode="nearest"), weight, padding=1)
    torch.testing.assert_close(convolve_enlarged(x, fold_upsampling(weight)), expected, **ROUNDING)


def test_rows_of_a_kernel_add_up_to_its_convolution():
    x, weight, bias = noise(2, 5, 13, 11), noise(1, 5, 7, 7, seed=1), noise(1, seed=2)
    rows = weight[0].permute(1, 0, 2)[:, :, None]
    torch.testing.assert_close(convolve_by_rows(x, rows, bias), F.conv2d(x, weight, bias), **ROUNDING)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_folded_network_has_the_masks_of_the_network(small, batch):
    network, pictures = build(MaskNet, small, seed=1).eval(), noise(batch, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(
            FoldedMaskNet(network).logit(pictures), network.logit(pictures), **ROUNDING
        )


def test_training_on_does_not_reach_it(small):
    network, pictures = build(MaskNet, small, seed=1).eval(), noise(1, 3, 32, 32)
    with torch.no_grad():
        folded = FoldedMaskNet(network)
        before = folded.logit(pictures)
        for value in network.parameters():
            value.add_(1.0)
        torch.testing.assert_close(folded.logit(pictures), before, rtol=0, atol=0)
