"""Selective Search, its filters and its cap."""

import ctypes
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.imaginarynet.detectors.proposals.search import (
    filter_boxes,
    grid_boxes,
    keep_inside,
    selective_search,
)
from suite.metrics.iou import box_iou
from tests.imaginarynet.detectors.proposals.shapes import OBJECT, SEARCH, proposals, shapes

cv2 = pytest.importorskip("cv2", reason="OpenCV is part of the PyTorch toolchain")
BOXES = st.lists(st.tuples(*[st.integers(-20, 60)] * 4), max_size=30)


def test_a_box_covers_the_object():
    found = selective_search(shapes(), SEARCH)
    assert box_iou(np.array([OBJECT], float), found.boxes.astype(float)).max() > 0.9
    assert (found.scores == 0).all()  # the search ranks and does not score


@pytest.mark.parametrize("side", [0, 32, 96])
@pytest.mark.parametrize("min_side", [2, 10])
def test_boxes_are_inside_long_enough_and_unique_at_every_side_of_the_search(side, min_side):
    found = selective_search(shapes(), replace(SEARCH, side=side, min_side=min_side)).boxes
    assert len(found) and len(np.unique(found, axis=0)) == len(found)
    assert (found[:, :2] >= 0).all() and (found[:, 2:] <= (64, 48)).all()
    assert ((found[:, 2:] - found[:, :2]) >= min_side).all()


def test_more_pixels_give_more_boxes():
    few, many = (selective_search(shapes(), replace(SEARCH, side=side)) for side in (32, 160))
    assert len(many) > len(few)


def test_the_same_picture_has_the_same_boxes_whatever_was_searched_before():
    first = selective_search(shapes(), SEARCH)
    selective_search(shapes(seed=5), SEARCH)
    ctypes.CDLL(None).srand(99)  # what OpenCV orders its boxes by
    again = selective_search(shapes(), SEARCH)
    np.testing.assert_array_equal(first.boxes, again.boxes)


def test_the_seed_decides_the_order_and_not_the_boxes():
    one, other = (selective_search(shapes(), replace(SEARCH, seed=seed)).boxes for seed in (1, 2))
    assert not np.array_equal(one, other)
    np.testing.assert_array_equal(np.unique(one, axis=0), np.unique(other, axis=0))


def test_the_threads_of_the_process_stay_as_they_were():
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        selective_search(shapes(), SEARCH)
        assert cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


def test_a_mirrored_picture_has_the_objects_mirrored_box():
    mirrored = np.ascontiguousarray(shapes()[:, ::-1])
    x1, y1, x2, y2 = OBJECT
    found = selective_search(mirrored, SEARCH).boxes.astype(float)
    assert box_iou(np.array([[64 - x2, y1, 64 - x1, y2]], float), found).max() > 0.9


def test_the_cap_keeps_the_first_and_all_of_the_grid():
    free = selective_search(shapes(), SEARCH).boxes
    grid = grid_boxes(2, height=48, width=64)
    capped = selective_search(shapes(), replace(SEARCH, grid=2, max_proposals=14)).boxes
    assert len(capped) <= 14
    np.testing.assert_array_equal(capped[:4], free[:4])
    assert {tuple(row) for row in grid} <= {tuple(row) for row in capped}


def test_a_plain_picture_has_a_box_by_the_grid_alone():
    plain = np.full((40, 40, 3), 128, np.uint8)
    with_grid = selective_search(plain, replace(SEARCH, grid=2, min_side=4))
    assert len(with_grid) >= 10
    assert len(selective_search(plain, replace(SEARCH, min_side=41))) == 0


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 64), (3, 200), (8, 8)])
def test_a_very_small_or_thin_picture_is_searched_without_a_fault(height, width):
    picture = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    found = selective_search(picture, replace(SEARCH, min_side=0)).boxes
    assert (found >= 0).all() and (found[:, 2:] <= (width, height)).all()


@pytest.mark.parametrize(("levels", "count"), [(0, 0), (1, 1), (2, 10), (3, 35)])
def test_the_grid_has_so_many_windows_and_covers_the_picture(levels, count):
    grid = grid_boxes(levels, height=48, width=64)
    assert len(grid) == count
    covered = np.zeros((48, 64), bool)
    for x1, y1, x2, y2 in grid[-25:].astype(int):
        covered[y1:y2, x1:x2] = True
    assert covered.all() == bool(levels)


@given(boxes=BOXES, min_side=st.integers(0, 12))
@settings(deadline=None, max_examples=60)
def test_the_filter_keeps_in_order_what_has_a_pixel_of_the_picture_and_long_enough_sides(boxes, min_side):
    kept = filter_boxes(np.array(boxes, float).reshape(-1, 4), height=24, width=32, min_side=min_side)
    wanted = []
    for x1, y1, x2, y2 in boxes:
        box = (min(max(x1, 0), 32), min(max(y1, 0), 24), min(max(x2, 0), 32), min(max(y2, 0), 24))
        sides = box[2] - box[0], box[3] - box[1]
        if min(sides) > 0 and min(sides) >= min_side and box not in wanted:
            wanted.append(box)
    assert [tuple(row) for row in kept] == wanted


def test_given_proposals_outside_of_the_picture_are_dropped_and_counted():
    given_ones = proposals((-5, -5, 10, 10), (70, 0, 80, 10), (0, 0, 5, 5), (0, 0, 5, 5), scores=[4, 3, 2, 1])
    kept, num_outside = keep_inside(given_ones, SEARCH, height=48, width=64)
    assert kept.boxes.tolist() == [[0, 0, 10, 10], [0, 0, 5, 5]]
    assert kept.scores.tolist() == [4, 2]
    assert num_outside == 1
