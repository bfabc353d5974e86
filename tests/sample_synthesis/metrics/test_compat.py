"""The published mAP: unit cases by hand, and agreement with an independent all-point AP."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.sample_synthesis.metrics.compat import Truth, compat_map
from suite.datasets.detections import Detections
from suite.datasets.records import CocoAnnotation, CocoCategory, CocoImage, CocoSet
from suite.metrics.voc import voc_ap

UNIT = np.array([0.0, 0.0, 10.0, 10.0])


def truth_of(boxes, ids=None, labels=None):
    boxes = np.asarray(boxes, dtype=float).reshape(-1, 4)
    ids = np.zeros(len(boxes), int) if ids is None else np.asarray(ids)
    labels = np.ones(len(boxes), int) if labels is None else np.asarray(labels)
    return Truth(ids, labels, boxes)


def found(boxes, scores, ids=None, labels=None):
    boxes = np.asarray(boxes, dtype=float).reshape(-1, 4)
    ids = np.zeros(len(boxes), int) if ids is None else np.asarray(ids)
    labels = np.ones(len(boxes), int) if labels is None else np.asarray(labels)
    return Detections(ids, labels, np.asarray(scores, dtype=float), boxes)


def test_perfect_detections_have_one():
    boxes = [UNIT, UNIT + 20, UNIT + 40]
    assert compat_map(truth_of(boxes, [0, 0, 1]), found(boxes, [0.9, 0.6, 0.7], [0, 0, 1])).mean == 1.0


def test_no_detections_have_zero():
    assert compat_map(truth_of([UNIT]), Detections.empty()).mean == 0.0


def test_without_ground_truth_there_is_no_value():
    assert compat_map(truth_of([]), found([UNIT], [0.9])).mean is None


def test_a_duplicate_is_one_hit_and_one_miss():
    # Two boxes, the surest two detections on the same one: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1.
    # All-point AP by hand: 1/2 * 1 + 1/2 * 2/3 = 5/6.
    truth = truth_of([UNIT, UNIT + 20])
    detections = found([UNIT, UNIT, UNIT + 20], [0.9, 0.8, 0.7])
    assert compat_map(truth, detections).mean == pytest.approx(5 / 6, abs=1e-12)


def test_the_curve_by_hand():
    # hits 1 0 1 0 0 1 of 4 boxes: recall 1/4 1/4 2/4 2/4 2/4 3/4, precision 1 1/2 2/3 1/2 2/5 1/2;
    # monotone from the right 1, 2/3, 2/3, 1/2, 1/2, 1/2: AP = 1/4 (1 + 2/3 + 1/2) = 13/24.
    truth = truth_of([UNIT + 20 * k for k in range(4)])
    away = UNIT + 500
    detections = found([UNIT, away, UNIT + 20, away, away, UNIT + 40], [0.99, 0.9, 0.8, 0.7, 0.65, 0.6])
    assert compat_map(truth, detections).mean == pytest.approx(13 / 24, abs=1e-12)


@given(seed=st.integers(0, 2**32))
def test_the_order_in_which_detections_are_given_does_not_matter(seed):
    # The duplicate of above and a miss of its own, in any order: hits 1 0 0 1, 1/2 * 1 + 1/2 * 2/4 = 3/4.
    order = np.random.default_rng(seed).permutation(4)
    boxes, scores = np.array([UNIT, UNIT, UNIT + 500, UNIT + 20]), np.array([0.9, 0.8, 0.75, 0.7])
    value = compat_map(truth_of([UNIT, UNIT + 20]), found(boxes[order], scores[order])).mean
    assert value == pytest.approx(3 / 4, abs=1e-12)


def test_detections_below_the_floor_are_dropped():
    truth = truth_of([UNIT, UNIT + 20])
    detections = found([UNIT, UNIT + 20], [0.9, 0.4999])
    assert compat_map(truth, detections).mean == pytest.approx(0.5)
    assert compat_map(truth, found([UNIT, UNIT + 20], [0.9, 0.5])).mean == 1.0
    assert compat_map(truth, detections, confidence_floor=0.01).mean == 1.0


def test_only_the_box_of_greatest_overlap_counts():
    # Both detections overlap both boxes by more than 0.5 and both prefer the first: the second is a miss,
    # although the other box is free.
    truth = truth_of([[0, 0, 10, 10], [0, 2, 10, 12]])
    detections = found([[0, 0, 10, 10], [0, 0.5, 10, 10.5]], [0.9, 0.8])
    assert compat_map(truth, detections).mean == pytest.approx(0.5)


def test_an_overlap_of_exactly_one_half_is_a_hit():
    truth = truth_of([[0, 0, 10, 10]])
    assert compat_map(truth, found([[0, 0, 10, 5]], [0.9])).mean == 1.0
    assert compat_map(truth, found([[0, 0, 10, 4.99]], [0.9])).mean == 0.0


def test_the_mean_is_over_classes_with_ground_truth():
    truth = truth_of([UNIT, UNIT], labels=[1, 2])
    detections = found([UNIT, UNIT, UNIT], [0.9, 0.9, 0.9], labels=[1, 3, 3])
    result = compat_map(truth, detections)
    assert result.per_label == {1: 1.0, 2: 0.0}
    assert result.mean == 0.5


coordinate = st.integers(0, 12)
boxes = st.tuples(coordinate, coordinate, st.integers(1, 8), st.integers(1, 8))
truths = st.lists(st.tuples(st.integers(1, 3), boxes), min_size=1, max_size=10)
score = st.sampled_from([0.3, 0.5, 0.61, 0.72, 0.83, 0.94])
detected = st.lists(st.tuples(st.integers(1, 3), boxes, score), max_size=14)


def corners(box):
    x, y, w, h = box
    return [x, y, x + w, y + h]


@given(truths, detected)
def test_it_agrees_with_an_independent_all_point_ap(rows, guesses):
    # suite/metrics/voc.py walks through the detections one by one; `strict=False` takes IoU 0.5 as a hit.
    annotations = tuple(
        CocoAnnotation(k, image, 1, tuple(map(float, box)), float(box[2] * box[3]))
        for k, (image, box) in enumerate(rows, start=1)
    )
    images = tuple(CocoImage(k, f"{k}.png", 32, 32) for k in (1, 2, 3))
    coco = CocoSet(images, annotations, (CocoCategory(1, "object"),))
    kept = [guess for guess in guesses if guess[2] >= 0.5]
    detections = found([corners(g[1]) for g in kept], [g[2] for g in kept], [g[0] for g in kept])
    wanted = voc_ap(coco, detections, use_07_metric=False, strict=False).mean
    truth = truth_of([corners(box) for _, box in rows], [image for image, _ in rows])
    everything = found([corners(g[1]) for g in guesses], [g[2] for g in guesses], [g[0] for g in guesses])
    assert compat_map(truth, everything).mean == pytest.approx(wanted, abs=1e-12)
