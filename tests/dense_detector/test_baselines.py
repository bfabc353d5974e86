"""The anchor oracle bounds, the mean box is trivial, both by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from experiments.dense_detector.anchors import grid_anchors
from experiments.dense_detector.baselines import mean_box, oracle, recall_ceiling
from experiments.dense_detector.selection import ImageRecord, Selection, ground_truth
from suite.datasets import Detections
from suite.metrics.coco import coco_ap
from suite.seeds import item_rng

SIZE_WH = (64, 32)


def record(image_id, boxes, labels, *, size_wh=SIZE_WH):
    boxes = np.array(boxes, np.float32).reshape(-1, 4)
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1).astype(np.float64)
    return ImageRecord(
        image_id, f"{image_id}.jpg", *size_wh, boxes, np.array(labels, np.int64), areas,
        np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0), np.zeros(0, bool),
    )  # fmt: skip


def selection(*records):
    return Selection(records, ("person", "dog"), (1, 18))


ANCHORS = torch.tensor([[0.0, 0, 16, 16], [16, 0, 32, 16], [32, 16, 64, 32], [-8, -8, 8, 8]])


def test_boxes_that_are_anchors_are_found_exactly():
    truth = selection(
        record(1, [[0, 0, 16, 16], [32, 16, 64, 32]], [0, 1]), record(2, [[16, 0, 32, 16]], [1])
    )
    assert recall_ceiling(truth, ANCHORS, SIZE_WH) == {0.5: 1.0, 0.7: 1.0}
    assert coco_ap(ground_truth(truth), oracle(truth, ANCHORS, SIZE_WH), iou_type="bbox").ap == pytest.approx(
        1
    )


def test_an_anchor_counts_as_clipped_to_the_picture():
    assert recall_ceiling(selection(record(1, [[0, 0, 8, 8]], [0])), ANCHORS, SIZE_WH)[0.7] == 1.0


def test_the_ceiling_is_the_share_of_boxes_with_a_good_enough_anchor():
    # IoU by hand: 1; 16 * 10 / (16 * 16) = 0.625; 16 * 4 / (16 * 16) = 0.25
    boxes = [[0, 0, 16, 16], [16, 0, 32, 10], [16, 0, 32, 4]]
    truth = selection(record(1, boxes, [0, 0, 0]))
    ceiling = recall_ceiling(truth, ANCHORS, SIZE_WH)
    assert ceiling == {0.5: pytest.approx(2 / 3), 0.7: pytest.approx(1 / 3)}
    ap50 = coco_ap(ground_truth(truth), oracle(truth, ANCHORS, SIZE_WH), iou_type="bbox").ap50
    assert ap50 == pytest.approx(67 / 101)  # recall points 0 .. 0.66 at precision 1


def test_boxes_come_back_in_original_pixels():
    truth = selection(record(1, [[0, 0, 32, 64]], [0], size_wh=(128, 128)))
    found = oracle(truth, ANCHORS, SIZE_WH)  # (0, 0, 16, 16) of 64x32 is (0, 0, 32, 64) of 128x128
    np.testing.assert_allclose(found.boxes_xyxy, [[0, 0, 32, 64]])
    assert found.category_ids.tolist() == [1] and found.scores.tolist() == [1.0]


def test_no_detector_without_a_box_head_beats_the_oracle():
    anchors = grid_anchors((4, 8), (32, 64), torch.tensor([[9.0, 9], [24, 12]]))
    images = []
    for number in range(6):
        corners = item_rng(0, "truth", number).random((3, 2)) * (40, 18)
        boxes = np.concatenate([corners, corners + (14, 12)], axis=1)
        images.append(record(number + 1, boxes, [0, 1, 0]))
    truth = selection(*images)
    best = oracle(truth, anchors, SIZE_WH)
    ceiling = coco_ap(ground_truth(truth), best, iou_type="bbox").ap50
    assert 0.2 < ceiling < 1
    for number in range(10):  # unmodified anchors, right ones among them, with scores of any kind
        rng = item_rng(0, "guess", number)
        chosen = rng.integers(0, len(anchors), 100)
        boxes = np.concatenate([best.boxes_xyxy, anchors.numpy()[chosen].clip(0, (64, 32, 64, 32))])
        image_ids = np.concatenate([best.image_ids, rng.integers(1, 7, 100)])
        categories = np.concatenate([best.category_ids, rng.choice([1, 18], 100)])
        guess = Detections(image_ids, categories, rng.random(len(boxes)), boxes)
        assert coco_ap(ground_truth(truth), guess, iou_type="bbox").ap50 <= ceiling + 0.01


def test_the_mean_box_is_the_mean_of_the_class_in_shares_of_the_picture():
    first = record(1, [[0, 0, 32, 16], [10, 10, 20, 20]], [0, 1])
    train = selection(first, record(2, [[0, 0, 64, 64]], [0], size_wh=(128, 64)))
    found = mean_box(train, selection(record(9, [], [], size_wh=(200, 100))))
    # person: (0, 0, 0.5, 0.5) and (0, 0, 0.5, 1); dog: (10, 10, 20, 20) of 64x32, in one of two pictures
    np.testing.assert_allclose(found.boxes_xyxy, [[0, 0, 100, 75], [31.25, 31.25, 62.5, 62.5]])
    assert found.category_ids.tolist() == [1, 18] and found.scores.tolist() == [1.0, 0.5]
    assert found.image_ids.tolist() == [9, 9]


def test_a_class_that_training_never_showed_is_never_guessed():
    train = selection(record(1, [[0, 0, 32, 16]], [1]))
    assert mean_box(train, selection(record(2, [], []))).category_ids.tolist() == [18]


def test_other_classes_than_those_trained_on_are_refused():
    test = SimpleNamespace(category_ids=(1,), images=())
    with pytest.raises(ValueError, match="are not"):
        mean_box(selection(record(1, [[0, 0, 9, 9]], [0])), test)
