"""Baselines without a detector: boxes, scores and CorLoc by chance."""

import numpy as np
import pytest

from experiments.imaginarynet.detectors.baselines import (
    WITH_PROPOSALS,
    baseline_detections,
    centre_box,
    expected_corloc,
    largest_proposal,
)
from suite.datasets import CocoAnnotation, CocoCategory, CocoImage, CocoSet
from suite.metrics.voc import corloc

# Two pictures of 40 x 20: the first holds a cup and a tree, the second a cup alone; nothing is a bird.
CUP, TREE = (0.0, 0.0, 10.0, 10.0), (20.0, 0.0, 20.0, 20.0)
SET = CocoSet(
    (CocoImage(1, "a.jpg", 40, 20), CocoImage(2, "b.jpg", 40, 20)),
    (
        CocoAnnotation(1, 1, 5, CUP, 100.0),
        CocoAnnotation(2, 1, 7, TREE, 400.0),
        CocoAnnotation(3, 2, 5, CUP, 100.0),
    ),
    (CocoCategory(5, "cup"), CocoCategory(7, "tree"), CocoCategory(9, "bird")),
)
PROPOSALS = {
    1: np.array([[0, 0, 10, 10], [20, 0, 40, 20], [0, 0, 2, 2], [1, 0, 10, 10]], np.float32),
    2: np.array([[20, 0, 40, 20], [30, 0, 40, 10]], np.float32),
}


def of(image):
    return PROPOSALS[image.id]


def test_the_centre_box_has_a_quarter_of_the_area_and_the_middle_of_the_picture():
    np.testing.assert_array_equal(centre_box(40, 20), [10, 5, 30, 15])


def test_the_largest_proposal_is_the_first_of_equals():
    boxes = np.array([[0, 0, 2, 2], [5, 5, 9, 9], [1, 1, 5, 5]], np.float32)
    np.testing.assert_array_equal(largest_proposal(boxes), boxes[1])


@pytest.mark.parametrize("name", WITH_PROPOSALS)
def test_every_class_has_one_box_in_every_picture(name):
    found = baseline_detections(name, SET, of, seed=0)
    pairs = list(zip(found.image_ids.tolist(), found.category_ids.tolist(), strict=True))
    assert sorted(pairs) == [(image, category) for image in (1, 2) for category in (5, 7, 9)]


def test_random_boxes_are_proposals_of_their_picture_and_the_seed_decides():
    first, again, other = (baseline_detections("random", SET, of, seed=seed) for seed in (3, 3, 4))
    for image_id, box in zip(first.image_ids, first.boxes_xyxy, strict=True):
        assert (PROPOSALS[int(image_id)] == box).all(axis=1).any()
    np.testing.assert_array_equal(first.scores, again.scores)
    np.testing.assert_array_equal(first.boxes_xyxy, again.boxes_xyxy)
    assert (first.scores != other.scores).any()


def test_a_picture_without_proposals_has_no_box_but_the_centre():
    without = {**PROPOSALS, 2: np.zeros((0, 4), np.float32)}
    for name, images in (("random", {1}), ("largest", {1}), ("centre", {1, 2})):
        found = baseline_detections(name, SET, lambda image: without[image.id], seed=0)
        assert set(found.image_ids.tolist()) == images


def test_only_the_centre_does_without_proposals():
    assert len(baseline_detections("centre", SET, None, seed=0)) == 6
    with pytest.raises(ValueError, match="'largest' needs proposals"):
        baseline_detections("largest", SET, None, seed=0)


def test_corloc_of_the_largest_proposal_by_hand():
    result = corloc(SET, baseline_detections("largest", SET, of, seed=0))
    assert result.per_class == {"cup": 0.0, "tree": 1.0, "bird": None}


def test_expected_corloc_is_the_share_of_right_proposals():
    """Cup: 2 of 4 proposals in the first picture, none of 2 in the second; tree: 1 of 4."""
    result = expected_corloc(SET, of)
    assert result.per_class == {"cup": 0.25, "tree": 0.25, "bird": None}
    assert result.mean == 0.25


def test_expected_corloc_is_the_mean_of_many_draws():
    draws = [corloc(SET, baseline_detections("random", SET, of, seed=seed)).mean for seed in range(400)]
    # One draw is a mean of three events of at most 1/2 over two classes: its deviation is below 0.32.
    assert abs(np.mean(draws) - expected_corloc(SET, of).mean) < 4 * 0.32 / 20


def test_a_picture_without_proposals_counts_as_a_miss_in_expected_corloc():
    result = expected_corloc(SET, lambda image: PROPOSALS[1] if image.id == 1 else np.zeros((0, 4)))
    assert result.per_class["cup"] == 0.25
    assert expected_corloc(SET, lambda image: PROPOSALS[1]).per_class["cup"] == 0.5
