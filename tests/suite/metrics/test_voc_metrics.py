import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from suite.datasets import Detections
from suite.errors import BadInput
from suite.metrics.voc import average_precision, corloc, voc_ap
from tests.suite.metrics.cases import BOX, found, truth

OTHER = (50, 50, 70, 70)


def ap(ground_truth, detections, **settings):
    """(eleven-point AP, area AP) of all classes."""
    return tuple(
        voc_ap(ground_truth, detections, use_07_metric=flag, **settings).mean for flag in (True, False)
    )


def test_closed_forms_of_one_curve():
    # hand-computed: hits at ranks 1 and 3 of two boxes -> (recall, precision) (.5, 1), (.5, .5), (1, 2/3)
    recall, precision = np.array([0.5, 0.5, 1.0]), np.array([1.0, 0.5, 2 / 3])
    assert average_precision(recall, precision, use_07_metric=True) == pytest.approx((6 * 1 + 5 * 2 / 3) / 11)
    assert average_precision(recall, precision, use_07_metric=False) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    nothing = np.zeros(0)
    assert average_precision(nothing, nothing, use_07_metric=True) == 0.0
    assert average_precision(nothing, nothing, use_07_metric=False) == 0.0


@given(hits=st.lists(st.booleans(), min_size=1, max_size=30), missed=st.integers(0, 5))
def test_area_ap_is_the_mean_over_boxes_of_the_best_precision_from_their_rank_on(hits, missed):
    hits = np.array(hits)
    num_truth = int(hits.sum()) + missed
    if num_truth == 0:
        return
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    wanted = sum(precision[k:].max() for k in np.flatnonzero(hits)) / num_truth
    value = average_precision(np.cumsum(hits) / num_truth, precision, use_07_metric=False)
    assert value == pytest.approx(wanted)


def test_perfect_and_absent_detections():
    assert ap(truth((0, 0, BOX), (0, 0, OTHER)), found((0, 0, 0.9, BOX), (0, 0, 0.8, OTHER))) == (1.0, 1.0)
    assert ap(truth((0, 0, BOX)), found()) == (0.0, 0.0)
    assert ap(truth(), found((0, 0, 0.9, BOX))) == (None, None)


def test_half_the_boxes_found_is_six_of_eleven_points():
    assert ap(truth((0, 0, BOX), (0, 0, OTHER)), found((0, 0, 0.9, BOX))) == (pytest.approx(6 / 11), 0.5)


def test_the_threshold_itself_counts_only_where_the_evaluator_says_so():
    ground_truth, detections = truth((0, 0, (0, 0, 20, 10))), found((0, 0, 0.9, (0, 0, 10, 10)))  # IoU 1/2
    assert ap(ground_truth, detections) == (0.0, 0.0)
    assert ap(ground_truth, detections, strict=False) == (1.0, 1.0)


def test_a_difficult_object_is_neither_found_nor_missed_however_often_it_is_detected():
    ground_truth = truth((0, 0, BOX), (0, 0, OTHER, {"ignore": True}))
    assert ap(ground_truth, found((0, 0, 0.9, BOX))) == (1.0, 1.0)
    assert ap(ground_truth, found((0, 0, 0.95, OTHER), (0, 0, 0.93, OTHER), (0, 0, 0.9, BOX))) == (1.0, 1.0)
    assert ap(truth((0, 0, OTHER, {"ignore": True})), found((0, 0, 0.9, OTHER))) == (None, None)


def test_each_box_is_found_once_and_only_the_nearest_box_is_asked():
    ground_truth = truth((0, 0, (0, 0, 20, 20)), (0, 0, (4, 0, 24, 20)))
    # Both detections are nearest to the first box: COCO would give the second box to the second detection.
    detections = found((0, 0, 0.9, (0, 0, 20, 20)), (0, 0, 0.8, (1, 0, 21, 20)))
    assert ap(ground_truth, detections) == (pytest.approx(6 / 11), 0.5)


def test_detections_of_all_pictures_are_pooled_by_score_and_classes_averaged():
    ground_truth = truth((0, 0, BOX), (1, 0, BOX), (0, 1, BOX), num_images=3, num_classes=3)
    rows = [(2, 0, 0.95, BOX), (1, 0, 0.9, BOX), (0, 0, 0.8, BOX), (0, 1, 0.1, BOX), (0, 2, 0.1, BOX)]
    result = voc_ap(ground_truth, found(*rows), use_07_metric=False)
    assert result.per_class == {"c0": pytest.approx(2 / 3), "c1": 1.0, "c2": None}
    assert result.mean == pytest.approx(5 / 6)


def test_half_open_boxes_measure_what_voc_counts_in_whole_pixels():
    # VOC: 1..10 by 1..10 against 1..10 by 6..15 (inclusive) share 50 of 150 pixels
    mine, theirs = (0, 0, 10, 10), (0, 5, 10, 15)
    for threshold, hit in ((1 / 3 - 1e-9, 1.0), (1 / 3 + 1e-9, 0.0)):
        assert ap(truth((0, 0, theirs)), found((0, 0, 0.9, mine)), iou_threshold=threshold) == (hit, hit)


def test_corloc_asks_the_surest_box_of_each_picture_that_holds_the_class():
    ground_truth = truth(
        (0, 0, BOX), (0, 0, OTHER), (1, 0, BOX), (2, 0, BOX), (3, 1, BOX), num_images=4, num_classes=3
    )
    rows = [
        (0, 0, 0.9, OTHER),  # right: any object of the class will do
        (1, 0, 0.2, BOX),  # wrong: a surer box lies elsewhere
        (1, 0, 0.3, OTHER),
        # picture 2 has no detection: wrong
        (3, 0, 0.9, BOX),  # picture 3 holds no such class: not asked
        (3, 1, 0.1, BOX),
    ]
    result = corloc(ground_truth, found(*rows))
    assert result.per_class == {"c0": pytest.approx(1 / 3), "c1": 1.0, "c2": None}
    assert result.mean == pytest.approx(2 / 3)


def test_corloc_includes_difficult_objects_and_wants_more_than_half():
    assert corloc(truth((0, 0, BOX, {"ignore": True})), found((0, 0, 0.9, BOX))).mean == 1.0
    assert corloc(truth((0, 0, (0, 0, 20, 10))), found((0, 0, 0.9, (0, 0, 10, 10)))).mean == 0.0


def test_unknown_pictures_are_told():
    for measure in (lambda t, d: voc_ap(t, d, use_07_metric=True), corloc):
        with pytest.raises(BadInput, match="image_id 5"):
            measure(truth((0, 0, BOX)), Detections([5], [0], [0.5], [BOX]))
