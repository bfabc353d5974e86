import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.sample_synthesis.synth import geometric
from experiments.sample_synthesis.synth.geometric import (
    affine,
    crop_and_resize,
    draw_geometry,
    flip,
    resize,
    warp,
)

ONE, NONE = np.ones(2), np.zeros(2)


def at(matrix: np.ndarray, x: float, y: float) -> np.ndarray:
    return (matrix @ (x, y, 1))[:2]


def test_flip_mirrors_a_picture_exactly():
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.uint8)
    assert np.array_equal(warp(picture, flip(30), (30, 20)), picture[:, ::-1])


def test_crop_moves_the_cut_corners_to_the_pictures_corners():
    matrix = crop_and_resize(0.1, 0.05, 0.02, 0.08, width=200, height=100)
    assert at(matrix, 20, 5) == pytest.approx((0, 0))
    assert at(matrix, 196, 92) == pytest.approx((200, 100))


def test_affine_scales_about_the_centre_and_then_moves():
    matrix = affine(np.array([1.2, 0.8]), np.array([0.1, -0.2]), 0, 0, width=100, height=50)
    assert at(matrix, 50, 25) == pytest.approx((60, 15))
    assert at(matrix, 60, 35) == pytest.approx((60 + 12, 15 + 8))


def test_affine_turns_by_the_angle():
    matrix = affine(ONE, NONE, 30, 0, width=100, height=100)
    assert at(matrix, 60, 50) == pytest.approx((50 + 10 * np.cos(np.pi / 6), 50 + 10 * np.sin(np.pi / 6)))


def test_shear_leans_vertical_lines_only():
    matrix = affine(ONE, NONE, 0, 8, width=100, height=100)
    assert at(matrix, 60, 50) == pytest.approx((60, 50))
    lean = at(matrix, 50, 60) - (50, 50)
    assert np.degrees(np.arctan2(-lean[0], lean[1])) == pytest.approx(8)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=200, deadline=None)
def test_drawn_maps_stay_within_the_published_ranges(seed):
    matrix = draw_geometry(np.random.default_rng(seed), 128, 128).matrix
    assert matrix[2].tolist() == [0, 0, 1]
    scales = np.linalg.svd(matrix[:2, :2])[1]
    # Scale 0.8..1.2, times 1..1.25 for the crop, with at most 8 degrees of shear and in either order.
    lean = 1 / (np.cos(np.deg2rad(8)) - np.sin(np.deg2rad(8)))
    assert 0.8 / lean <= scales.min()
    assert scales.max() <= 1.2 * 1.25 * lean


def test_half_of_the_maps_mirror():
    rng = np.random.default_rng(0)
    mirrored = np.mean([np.linalg.det(draw_geometry(rng, 1, 1).matrix[:2, :2]) < 0 for _ in range(2000)])
    assert mirrored == pytest.approx(0.5, abs=0.045)  # four standard errors


def test_a_crop_before_the_affine_operator_hides_the_margins_it_cut():
    rng = np.random.default_rng(0)
    visible = np.array([draw_geometry(rng, 1, 1).visible for _ in range(1200)])
    whole = (visible == (0, 0, 1, 1)).all(axis=1)
    assert np.mean(whole) == pytest.approx(0.5, abs=0.058)  # half of the orders; four standard errors
    cut = visible[~whole]
    assert cut[:, :2].max() <= 0.1
    assert cut[:, 2:].min() >= 0.9
    assert cut[:, 0].mean() == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (0, 2, 1), (1, 2, 0), (2, 0, 1)])
def test_one_composed_warp_agrees_with_three_in_turn(order):
    rng = np.random.default_rng(4)
    picture = 128 + cv2.GaussianBlur(rng.uniform(-500, 500, (100, 100)).astype(np.float32), (0, 0), 4)
    numbers = np.r_[0.2, 0.5, 0.2, 1.0, 0.1, 0.3, 0.8, 0.6, 0.5, 0.7, 0.8]

    class Fixed:
        def permutation(self, number: int) -> np.ndarray:
            return np.array(order)

        def random(self, number: int) -> np.ndarray:
            return numbers

    found = draw_geometry(Fixed(), 100, 100)
    once = warp(picture, found.matrix, (100, 100), visible=found.visible)
    scale, move = 0.8 + 0.4 * numbers[5:7], -0.2 + 0.4 * numbers[7:9]
    steps = (
        flip(100),
        crop_and_resize(0.05, 0.02, 0.1, 0.01, width=100, height=100),
        affine(scale, move, -45 + 90 * 0.7, -8 + 16 * 0.8, width=100, height=100),
    )
    in_turn = picture
    for step in order:
        in_turn = warp(in_turn, steps[step], (100, 100))
    assert np.abs(in_turn - once).mean() < 2  # grey values; each resampling blurs, and so do its edges
    assert np.mean((in_turn > 0) == (once > 0)) > 0.97  # the same part of the picture is seen


@given(seed=st.integers(0, 2**32), wide=st.integers(20, 90), high=st.integers(20, 90))
@settings(max_examples=60, deadline=None)
def test_object_and_mask_stay_together(seed, wide, high):
    rng = np.random.default_rng(seed)
    mask = np.zeros((64, 64), np.float32)
    cv2.ellipse(mask, (30, 36), (18, 14), 20, 0, 360, 1.0, -1)
    coloured = np.rint(mask * 255)[..., None].repeat(3, 2).astype(np.uint8)
    drawn = draw_geometry(rng, 64, 64)
    matrix = resize((64, 64), (wide, high)) @ drawn.matrix
    moved_mask = warp(mask, matrix, (wide, high), visible=drawn.visible) > 0.5
    moved = warp(coloured, matrix, (wide, high), visible=drawn.visible)[..., 0] > 127.5
    union = np.count_nonzero(moved | moved_mask)
    assert np.count_nonzero(moved & moved_mask) > 0.98 * union


def test_ranges_are_the_published_ones():
    assert (geometric.CROP, geometric.SCALE, geometric.TRANSLATE) == ((0, 0.1), (0.8, 1.2), (-0.2, 0.2))
    assert (geometric.ROTATE, geometric.SHEAR, geometric.FLIP_PROB) == ((-45, 45), (-8, 8), 0.5)
