import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.metrics.iou import box_area, box_ioa, box_iou, xywh_to_xyxy, xyxy_to_xywh

BOXES = st.lists(
    st.tuples(*[st.integers(0, 60)] * 2, *[st.integers(1, 40)] * 2).map(
        lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3])
    ),
    max_size=6,
)


def pixels(box) -> np.ndarray:
    canvas = np.zeros((110, 110), bool)
    canvas[box[1] : box[3], box[0] : box[2]] = True
    return canvas


@given(a=BOXES, b=BOXES)
def test_iou_and_ioa_equal_counting_pixels(a, b):
    iou, ioa = box_iou(np.array(a), np.array(b)), box_ioa(np.array(a), np.array(b))
    assert iou.shape == ioa.shape == (len(a), len(b))
    for i, one in enumerate(a):
        for j, other in enumerate(b):
            common, union = (pixels(one) & pixels(other)).sum(), (pixels(one) | pixels(other)).sum()
            assert iou[i, j] == common / union and ioa[i, j] == common / pixels(one).sum()


def test_closed_forms():
    a = [[0, 0, 10, 10]]
    b = [[0, 0, 10, 10], [5, 0, 15, 10], [10, 0, 20, 10], [2, 2, 4, 4]]
    assert box_iou(a, b)[0] == pytest.approx([1, 1 / 3, 0, 0.04])
    assert box_ioa(b, a)[:, 0] == pytest.approx([1, 0.5, 0, 1])


def test_empty_and_turned_boxes_have_no_area_and_no_overlap():
    bad = [[5, 5, 5, 9], [9, 9, 5, 5]]
    assert box_area(bad).tolist() == [0, 0]
    assert (box_iou(bad, bad) == 0).all() and (box_ioa(bad, [[0, 0, 20, 20]]) == 0).all()
    assert box_iou(np.zeros((0, 4)), bad).shape == (0, 2)


@given(boxes=BOXES)
def test_box_forms_convert_there_and_back(boxes):
    corners = np.array(boxes, dtype=float).reshape(-1, 4)
    assert (xywh_to_xyxy(xyxy_to_xywh(corners)) == corners).all()
    assert (xyxy_to_xywh(corners)[:, 2:].prod(axis=1) == box_area(corners)).all()
