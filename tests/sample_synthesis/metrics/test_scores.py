"""The three metrics side by side on one table of detections."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.sample_synthesis.config_sections import DetectorConfig
from experiments.sample_synthesis.metrics.scores import above, all_scores, score
from suite.datasets.detections import Detections
from suite.datasets.records import CocoAnnotation, CocoCategory, CocoImage, CocoSet
from suite.errors import BadInput

DETECTOR = DetectorConfig()


def two_boxes():
    boxes = ((0.0, 0.0, 40.0, 40.0), (50.0, 50.0, 40.0, 40.0))
    rows = tuple(CocoAnnotation(k, 1, 1, box, 1600.0) for k, box in enumerate(boxes, start=1))
    return CocoSet((CocoImage(1, "1.png", 100, 100),), rows, (CocoCategory(1, "qr_code"),))


def detections(scores, boxes):
    return Detections(
        np.ones(len(scores)), np.ones(len(scores)), scores, np.array(boxes, dtype=float).reshape(-1, 4)
    )


def test_the_published_metric_stops_at_confidence_one_half_and_the_others_do_not():
    found = detections([0.9, 0.2], [[0, 0, 40, 40], [50, 50, 90, 90]])
    values = all_scores(two_boxes(), found, DETECTOR)
    assert values["compat_map"] == pytest.approx(0.5)
    assert values["voc_ap"] == 1.0
    assert values["coco_ap"] == pytest.approx(1.0)


def test_what_is_below_the_score_floor_counts_nowhere():
    found = detections([0.9, 0.009], [[0, 0, 40, 40], [50, 50, 90, 90]])
    values = all_scores(two_boxes(), found, DETECTOR)
    assert values["voc_ap"] == pytest.approx(0.5)
    assert values["coco_ap50"] == pytest.approx(51 / 101)  # recalls 0, .01, ..., .50 of 101 points


def test_voc_wants_more_than_one_half_of_overlap_and_the_published_metric_one_half():
    found = detections([0.9, 0.8], [[0, 0, 40, 20], [50, 50, 90, 90]])
    values = all_scores(two_boxes(), found, DETECTOR)
    assert values["compat_map"] == 1.0
    assert values["voc_ap"] == pytest.approx(0.25)  # precision 0, 1/2; recall 0, 1/2


def test_detections_above_a_floor_keep_their_order():
    found = detections([0.5, 0.9, 0.49], np.arange(12))
    assert above(found, 0.5).scores.tolist() == [0.5, 0.9]


def test_an_unknown_metric_names_the_choices():
    with pytest.raises(BadInput, match="compat, voc, coco"):
        score(two_boxes(), detections([], []), "auc", DETECTOR)
