"""Losses against values by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from experiments.sample_synthesis.redo import losses


def test_a_composite_shows_one_redrawn_region_in_the_real_picture():
    pictures = torch.full((1, 3, 2, 2), 0.5)
    masks = torch.tensor([[[[1.0, 0.0], [0.0, 0.25]], [[0.0, 1.0], [1.0, 0.75]]]])
    drawn = torch.stack([-masks[:, k, None].expand(1, 3, 2, 2) for k in range(2)], 1)  # all black (-1)
    found = losses.composites(pictures, masks, drawn)
    assert found.shape == (2, 3, 2, 2)
    for k in range(2):  # by hand: -m + (1 - m) / 2
        torch.testing.assert_close(found[k, 0], -masks[0, k] + (1 - masks[0, k]) * 0.5)


def test_hinge_losses_by_hand():
    real, fake = torch.tensor([[2.0], [0.5]]), torch.tensor([[-3.0], [0.0], [1.0], [-0.5]])
    assert losses.discriminator_loss(real, fake).item() == pytest.approx(0.5 / 2 + (0 + 1 + 2 + 0.5) / 4)
    assert losses.generator_loss(fake).item() == pytest.approx(2.5 / 4)


def test_the_latent_loss_is_weighted_and_averaged_over_all_latents():
    latents = torch.zeros(2, 2, 3)
    regressed = latents.clone()
    regressed[0, 0, 0] = 2.0
    assert losses.latent_loss(regressed, latents, weight=5.0).item() == pytest.approx(5 * 4 / 12)


@pytest.mark.parametrize(("mean", "share"), [(0.25, 0.25), (0.9, 0.1), (0.0, 0.0)])
def test_the_smaller_share_is_that_of_either_region(mean, share):
    assert losses.smaller_share(np.full((2, 4, 4), mean, np.float32)) == pytest.approx(share)
