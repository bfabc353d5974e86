"""Which region is the object."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from experiments.sample_synthesis.objects.mask_cache import MaskCache
from experiments.sample_synthesis.objects.mask_set import predict_set
from experiments.sample_synthesis.objects.polarity import coverage, flipped, polarity
from tests.sample_synthesis.objects.make import DiscMasks, disc_pictures

MASKS = arrays(np.uint8, st.tuples(st.integers(1, 3), st.just(16), st.just(16)))


def test_flipping_the_channels_of_a_mask_network_changes_nothing(tmp_path):
    pictures, discs = disc_pictures(12)
    found, swapped = (
        predict_set(pictures, DiscMasks(swapped=is_swapped), cache=MaskCache(tmp_path), batch=5)
        for is_swapped in (False, True)
    )
    np.testing.assert_array_equal(found.masks, swapped.masks)
    assert (found.has_been_flipped, swapped.has_been_flipped) == (False, True)
    assert found.masks[discs].min() > 128 > found.masks[~discs].max()
    assert abs(found.coverage.border - swapped.coverage.border) < 1e-12
    assert found.coverage.centre > found.coverage.border


def test_a_provider_that_cannot_swap_its_regions_is_never_flipped(tmp_path):
    pictures, _ = disc_pictures(4)
    provider = DiscMasks(swapped=True)
    provider.has_polarity = False
    found = predict_set(pictures, provider, cache=MaskCache(tmp_path), batch=4)
    assert not found.has_been_flipped and found.coverage.is_inverted


def test_one_odd_picture_does_not_turn_its_set():
    _, discs = disc_pictures(9)
    masks = discs.astype(np.float32)
    masks[0] = 1 - masks[0]
    assert not polarity(masks)
    assert polarity(1 - masks)


def test_an_object_that_reaches_the_border_is_still_the_object():
    _, discs = disc_pictures(1)
    masks = np.maximum(discs, np.full((32, 32), 0.6)).astype(np.float32)  # covers 60 % of the border, too
    assert not polarity(masks)


def test_coverage_is_the_share_of_border_and_middle():
    masks = np.zeros((2, 32, 32), np.float32)
    masks[0, :2] = 1  # the upper border of one of two: 64 of the 240 border pixels
    masks[:, 8:24, 8:16] = 1  # half of the middle
    found = coverage(masks)
    assert abs(found.border - 32 / 240) < 1e-12
    assert abs(found.centre - 0.5) < 1e-12


@given(MASKS)
def test_of_a_mask_and_its_complement_exactly_one_is_flipped(masks):
    found = coverage(masks)
    if abs(found.border - found.centre) > 1e-9:
        assert polarity(masks) != polarity(flipped(masks))


@given(MASKS)
def test_flipping_twice_is_nothing(masks):
    np.testing.assert_array_equal(flipped(flipped(masks)), masks)
