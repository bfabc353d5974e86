"""Views of a picture: boxes follow it through sizes and mirrors, and near-equal ones are found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.imaginarynet.detectors.data.views import (
    as_channels,
    distinct,
    mirrored_boxes,
    resized,
    scaled_boxes,
    scaled_size,
)


@pytest.mark.parametrize(
    ("side", "which", "max_side", "wanted"),
    [
        (72, "shortest", 0, (72, 96)),
        (96, "longest", 0, (72, 96)),
        (288, "shortest", 200, (150, 200)),  # the longest side would be 384
        (288, "longest", 200, (216, 288)),  # a limit of the longest side says nothing here
        (1, "longest", 0, (1, 1)),
    ],
)
def test_the_named_side_gets_the_length(side, which, max_side, wanted):
    assert scaled_size(144, 192, side=side, which=which, max_side=max_side) == wanted


@given(seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_a_box_marks_the_same_object_in_every_view(seed):
    rng = np.random.default_rng(seed)
    x1, y1 = rng.integers(0, 12, 2) * 2
    x2, y2 = x1 + 2 * rng.integers(2, 8), y1 + 2 * rng.integers(2, 8)
    picture = np.zeros((40, 48, 3), np.uint8)
    picture[y1:y2, x1:x2] = (10, 120, 250)
    boxes = scaled_boxes(np.array([[x1, y1, x2, y2]]), (40, 48), (80, 96))
    view = as_channels(resized(picture, (80, 96)), order="rgb", flip=True)
    left, top, right, bottom = mirrored_boxes(boxes, 96)[0].astype(int)
    inside = view[0, top + 2 : bottom - 2, left + 2 : right - 2]
    assert (inside == 10).all()
    view[:, top - (top > 0) : bottom + 1, left - (left > 0) : right + 1] = 0
    assert (view == 0).all()


def test_channels_come_in_the_wanted_order():
    picture = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
    assert as_channels(picture, order="rgb")[0].tolist() == picture[:, :, 0].tolist()
    assert as_channels(picture, order="bgr")[0].tolist() == picture[:, :, 2].tolist()


def test_mirroring_twice_is_the_identity():
    boxes = np.array([[1, 2, 30, 9], [0, 0, 48, 40]], np.float32)
    assert (mirrored_boxes(mirrored_boxes(boxes, 48), 48) == boxes).all()


def test_boxes_of_the_same_cells_are_one_and_the_first_stands_for_them():
    boxes = np.array([[16, 0, 32, 16], [0, 0, 16, 16], [17, 1, 31, 17], [0, 0, 21, 16]], np.float32)
    kept, back = distinct(boxes, 8)
    assert kept.tolist() == [0, 1, 3] and back.tolist() == [0, 1, 0, 2]
    assert [len(part) for part in distinct(boxes[:0], 8)] == [0, 0]


@given(seed=st.integers(0, 99), count=st.integers(1, 30), stride=st.sampled_from([1, 8, 16]))
@settings(max_examples=30, deadline=None)
def test_every_box_is_stood_for_by_one_of_its_own_cells(seed, count, stride):
    boxes = np.random.default_rng(seed).uniform(0, 64, (count, 4)).astype(np.float32)
    kept, back = distinct(boxes, stride)
    cells = np.round(boxes / stride)
    assert (cells[kept][back] == cells).all()
    assert len(np.unique(cells, axis=0)) == len(kept) and (np.diff(kept) > 0).all()
