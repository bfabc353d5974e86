import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from experiments.dense_detector.boxes import (
    MAX_LOG_SCALE,
    box_area,
    box_ioa,
    box_iou,
    clip_boxes,
    decode_deltas,
    encode,
    nms_class_wise,
)
from suite.metrics.iou import box_ioa as reference_ioa
from suite.metrics.iou import box_iou as reference_iou

SEEDS = st.integers(0, 2**32 - 1)


def random_boxes(rng: np.random.Generator, count: int, size: float = 100.0) -> torch.Tensor:
    """Boxes float32 (count, 4) with sides of at least a hundredth of `size`."""
    corner = rng.uniform(-0.2 * size, size, (count, 2))
    sides = rng.uniform(0.01 * size, 0.6 * size, (count, 2))
    return torch.from_numpy(np.concatenate([corner, corner + sides], axis=1)).float()


@given(SEEDS)
def test_overlaps_equal_those_of_the_metrics(seed):
    rng = np.random.default_rng(seed)
    a, b = random_boxes(rng, 5), random_boxes(rng, 7)
    # float32 on coordinates up to 160: areas carry a relative error of about 1e-6
    np.testing.assert_allclose(box_iou(a, b).numpy(), reference_iou(a.numpy(), b.numpy()), atol=1e-5)
    np.testing.assert_allclose(box_ioa(a, b).numpy(), reference_ioa(b.numpy(), a.numpy()).T, atol=1e-5)


def test_overlaps_of_a_batch_equal_those_of_its_pictures():
    rng = np.random.default_rng(0)
    boxes, anchors = random_boxes(rng, 12).reshape(3, 4, 4), random_boxes(rng, 9)
    assert torch.equal(box_iou(boxes, anchors), torch.stack([box_iou(one, anchors) for one in boxes]))


def test_empty_and_inverted_boxes_overlap_nothing_not_even_themselves():
    boxes = torch.tensor([[3.0, 3, 3, 3], [5, 5, 2, 2], [0, 0, 10, 10]])
    overlap = box_iou(boxes, boxes)
    assert box_area(boxes).tolist() == [0, 0, 100]
    assert overlap.tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]


@given(SEEDS)
def test_decoding_what_was_encoded_gives_the_box_again(seed):
    rng = np.random.default_rng(seed)
    boxes, anchors = random_boxes(rng, 20), random_boxes(rng, 20)
    ratio = (boxes[:, 2:] - boxes[:, :2]) / (anchors[:, 2:] - anchors[:, :2])
    assume(bool((ratio.log() < MAX_LOG_SCALE).all()))
    assert (decode_deltas(encode(boxes, anchors), anchors) - boxes).abs().max() < 1e-3


def test_the_targets_of_a_hand_computed_box():
    anchor, box = torch.tensor([0.0, 0, 10, 20]), torch.tensor([1.0, 0, 21, 20])
    # centre moves by 6 of 10 in x, size doubles in x: 0.6 / 0.1 and ln 2 / 0.2
    assert encode(box, anchor).tolist() == pytest.approx([6.0, 0.0, np.log(2) / 0.2, 0.0], abs=1e-6)


def test_deltas_of_zero_leave_the_anchor_and_wild_ones_stay_finite():
    anchors = random_boxes(np.random.default_rng(1), 6)
    assert torch.allclose(decode_deltas(torch.zeros(6, 4), anchors), anchors, atol=1e-5)
    assert decode_deltas(torch.full((6, 4), 1e4), anchors).isfinite().all()


def test_clipping_cuts_each_axis_at_its_own_length():
    boxes = torch.tensor([[-5.0, -5, 500, 500], [10, 20, 30, 40]])
    assert clip_boxes(boxes, (60, 100)).tolist() == [[0, 0, 100, 60], [10, 20, 30, 40]]


def brute_force_nms(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray, max_iou: float) -> list[int]:
    """The definition: best first, drop whatever overlaps a kept one of its class by more than max_iou."""
    kept: list[int] = []
    for index in np.argsort(-scores, kind="stable"):
        rivals = [other for other in kept if labels[other] == labels[index]]
        if not rivals or reference_iou(boxes[index], boxes[rivals]).max() <= max_iou:
            kept.append(int(index))
    return kept


@pytest.mark.parametrize("seed", range(200))
def test_suppression_equals_its_definition(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 60))
    boxes, scores = random_boxes(rng, count), rng.random(count)
    labels = rng.integers(0, 1 + seed % 80, count)
    max_iou = float(rng.uniform(0.1, 0.9))
    found = nms_class_wise(boxes, torch.from_numpy(scores), torch.from_numpy(labels), max_iou)
    assert found.tolist() == brute_force_nms(boxes.double().numpy(), scores, labels, max_iou)


def test_boxes_of_different_classes_do_not_suppress_each_other():
    box = torch.tensor([[10.0, 10, 20, 20]]).repeat(3, 1)
    scores, labels = torch.tensor([0.5, 0.9, 0.8]), torch.tensor([0, 0, 7])
    assert nms_class_wise(box, scores, labels, 0.5).tolist() == [1, 2]


def test_suppression_of_nothing_is_nothing():
    nothing = torch.zeros(0, 4), torch.zeros(0), torch.zeros(0, dtype=torch.int64)
    assert nms_class_wise(*nothing, 0.5).shape == (0,)


@given(SEEDS)
@settings(max_examples=30)
def test_suppression_does_not_depend_on_the_order_of_its_input(seed):
    rng = np.random.default_rng(seed)
    boxes, scores = random_boxes(rng, 20), torch.from_numpy(rng.random(20))
    labels, order = torch.from_numpy(rng.integers(0, 3, 20)), torch.from_numpy(rng.permutation(20))
    kept = nms_class_wise(boxes, scores, labels, 0.4)
    again = nms_class_wise(boxes[order], scores[order], labels[order], 0.4)
    assert torch.equal(order[again], kept)
