"""Weak and strong views of a picture."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.imaginarynet.detectors.semi import views
from experiments.imaginarynet.detectors.semi.views import View, strong_view, weak_view
from tests.imaginarynet.detectors.semi import tiny


def bright_bounds(pixels):
    bright = pixels.min(axis=2) > 120
    rows, columns = np.flatnonzero(bright.any(axis=1)), np.flatnonzero(bright.any(axis=0))
    return [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]


@pytest.mark.parametrize("seed", range(8))
def test_boxes_follow_their_object_through_resizing_and_flips(pool, seed):
    view = weak_view(pool.labelled[seed % 3], tiny.settings(), np.random.default_rng(seed))
    assert np.abs(view.boxes[0] - bright_bounds(view.pixels)).max() <= 1


def test_half_of_the_weak_views_are_flipped_and_every_side_is_drawn(pool):
    found = [weak_view(pool.labelled[0], tiny.settings(), np.random.default_rng(k)) for k in range(200)]
    flipped = sum(
        not np.isclose(view.boxes[0, 0], pool.labelled[0].boxes[0, 0] * view.pixels.shape[1] / tiny.WIDTH)
        for view in found
    )
    assert 70 <= flipped <= 130
    assert {min(view.pixels.shape[:2]) for view in found} == {32, 48}


def test_strong_views_change_pixels_and_nothing_else(pool):
    weak = weak_view(pool.labelled[0], tiny.settings(), np.random.default_rng(0))
    before = weak.pixels.copy()
    changed = 0
    for seed in range(10):
        strong = strong_view(weak, np.random.default_rng(seed))
        assert strong.boxes is weak.boxes and strong.labels is weak.labels
        assert strong.pixels.shape == weak.pixels.shape and strong.pixels.dtype == np.uint8
        changed += not np.array_equal(strong.pixels, weak.pixels)
    assert changed >= 8
    assert np.array_equal(weak.pixels, before)


def test_unlabelled_pictures_have_no_boxes_in_their_views(pool):
    view = weak_view(pool.unlabelled[0], tiny.settings(), np.random.default_rng(0))
    assert view.boxes.shape == (0, 4) and view.image_labels is None


@given(st.integers(0, 10_000))
def test_patches_keep_within_the_published_share_of_the_picture(seed):
    pixels = views.erase_patches(np.full((60, 80, 3), 7, np.uint8), np.random.default_rng(seed))
    # A pixel of noise is 7 in all channels once in 2^24.
    changed = (pixels != 7).any(axis=2).mean()
    assert changed == 0 or 0.015 <= changed <= 0.62  # sides are whole pixels


@given(st.integers(1, 400), st.integers(1, 400), st.integers(16, 200), st.integers(16, 300))
def test_the_shorter_side_is_met_unless_the_longer_one_is_too_long(height, width, side, max_side):
    found = views.resized_shape(height, width, side=side, max_side=max_side)
    assert max(found) <= max_side
    assert min(found) == side or max(found) == max_side or min(found) == 1


def test_colours_of_a_grey_picture_stay_grey_under_hue_and_saturation():
    from PIL import Image

    grey = Image.fromarray(np.full((8, 8, 3), 90, np.uint8))
    found = np.array(views.jitter_colours(grey, np.random.default_rng(1)))
    assert (found == found[0, 0, 0]).all()


def test_a_view_tells_the_record_that_it_was_made_from(pool):
    view = weak_view(pool.labelled[2], tiny.settings(), np.random.default_rng(0))
    assert isinstance(view, View) and view.id == pool.labelled[2].id
