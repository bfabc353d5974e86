import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.sample_synthesis.detector.anchors import Anchors
from experiments.sample_synthesis.detector.decode import decode, softmax, suppress
from suite.metrics.iou import box_iou

ROWS = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30], [0, 0, 10, 30]], np.float32)
ANCHORS = Anchors(ROWS, (ROWS[:, :2] + ROWS[:, 2:]) / 2, ROWS[:, 2:] - ROWS[:, :2], 30)


def outputs(logits: list[list[float]]) -> np.ndarray:
    """(1, A, C + 4) with offsets 0: each anchor stands for itself."""
    logits = np.array(logits, np.float32)
    return np.concatenate([logits, np.zeros((len(logits), 4), np.float32)], axis=1)[None]


def test_the_better_of_two_overlapping_boxes_is_kept() -> None:
    (found,) = decode(outputs([[0, 2], [0, 3], [0, 1], [0, -1]]), ANCHORS)
    np.testing.assert_allclose(found.boxes, ROWS[[1, 2]], atol=1e-5)
    np.testing.assert_allclose(found.scores, 1 / (1 + np.exp([-3, -1])), rtol=1e-5)
    np.testing.assert_array_equal(found.labels, [1, 1])


def test_classes_do_not_suppress_each_other() -> None:
    (found,) = decode(outputs([[0, 4, 0], [0, 0, 3], [9, 0, 0], [9, 0, 0]]), ANCHORS)
    np.testing.assert_array_equal(found.labels, [1, 2])
    assert found.scores[0] > found.scores[1]


def test_confidence_at_the_floor_counts_and_below_does_not() -> None:
    (found,) = decode(outputs([[0, 0], [0, -0.001], [9, 0], [9, 0]]), ANCHORS)
    np.testing.assert_allclose(found.boxes, ROWS[:1], atol=1e-5)
    (found,) = decode(outputs([[9, 0]] * 4), ANCHORS)
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == found.labels.shape == (0,)


def test_overlap_at_the_threshold_suppresses() -> None:
    boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5]], np.float32)  # IoU exactly 1/2
    np.testing.assert_array_equal(suppress(boxes, 0.5), [0])
    np.testing.assert_array_equal(suppress(boxes, 0.5000001), [0, 1])


def test_boxes_are_not_clipped_and_offsets_use_the_variances() -> None:
    raw = outputs([[0, 5], [9, 0], [9, 0], [9, 0]])
    raw[0, 0, 2:] = [-10, 5, np.log(2) / 0.2, 0]
    (found,) = decode(raw, ANCHORS)
    # By hand: centre (5 - 10, 5 + 5), size (20, 10).
    np.testing.assert_allclose(found.boxes, [[-15, 5, 5, 15]], atol=1e-4)


def test_top_k_limits_the_candidates_of_a_class_before_suppression() -> None:
    raw = outputs([[0, 2], [0, 3], [0, 1], [0, -9]])
    assert len(decode(raw, ANCHORS, top_k=2)[0].boxes) == 1
    assert len(decode(raw, ANCHORS, top_k=None)[0].boxes) == 2


def test_an_image_is_decoded_the_same_alone_and_in_a_batch() -> None:
    raw = np.random.default_rng(5).normal(size=(3, 4, 6)).astype(np.float32)
    for alone, together in zip(
        [decode(one[None], ANCHORS)[0] for one in raw], decode(raw, ANCHORS), strict=True
    ):
        np.testing.assert_array_equal(alone.boxes, together.boxes)
        np.testing.assert_array_equal(alone.scores, together.scores)


def test_a_diverged_network_gives_finite_boxes() -> None:
    raw = outputs([[0, 5]] * 4)
    raw[..., 4:] = 1e6
    assert np.isfinite(decode(raw, ANCHORS)[0].boxes).all()


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(*[st.integers(0, 40)] * 2, *[st.integers(1, 30)] * 2), max_size=25))
def test_kept_boxes_are_apart_and_every_other_overlaps_a_better_one(rows: list[tuple[int, ...]]) -> None:
    boxes = np.array([[x, y, x + w, y + h] for x, y, w, h in rows], np.float32).reshape(-1, 4)
    kept = suppress(boxes, 0.5)
    iou = box_iou(boxes, boxes)
    for index in range(len(boxes)):
        covered = (iou[index, kept[kept < index]] >= 0.5).any()
        assert covered == (index not in kept)


def test_softmax_of_large_logits_is_finite() -> None:
    assert softmax(np.float32([[1e4, 0]])) == pytest.approx(np.array([[1, 0]]))
