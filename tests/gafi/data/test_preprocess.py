"""From bytes to floats, in the published order."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from experiments.gafi.data.preprocess import check_size, padded, preprocess, resized, scaled, sized
from suite.errors import BadInput
from tests.gafi.data.lookalikes import pictures


def settings(**changes):
    """DATA of Fashion-MNIST as published, with changes."""
    published = {
        "dataset": "FashionMNIST", "image_size": 32, "normalize": True, "dequantize": False,
        "resize": None, "padding": True,
    }  # fmt: skip
    return SimpleNamespace(**{**published, **changes})


def test_scaling_maps_the_256_levels_to_minus_one_to_one_by_the_published_formula():
    levels = np.arange(256, dtype=np.uint8)
    exact = (levels.astype(np.float64) / 255 - 0.5) / 0.5
    found = scaled(levels, normalize=True)
    assert found.dtype == np.float32 and found[0] == -1 and found[255] == 1
    assert np.abs(found - exact).max() < 1e-7  # one rounding of float32 near 1
    assert np.array_equal(scaled(levels, normalize=False), levels.astype(np.float32) / np.float32(255))


def test_padding_is_black_and_the_picture_stays_in_the_middle():
    images = pictures(3, 28, 1)
    found = preprocess(images, settings())
    assert found.shape == (3, 32, 32, 1)
    frame = np.ones((32, 32), bool)
    frame[2:30, 2:30] = False
    assert (found[:, frame] == -1).all()
    assert np.array_equal(found[:, 2:30, 2:30], scaled(images, normalize=True))


def test_padding_the_bytes_equals_padding_the_floats_before_they_are_normalised():
    images = pictures(2, 28, 3)
    floats = np.pad(images.astype(np.float32) / np.float32(255), ((0, 0), (2, 2), (2, 2), (0, 0)))
    assert np.array_equal(preprocess(images, settings()), (floats - np.float32(0.5)) / np.float32(0.5))
    assert np.array_equal(preprocess(images, settings(normalize=False)), floats)


@given(side=st.integers(1, 9), more=st.integers(0, 6))
def test_an_odd_border_has_one_more_below_and_on_the_right(side, more):
    found = padded(np.ones((1, side, side, 1), np.uint8), side + more)
    rows = np.flatnonzero(found[0, :, :, 0].any(axis=1))
    assert (rows[0], found.shape[1] - 1 - rows[-1]) == (more // 2, more - more // 2)
    assert found.sum() == side * side


@pytest.mark.parametrize("channels", [1, 3])
def test_resizing_is_pillows_lanczos_on_bytes(channels):
    images = pictures(2, 28, channels)
    found = resized(images, 32)
    assert found.shape == (2, 32, 32, channels) and found.dtype == np.uint8
    for image, result in zip(images, found, strict=True):
        for channel in range(channels):
            picture = Image.fromarray(np.ascontiguousarray(image[..., channel]))
            expected = np.asarray(picture.resize((32, 32), Image.Resampling.LANCZOS))
            assert np.array_equal(result[..., channel], expected)


def test_resizing_a_flat_picture_keeps_its_level_and_the_same_size_changes_nothing():
    flat = np.full((1, 28, 28, 3), 77, np.uint8)
    assert (resized(flat, 16) == 77).all()
    images = pictures(2, 28, 3)
    assert np.array_equal(resized(images, 28), images)


def test_noise_stays_below_one_level_and_comes_only_where_it_is_set_and_given():
    images = pictures(4, 28, 1)
    plain = preprocess(images, settings())
    noisy = preprocess(images, settings(dequantize=True), noise=np.random.default_rng(0))
    difference = noisy.astype(np.float64) - plain
    assert difference.min() >= 0 and difference.max() <= 1 / 127.5 + 1e-7  # rounding of float32 near 1
    assert abs(difference.mean() - 1 / 255) < 4 / 127.5 / np.sqrt(
        12 * difference.size
    )  # four standard errors
    assert np.array_equal(preprocess(images, settings(dequantize=True)), plain)
    assert np.array_equal(preprocess(images, settings(), noise=np.random.default_rng(0)), plain)


def test_bytes_can_be_had_before_they_are_scaled():
    images = pictures(4, 28, 1)
    data = settings(resize=True, padding=None, image_size=16)
    assert np.array_equal(scaled(sized(images, data), normalize=True), preprocess(images, data))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"resize": True}, "exclude each other"),
        ({"image_size": 28}, "image_size 28 is not above 28"),
        ({"padding": None}, "pictures of 28 pixels, DATA.image_size is 32; set resize or padding"),
    ],
)  # fmt: skip
def test_sizes_that_do_not_fit_are_one_line(changes, message):
    with pytest.raises(BadInput, match=message):
        check_size(28, settings(**changes))


def test_no_resize_and_no_padding_take_pictures_as_they_are():
    images = pictures(2, 28, 1)
    assert sized(images, settings(padding=None, image_size=28)) is images
