"""Scores of several passes become detections: averages first, near-duplicates and caps after."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.imaginarynet.detectors.weak.merge import (
    Cut,
    View,
    detections,
    inside,
    merge,
    mirrored,
    views_of,
)
from suite.metrics.iou import box_iou

SIZE = (60, 80)  # height, width


def random_boxes(count, seed):
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, [60, 40], (count, 2))
    return torch.tensor(np.hstack([corner, corner + rng.uniform(2, 20, (count, 2))]), dtype=torch.float32)


def random_scores(count, classes, seed):
    return torch.tensor(np.random.default_rng(seed).random((count, classes)), dtype=torch.float32)


def test_every_scale_is_looked_at_plain_and_mirrored():
    assert views_of((96, 128), flip=True) == (
        View(96, False),
        View(96, True),
        View(128, False),
        View(128, True),
    )
    assert views_of((96, 128), flip=False) == (View(96, False), View(128, False))


@given(count=st.integers(1, 6), passes=st.integers(1, 10), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_averaging_equal_passes_changes_nothing(count, passes, seed):
    boxes, scores = random_boxes(count, seed), random_scores(count, 3, seed)
    merged = merge([(boxes, scores)] * passes)
    assert torch.equal(merged[0], boxes) and torch.equal(merged[1], scores)
    summed = merge([(boxes, scores)] * passes, reduction="sum")
    torch.testing.assert_close(summed[1], scores * passes)
    assert torch.equal(summed[0], boxes)


def test_scores_and_boxes_are_averaged_proposal_by_proposal():
    one = (torch.tensor([[0.0, 0, 10, 10]]), torch.tensor([[0.2, 0.6]]))
    two = (torch.tensor([[2.0, 0, 12, 10]]), torch.tensor([[0.4, 0.0]]))
    boxes, scores = merge([one, two])
    torch.testing.assert_close(boxes, torch.tensor([[1.0, 0, 11, 10]]))
    torch.testing.assert_close(scores, torch.tensor([[0.3, 0.3]]))


def test_a_surer_average_wins_where_nms_of_one_pass_would_have_kept_the_other_box():
    boxes = torch.tensor([[0.0, 0, 20, 20], [1.0, 0, 21, 20]])
    first, second = torch.tensor([[0.9], [0.8]]), torch.tensor([[0.1], [0.8]])
    cut = Cut(min_score=0.0, nms=0.3)
    assert detections(boxes, first, cut, size=SIZE).boxes[0, 0] == 0
    merged = merge([(boxes, first), (boxes, second)])
    found = detections(*merged, cut, size=SIZE)
    assert found.boxes[:, 0].tolist() == [1.0]


@pytest.mark.parametrize("rows", [(), (2, 1)])
def test_passes_that_do_not_fit_together_are_refused(rows):
    passes = [(torch.zeros(count, 4), torch.zeros(count, 3)) for count in rows]
    with pytest.raises(ValueError, match="one shape"):
        merge(passes)


@given(seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_mirroring_twice_is_the_identity_and_keeps_boxes_in_the_picture(seed):
    boxes = random_boxes(5, seed)
    flipped = mirrored(boxes, SIZE[1])
    torch.testing.assert_close(mirrored(flipped, SIZE[1]), boxes)
    assert torch.equal(inside(flipped, SIZE), flipped)
    torch.testing.assert_close(flipped[:, 2:] - flipped[:, :2], boxes[:, 2:] - boxes[:, :2])


def plain_nms(boxes, scores, threshold):
    """The definition: surest first, what overlaps a kept box goes."""
    kept = []
    for row in np.argsort(-scores, kind="stable"):
        if all(box_iou(boxes[[row]], boxes[[other]])[0, 0] <= threshold for other in kept):
            kept.append(int(row))
    return kept


@given(seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_near_duplicates_go_as_defined_class_by_class(seed):
    boxes, scores = random_boxes(12, seed), random_scores(12, 2, seed)
    found = detections(boxes, scores, Cut(min_score=0.3, nms=0.3), size=SIZE)
    for label in (0, 1):
        mine = scores[:, label].numpy()
        kept = [row for row in plain_nms(boxes.numpy(), mine, 0.3) if mine[row] > np.float32(0.3)]
        assert found.boxes[found.labels == label].tolist() == boxes.numpy()[kept].tolist()
        assert found.scores[found.labels == label].tolist() == mine[kept].tolist()
    assert (np.diff(found.scores) <= 0).all()


def test_boxes_of_every_class_are_those_of_that_class():
    boxes = torch.tensor([[[0.0, 0, 10, 10], [20.0, 20, 40, 40]]])
    found = detections(boxes, torch.tensor([[0.4, 0.6]]), Cut(min_score=0.0, nms=0.3), size=SIZE)
    assert found.labels.tolist() == [1, 0]
    assert found.boxes.tolist() == [[20, 20, 40, 40], [0, 0, 10, 10]]


def test_the_score_must_be_above_the_threshold_and_boxes_end_at_the_picture():
    boxes = torch.tensor([[-5.0, 0, 10, 10], [70.0, 50, 95, 70], [90.0, 0, 99, 9]])
    scores = torch.tensor([[0.5], [0.6], [0.9]])
    found = detections(boxes, scores, Cut(min_score=0.5, nms=0.3), size=SIZE)
    assert found.boxes.tolist() == [[70, 50, 80, 60]]  # the third lies outside


def test_the_cap_of_a_class_is_taken_before_nms_and_that_of_the_picture_after():
    boxes = torch.tensor([[0.0, 0, 20, 20], [1.0, 0, 21, 20], [40.0, 40, 60, 60]])
    scores = torch.tensor([[0.9], [0.8], [0.7]])
    cut = Cut(min_score=0.0, nms=0.3, per_class=2)
    assert detections(boxes, scores, cut, size=SIZE).scores.tolist() == pytest.approx([0.9])
    cut = Cut(min_score=0.0, nms=0.3, per_picture=2)
    assert detections(boxes, scores, cut, size=SIZE).scores.tolist() == pytest.approx([0.9, 0.7])


def test_a_picture_without_a_sure_box_has_no_detection():
    found = detections(random_boxes(3, 0), torch.zeros(3, 2), Cut(min_score=0.0, nms=0.3), size=SIZE)
    assert len(found) == 0
