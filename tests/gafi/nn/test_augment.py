"""Augmentation: each operation in closed form, the order of all, and the laws of what is drawn."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from experiments.gafi.config_sections import AugSection
from experiments.gafi.nn import augment as A

OFF = AugSection(
    random_flip=False, random_crop=False, random_rotation=False, random_zoom=False, random_erasing=False
)
ALL = AugSection(
    random_flip=True, random_crop=True, random_rotation=True, random_zoom=True, random_erasing=True
)
KEY = np.array([3, 4], np.int32)


def images(num=2, size=8, channels=2, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (num, size, size, channels)).astype(np.float32)


def numpy(x):
    return ops.convert_to_numpy(x)


def column(*values):
    return np.array(values, np.float32)


def test_with_all_switched_off_images_stay_as_they_are():
    x = images()
    np.testing.assert_array_equal(numpy(A.augment(x, KEY, OFF, fill=-1.0)), x)


def test_the_same_key_gives_the_same_images_and_another_key_others():
    x = images(size=16)
    first, again = (numpy(A.augment(x, KEY, ALL, fill=-1.0)) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (numpy(A.augment(x, KEY + 1, ALL, fill=-1.0)) != first).any()


def test_the_order_is_rotation_flip_zoom_crop_erasing():
    x = images(num=3, size=16, channels=1)
    d = A.draw(KEY, x.shape, ALL)
    step = A.zoom(ops.where(numpy(d.flip)[:, None, None, None], *mirrored(A.rotate(x, d.angle, fill=-1.0))),
                  d.zoom, fill=-1.0)  # fmt: skip
    step = A.erase(A.crop(step, d.crop), d.erase_size, d.erase_center, d.noise)
    np.testing.assert_array_equal(numpy(A.augment(x, KEY, ALL, fill=-1.0)), numpy(step))


def mirrored(x):
    return x[:, :, ::-1], x


@given(st.integers(0, 8), st.integers(0, 8))
@settings(max_examples=15, deadline=None)
def test_a_crop_is_a_window_of_the_image_in_a_border_of_four_zeros(row, column):
    x = images(num=2, size=16)
    padded = np.pad(x, ((0, 0), (4, 4), (4, 4), (0, 0)))
    corners = np.array([[row, column], [4, 4]], np.int32)
    found = numpy(A.crop(x, corners))
    np.testing.assert_array_equal(found[0], padded[0, row : row + 16, column : column + 16])
    np.testing.assert_array_equal(found[1], x[1])


def test_a_crop_fills_with_mid_grey_even_where_black_is_minus_one():
    x = -np.ones((64, 16, 16, 1), np.float32)
    only = AugSection(random_flip=False, random_crop=True, random_erasing=False)
    assert set(np.unique(numpy(A.augment(x, KEY, only, fill=-1.0)))) == {-1.0, 0.0}


def test_rotation_by_nothing_is_the_identity_and_by_a_right_angle_turns_the_array():
    x = images(num=1)
    np.testing.assert_allclose(numpy(A.rotate(x, column(0), fill=-1.0)), x, atol=1e-6)
    turned = numpy(A.rotate(x, column(math.pi / 2), fill=-1.0))
    np.testing.assert_allclose(turned[0], np.rot90(x[0], 1), atol=1e-5)


def test_rotation_keeps_the_middle_and_shows_the_fill_in_the_corners():
    x = np.ones((1, 16, 16, 1), np.float32)
    turned = numpy(A.rotate(x, column(math.radians(10)), fill=-1.0))[0, :, :, 0]
    np.testing.assert_allclose(turned[4:12, 4:12], 1.0, atol=1e-6)
    assert all(turned[i, j] < 0.5 for i in (0, -1) for j in (0, -1))


def test_zoom_is_exact_for_one_half_and_two():
    x = np.arange(64, dtype=np.float32).reshape(1, 8, 8, 1)
    np.testing.assert_array_equal(numpy(A.zoom(x, column(1.0), fill=-1.0)), x)
    nearer = numpy(A.zoom(x, column(0.5), fill=-1.0))[0, :, :, 0]
    np.testing.assert_array_equal(nearer, np.kron(x[0, 2:6, 2:6, 0], np.ones((2, 2))))
    further = numpy(A.zoom(x, column(2.0), fill=-1.0))[0, :, :, 0]
    assert (further[2:6, 2:6] >= 0).all() and (further == -1).sum() == 64 - 16


@given(st.integers(0, 15), st.integers(0, 15), st.integers(1, 16), st.integers(1, 16))
@settings(max_examples=25, deadline=None)
def test_erasing_replaces_a_rectangle_cut_at_the_border_and_nothing_else(row, column, height, width):
    x = images(num=1, size=16)
    noise = np.random.default_rng(1).standard_normal(x.shape).astype(np.float32)
    erased = numpy(A.erase(x, np.array([[height, width]]), np.array([[row, column]]), noise))
    top, left = row - height // 2, column - width // 2
    mask = np.zeros((16, 16), bool)
    mask[max(top, 0) : top + height, max(left, 0) : left + width] = True
    np.testing.assert_array_equal(erased[0][~mask], x[0][~mask])
    assert (erased[0][mask] != x[0][mask]).all()


def test_the_noise_of_an_erased_image_spans_the_range_of_that_image_exactly():
    x = images(num=3, size=8) * np.array([1.0, 0.5, 0.1], np.float32)[:, None, None, None]
    noise = np.random.default_rng(2).standard_normal(x.shape).astype(np.float32)
    whole, middle = np.full((3, 2), 16), np.full((3, 2), 4)
    erased = numpy(A.erase(x, whole, middle, noise))
    np.testing.assert_allclose(erased.min((1, 2, 3)), x.min((1, 2, 3)), atol=1e-7)
    np.testing.assert_allclose(erased.max((1, 2, 3)), x.max((1, 2, 3)), atol=1e-7)
    for image, drawn in zip(erased, noise, strict=True):
        assert np.corrcoef(image.ravel(), drawn.ravel())[0, 1] == pytest.approx(1.0, abs=1e-5)


def test_what_is_drawn_lies_in_the_published_ranges_and_reaches_both_ends():
    d = A.draw(KEY, (4000, 32, 32, 1), ALL)
    assert np.mean(numpy(d.flip)) == pytest.approx(0.5, abs=0.03)
    for drawn, low, high in ((d.erase_size, 7, 16), (d.erase_center, 0, 31), (d.crop, 0, 8)):
        for axis in (0, 1):
            assert set(np.unique(numpy(drawn)[:, axis])) == set(range(low, high + 1))
    assert np.abs(np.degrees(numpy(d.angle))).max() == pytest.approx(10, abs=0.1)
    assert (numpy(d.zoom).min(), numpy(d.zoom).max()) == pytest.approx((0.8, 1.2), abs=0.01)


def test_draws_of_different_kinds_and_axes_are_independent():
    d = A.draw(KEY, (4000, 32, 32, 1), ALL)
    rows = [d.angle, d.flip, d.zoom, *numpy(d.crop).T, *numpy(d.erase_size).T, *numpy(d.erase_center).T]
    table = np.corrcoef(np.stack([numpy(row).astype(float) for row in rows]))
    assert np.abs(table - np.eye(len(rows))).max() < 0.08  # 5 deviations of a correlation over 4000 draws


def test_a_flip_of_the_data_set_flips_where_the_classifier_itself_does_not():
    assert A.draw(KEY, (2, 8, 8, 1), OFF).flip is None
    assert A.draw(KEY, (2, 8, 8, 1), OFF, flip=True).flip is not None
