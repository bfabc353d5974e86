"""Masks of the providers that need no training."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.sample_synthesis.objects.backgrounds import backdrop
from experiments.sample_synthesis.objects.masks import (
    PROVIDERS,
    AlphaMasks,
    EllipseMasks,
    GrabCutMasks,
    ellipse,
    largest_part,
    open_provider,
    quantised,
)
from experiments.sample_synthesis.objects.types import MaskProvider
from suite.errors import BadInput
from tests.sample_synthesis.objects.make import disc_pictures


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return (one & other).sum() / (one | other).sum()


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_provider_keeps_the_interface(name):
    provider = open_provider(name)
    assert isinstance(provider, MaskProvider) and provider.key
    found = provider.masks(np.full((3, 16, 16, 4), 200, np.uint8))
    assert found.dtype == np.float32 and found.shape == (3, 16, 16)
    assert provider.masks(np.zeros((0, 16, 16, 4), np.uint8)).shape == (0, 16, 16)


def test_alpha_is_the_fourth_channel():
    pictures = np.zeros((1, 8, 8, 4), np.uint8)
    pictures[0, 2, 3, 3], pictures[0, 4, 4, 3] = 255, 51
    found = AlphaMasks().masks(pictures)
    assert found[0, 2, 3] == 1 and found.sum() == pytest.approx(1.2)
    with pytest.raises(BadInput, match="no alpha"):
        AlphaMasks().masks(pictures[..., :3])


def test_the_ellipse_covers_what_the_formula_says():
    side, axes = 400, (0.3, 0.45)
    assert ellipse(side, axes).mean() == pytest.approx(np.pi * axes[0] * axes[1], rel=1e-3)
    found = EllipseMasks(axes).masks(np.zeros((2, side, side, 3), np.uint8))
    rows, columns = np.nonzero(found[1])
    assert (columns.min(), columns.max()) == (80, 319)  # 0.2 and 0.8 of the side
    assert (rows.min(), rows.max()) == (20, 379)


def test_grabcut_finds_a_bright_disc():
    pictures, discs = disc_pictures(3, size=48)
    assert min(map(iou, GrabCutMasks().masks(pictures) > 0, discs)) > 0.95


def test_grabcut_does_not_depend_on_what_came_before():
    # Photographs, in which colour models may begin anywhere: unseeded, some of these masks differ.
    pictures = np.stack([backdrop(index, 48) for index in (3, 4, 5)])
    provider = GrabCutMasks()
    cv2.setRNGSeed(7)
    together = provider.masks(pictures)
    cv2.setRNGSeed(99)
    alone = np.concatenate([provider.masks(pictures[i : i + 1]) for i in (2, 1, 0)])[::-1]
    np.testing.assert_array_equal(together, alone)


def test_grabcut_of_one_colour_is_empty():
    assert GrabCutMasks().masks(np.full((1, 32, 32, 3), 9, np.uint8)).sum() == 0


def test_the_largest_part_is_kept_alone():
    mask = np.zeros((9, 9), bool)
    mask[1, 1:3] = mask[5:8, 5:8] = True
    kept = largest_part(mask)
    assert kept.sum() == 9 and kept[6, 6] and not kept[1, 1]
    assert not largest_part(np.zeros((4, 4), bool)).any()


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20))
def test_only_nothing_becomes_zero_and_only_everything_becomes_255(values):
    masks = np.array(values, np.float32).reshape(1, 1, -1)
    steps = quantised(masks)
    np.testing.assert_array_equal(steps > 0, masks > 0)
    np.testing.assert_array_equal(steps == 255, masks == 1)
    assert np.abs(steps / 255.0 - masks).max() <= 1 / 255


@pytest.mark.parametrize("wrong", [np.nan, -0.1, 1.1])
def test_a_mask_outside_its_range_is_refused(wrong):
    with pytest.raises(BadInput, match="leaves"):
        quantised(np.full((1, 2, 2), wrong, np.float32))


def test_an_unknown_provider_names_the_known_ones():
    with pytest.raises(BadInput, match="alpha, analytic, grabcut"):
        open_provider("saliency")
