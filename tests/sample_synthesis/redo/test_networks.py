"""The four networks: shapes, published sizes, what the masks do in them."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from experiments.sample_synthesis.redo.networks import (
    Architecture,
    Discriminator,
    Generators,
    LatentRegressor,
    MaskNet,
    PyramidPooling,
    SelfAttention,
    build,
    num_blocks,
)
from suite.errors import BadInput


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def parameters(network: torch.nn.Module) -> int:
    return sum(value.numel() for value in network.parameters())


def test_the_two_masks_of_a_picture_add_up_to_one(small):
    masks = build(MaskNet, small, seed=1)(noise(3, 3, 32, 32))
    assert masks.shape == (3, 2, 32, 32)
    torch.testing.assert_close(masks.sum(1), torch.ones(3, 32, 32))
    assert masks.std() > 0.01  # a constant would satisfy both


def test_the_published_mask_network_has_the_size_that_its_layers_give():
    # By hand, width 64: 7x7 3-16, 3x3 16-32-64 with norms; three blocks of two 3x3 64-64 (one with bias) and
    # two norms; four 1x1 64-1; 3x3 68-34-17 with norms; 7x7 17-1.
    down = 49 * 3 * 16 + 9 * 16 * 32 + 9 * 32 * 64 + 2 * (16 + 32 + 64)
    blocks = 3 * (2 * 9 * 64 * 64 + 64 + 2 * 2 * 64)
    up = 9 * 68 * 34 + 9 * 34 * 17 + 2 * (34 + 17) + 49 * 17 + 1
    assert parameters(MaskNet(Architecture())) == down + blocks + 4 * 65 + up


def test_windows_of_the_pyramid_are_the_published_ones_at_128_pixels():
    assert PyramidPooling(8, 128 // 4).windows == [32, 16, 10, 5]


@pytest.mark.parametrize(("size", "blocks"), [(32, 3), (64, 4), (128, 5)])
def test_generator_and_critic_have_as_many_blocks_as_lead_from_4_pixels_to_the_picture(size, blocks, small):
    architecture = dataclasses.replace(small, size=size)
    assert num_blocks(size) == blocks
    assert len(build(Generators, architecture, seed=0).regions[0].blocks) == blocks
    assert (
        len(build(Discriminator, architecture, seed=0).blocks) == blocks
    )  # without the first, with the flat


@pytest.mark.parametrize("attention", [False, True])
def test_shapes_of_what_is_drawn_judged_and_regressed(small, attention):
    architecture = dataclasses.replace(
        small, generator_attention=attention, discriminator_attention=attention
    )
    masks = torch.softmax(noise(2, 2, 32, 32), 1)
    drawn = build(Generators, architecture, seed=0)(masks, noise(2, 2, 4))
    assert drawn.shape == (2, 2, 3, 32, 32)
    assert build(Discriminator, architecture, seed=1)(drawn[:, 0]).shape == (2, 1)
    assert build(LatentRegressor, architecture, seed=2)(drawn.sum(1)).shape == (2, 2, 4)


def test_a_region_is_black_outside_its_mask_and_never_brighter_than_it(small):
    masks = torch.zeros(1, 2, 32, 32)
    masks[:, 0, 8:20, 8:20] = 0.5
    masks[:, 1] = 1 - masks[:, 0]
    drawn = build(Generators, small, seed=0)(masks, noise(1, 2, 4))
    assert (drawn.abs() <= masks[:, :, None]).all()
    assert drawn[:, 0, :, 8:20, 8:20].abs().max() > 0


def test_a_region_depends_on_its_own_latent_only(small):
    generators, masks = build(Generators, small, seed=0).eval(), torch.full((1, 2, 32, 32), 0.5)
    latents = noise(1, 2, 4)
    changed = latents.clone()
    changed[:, 1] += 1
    with torch.no_grad():
        before, after = generators(masks, latents), generators(masks, changed)
    torch.testing.assert_close(before[:, 0], after[:, 0], rtol=0, atol=0)
    assert (before[:, 1] - after[:, 1]).abs().max() > 1e-3


def test_the_mask_network_ignores_brightness_and_contrast_of_a_picture(small):
    # So that pictures in [0, 1], as the published synthesis gives them, have the masks of those in [-1, 1];
    # what is left is the epsilon (1e-5) of the first norm.
    network, picture = build(MaskNet, small, seed=1).eval(), torch.rand(2, 3, 32, 32) * 2 - 1
    with torch.no_grad():
        difference = (network(picture) - network(picture / 2 + 0.5)).abs().max()
    assert difference < 5e-3


def test_attention_starts_as_the_identity(small):
    x = noise(2, 8, 8, 8)
    torch.testing.assert_close(SelfAttention(8)(x), x, rtol=0, atol=0)


def test_spectral_norm_bounds_every_convolution_of_the_critic(small):
    critic = build(Discriminator, small, seed=0)
    for _ in range(30):  # power iterations: one per call in training
        critic(noise(1, 3, 32, 32))
    critic.eval()
    convolutions = [layer for layer in critic.modules() if isinstance(layer, torch.nn.Conv2d)]
    largest = [torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() for layer in convolutions]
    assert len(largest) == 11  # two per block and three skips
    assert largest == pytest.approx([1.0] * len(largest), rel=0.01)


def test_first_weights_depend_on_the_seed_alone_and_leave_the_global_generator_as_it_was(small):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first = build(Generators, small, seed=3).state_dict()
    assert torch.rand(1) == expected
    again, other = (build(Generators, small, seed=seed).state_dict() for seed in (3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["regions.0.dense.weight"], other["regions.0.dense.weight"])


def test_first_weights_are_orthogonal_with_the_published_gain(small):
    network = build(MaskNet, small, seed=0)
    for layer in (network.residual[0].second, network.head[1]):
        flat = layer.weight.detach().flatten(1)
        torch.testing.assert_close(flat @ flat.T, 0.64 * torch.eye(len(flat)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [16, 48, 100])
def test_a_side_that_is_no_power_of_two_is_refused(size):
    with pytest.raises(BadInput, match=str(size)):
        Architecture(size=size)
