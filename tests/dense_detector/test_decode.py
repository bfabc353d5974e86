import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.dense_detector.boxes import box_iou, encode
from experiments.dense_detector.decode import decode
from experiments.dense_detector.model import RawOutput

IMAGE_HW = (64, 128)
ANCHORS = torch.tensor([[0.0, 0, 20, 20], [1, 1, 21, 21], [60, 10, 90, 40], [100, 40, 140, 80]])


def logits_of(scores: list[list[float]]) -> torch.Tensor:
    """Logits (1, P, C) with these sigmoids."""
    return torch.tensor([scores], dtype=torch.float64).logit().float()


def test_without_deltas_a_detection_is_its_anchor_clipped_best_first():
    found = decode(RawOutput(logits_of([[0.6], [0.01], [0.7], [0.9]]), None), ANCHORS, IMAGE_HW)[0]
    assert found.scores.tolist() == pytest.approx([0.9, 0.7, 0.6])
    assert found.boxes.tolist() == [[100, 40, 128, 64], [60, 10, 90, 40], [0, 0, 20, 20]]
    assert found.labels.tolist() == [0, 0, 0]


def test_deltas_move_the_anchor_to_the_box():
    boxes = torch.tensor([[5.0, 5, 15, 30], [1, 1, 21, 21], [50, 12, 100, 30], [90, 30, 120, 60]])
    output = RawOutput(logits_of([[0.6], [0.1], [0.7], [0.9]]), encode(boxes, ANCHORS)[None])
    found = decode(output, ANCHORS, IMAGE_HW)[0]
    assert torch.allclose(found.boxes, boxes[[3, 2, 0, 1]], atol=1e-3)


def test_an_overlapping_worse_box_of_the_same_class_goes_and_of_another_class_stays():
    same = decode(RawOutput(logits_of([[0.6], [0.5], [0.01], [0.01]]), None), ANCHORS, IMAGE_HW)[0]
    assert same.scores.tolist() == pytest.approx([0.6])
    scores = logits_of([[0.6, 0.01], [0.01, 0.5], [0.01, 0.01], [0.01, 0.01]])
    other = decode(RawOutput(scores, None), ANCHORS, IMAGE_HW)[0]
    assert other.labels.tolist() == [0, 1]
    published = decode(RawOutput(scores, None), ANCHORS, IMAGE_HW, class_wise=False)[0]
    assert published.labels.tolist() == [0]


def test_an_anchor_may_stand_for_two_classes_but_as_published_for_its_best_only():
    scores = logits_of([[0.01, 0.01, 0.01], [0.01] * 3, [0.3, 0.01, 0.4], [0.01] * 3])
    ours = decode(RawOutput(scores, None), ANCHORS, IMAGE_HW)[0]
    published = decode(RawOutput(scores, None), ANCHORS, IMAGE_HW, class_wise=False)[0]
    assert (ours.labels.tolist(), published.labels.tolist()) == ([2, 0], [2])


def test_score_top_and_max_detections_are_limits():
    output = RawOutput(logits_of([[0.05], [0.3], [0.4], [0.6]]), None)

    def count(**limits) -> int:
        return len(decode(output, ANCHORS, IMAGE_HW, nms_iou=1.0, **limits)[0].scores)

    assert count(score=0.04) == 4 and count(score=0.35) == 2 and count(score=0.7) == 0
    assert count(top=3) == 3 and count(max_detections=2) == 2


@given(st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=25, deadline=None)
def test_a_batch_equals_its_pictures_and_detections_are_clean(seed, class_wise):
    rng = np.random.default_rng(seed)
    logits = torch.from_numpy(rng.normal(-1, 2, (3, 4, 5))).float()
    deltas = torch.from_numpy(rng.normal(0, 5, (3, 4, 4))).float()
    whole = decode(RawOutput(logits, deltas), ANCHORS, IMAGE_HW, class_wise=class_wise)
    for k, found in enumerate(whole):
        single = RawOutput(logits[k : k + 1], deltas[k : k + 1])
        again = decode(single, ANCHORS, IMAGE_HW, class_wise=class_wise)[0]
        assert all(torch.allclose(a, b, atol=1e-4) for a, b in zip(found, again, strict=True))
        boxes, scores, labels = found
        assert (scores >= 0.05).all() and (scores.diff() <= 0).all()
        assert (boxes >= 0).all() and (boxes[:, 2] <= 128).all() and (boxes[:, 3] <= 64).all()
        rivals = ~torch.eye(len(labels), dtype=torch.bool)
        if class_wise:
            rivals &= labels[:, None] == labels
        assert (box_iou(boxes, boxes)[rivals] <= 0.5 + 1e-5).all()
