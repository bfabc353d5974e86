"""pycocotools and the NumPy reference against each other and against closed forms."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from suite.datasets import Detections
from suite.datasets.masks import encode
from suite.errors import BadInput
from suite.metrics.coco import coco_ap, coco_tables
from suite.metrics.coco_result import IOU_THRESHOLDS
from suite.metrics.reference import coco_ap_reference, reference_tables
from tests.suite.metrics.cases import BOX, found, truth

SAME = 1e-12  # the two sum and divide in different order; nothing else differs
ONE = pytest.approx(1.0, abs=SAME)  # pycocotools adds 2e-16 to each denominator


def both(ground_truth, detections):
    ours, theirs = (
        coco_ap_reference(ground_truth, detections),
        coco_ap(ground_truth, detections, iou_type="bbox"),
    )
    for one, other in zip(
        reference_tables(ground_truth, detections),
        coco_tables(ground_truth, detections, iou_type="bbox"),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=0, atol=SAME)
    for name, value in theirs.to_tree().items():
        if name == "per_class":
            assert [c["num_ground_truth"] for c in ours.to_tree()[name]] == [
                c["num_ground_truth"] for c in value
            ]
        else:
            assert getattr(ours, name) == (None if value is None else pytest.approx(value, abs=SAME))
    return theirs


def test_one_perfect_detection_is_ap_one_also_with_ids_of_zero(capsys):
    result = both(truth((0, 0, BOX)), found((0, 0, 0.9, BOX)))
    assert [result.ap, result.ap50, result.ar1, result.ap_small] == [ONE] * 4
    assert result.ap_medium is None and result.ap_large is None
    assert capsys.readouterr().out == ""


def test_no_detections_are_ap_zero_and_no_ground_truth_is_undefined():
    assert both(truth((0, 0, BOX)), found()).ap == 0.0
    result = both(truth(), found((0, 0, 0.9, BOX)))
    assert result.ap is None and result.per_class[0].ap is None and result.ar100 is None
    assert both(truth(), found()).ap50 is None


def test_a_detection_without_area_is_a_miss():
    assert both(
        truth((0, 0, BOX)), found((0, 0, 0.9, (12, 12, 12, 20)), (0, 0, 0.5, BOX))
    ).ap == pytest.approx(0.5)


def test_a_miss_ranked_above_the_hit_halves_precision():
    assert both(truth((0, 0, BOX)), found((0, 0, 0.9, (90, 90, 99, 99)), (0, 0, 0.5, BOX))).ap == 0.5


def test_half_the_boxes_found_gives_51_of_101_recall_points():
    result = both(truth((0, 0, BOX), (0, 0, (50, 50, 70, 70))), found((0, 0, 0.9, BOX)))
    assert result.ap == pytest.approx(51 / 101) and result.ar100 == 0.5


def test_an_overlap_of_exactly_the_threshold_counts():
    result = both(truth((0, 0, (0, 0, 20, 10))), found((0, 0, 0.9, (0, 0, 10, 10))))  # IoU 1/2
    assert result.ap50 == ONE and result.ap75 == 0.0 and result.ap == pytest.approx(0.1)


def test_of_two_boxes_equally_near_the_later_is_taken_as_the_published_tool_does():
    # The first detection lies midway (IoU 0.6 with either); the second fits the first box only.
    ground_truth = truth((0, 0, (0, 0, 20, 10)), (0, 0, (10, 0, 30, 10)))
    detections = found((0, 0, 0.9, (5, 0, 25, 10)), (0, 0, 0.8, (0, 0, 20, 10)))
    assert both(ground_truth, detections).ap50 == ONE


def test_a_second_detection_of_one_box_is_a_miss():
    ground_truth = truth((0, 0, BOX), (0, 0, (50, 50, 70, 70)))
    result = both(ground_truth, found((0, 0, 0.9, BOX), (0, 0, 0.8, BOX), (0, 0, 0.7, (50, 50, 70, 70))))
    assert result.ap == pytest.approx((51 * 1.0 + 50 * 2 / 3) / 101)


@pytest.mark.parametrize("flag", ["ignore", "iscrowd"])
def test_ignored_boxes_count_neither_as_found_nor_as_missed(flag):
    other = (50, 50, 70, 70)
    ground_truth = truth((0, 0, BOX), (0, 0, other, {flag: True}))
    assert both(ground_truth, found((0, 0, 0.9, BOX))).ap == ONE
    assert both(ground_truth, found((0, 0, 0.95, other), (0, 0, 0.9, BOX))).ap == ONE
    assert both(ground_truth, found((0, 0, 0.9, BOX))).per_class[0].num_ground_truth == 1


def test_a_crowd_absorbs_many_detections_and_an_ignored_box_one():
    inside = [(0, 0, 0.9 + k / 100, (50 + k, 50, 60 + k, 60)) for k in range(4)]
    crowd = truth((0, 0, BOX), (0, 0, (50, 50, 90, 90), {"iscrowd": True}))
    assert both(crowd, found(*inside, (0, 0, 0.5, BOX))).ap == ONE
    twice = [(0, 0, 0.9, (50, 50, 90, 90)), (0, 0, 0.8, (50, 50, 90, 90)), (0, 0, 0.5, BOX)]
    ignored = truth((0, 0, BOX), (0, 0, (50, 50, 90, 90), {"ignore": True}))
    assert both(ignored, found(*twice)).ap == 0.5


def test_sizes_split_at_32_and_96_squared_pixels_of_the_stated_area():
    small, large = (0, 0, 32, 32), (60, 60, 157, 157)
    ground_truth = truth((0, 0, small), (0, 0, large), (0, 0, (100, 0, 140, 40), {"area": 900.0}))
    result = both(ground_truth, found((0, 0, 0.9, small), (0, 0, 0.8, large)))
    assert result.ap_small == pytest.approx(51 / 101) and result.ap_large == ONE
    assert result.ap_medium == ONE  # 32 x 32 lies on the border and belongs to both
    assert result.ar_small == 0.5


def test_at_most_one_ten_or_a_hundred_detections_per_picture_and_class_count():
    misses = [(0, 0, 0.9, (90, 90, 95, 95))] * 120
    ground_truth = truth((0, 0, BOX))
    assert both(ground_truth, found(*misses[:5], (0, 0, 0.5, BOX))).ar1 == 0.0
    assert both(ground_truth, found(*misses[:5], (0, 0, 0.5, BOX))).ar10 == ONE
    assert both(ground_truth, found(*misses, (0, 0, 0.5, BOX))).ar100 == 0.0


def test_classes_are_averaged_and_those_without_ground_truth_left_out():
    ground_truth = truth((0, 0, BOX), (0, 2, BOX), num_classes=3)
    result = both(ground_truth, found((0, 0, 0.9, BOX), (0, 1, 0.9, BOX)))
    assert [c.ap for c in result.per_class] == [ONE, None, 0.0] and result.ap == pytest.approx(0.5)


def test_the_thresholds_are_the_ten_doubles_of_the_published_tool():
    assert IOU_THRESHOLDS.tolist() == np.linspace(0.5, 0.95, 10).tolist()
    assert len(IOU_THRESHOLDS) == 10


def test_unknown_pictures_and_missing_masks_are_told():
    with pytest.raises(BadInput, match="image_id 9, which the ground truth does not hold"):
        coco_ap(truth((0, 0, BOX)), found((9, 0, 0.9, BOX)), iou_type="bbox")
    with pytest.raises(BadInput, match="category_id 4"):
        coco_ap_reference(truth((0, 0, BOX)), found((0, 4, 0.9, BOX)))
    with pytest.raises(BadInput, match="annotation 0 has no mask"):
        coco_ap(truth((0, 0, BOX)), Detections.empty(masks=True), iou_type="segm")
    with pytest.raises(BadInput, match="the detections have no masks"):
        coco_ap(truth(), found((0, 0, 0.9, BOX)), iou_type="segm")


# Half pixels from a few values, so that overlaps of exactly 0.5 or 0.75 and equal scores are frequent.
COORDINATE = st.integers(0, 40).map(lambda v: v / 2)
SIDE = st.sampled_from([1, 2, 4, 10, 31.5, 32, 33, 96, 100])
A_BOX = st.tuples(COORDINATE, COORDINATE, SIDE, SIDE).map(lambda b: (b[0], b[1], b[0] + b[2], b[1] + b[3]))
PLACE = st.tuples(st.integers(0, 2), st.integers(0, 1))
FLAGS = st.fixed_dictionaries({"iscrowd": st.booleans(), "ignore": st.booleans()})
MOSTLY_PLAIN = st.one_of(st.just({}), st.just({}), FLAGS)
OBJECT = st.tuples(PLACE, A_BOX, MOSTLY_PLAIN).map(lambda t: (*t[0], t[1], t[2]))
SCORE = st.sampled_from([0.1, 0.2, 0.5, 0.9])


@settings(max_examples=150, deadline=None)
@given(data=st.data(), objects=st.lists(OBJECT, max_size=10))
def test_the_reference_agrees_with_pycocotools_on_colliding_boxes(data, objects):
    near = st.sampled_from([o[2] for o in objects]) if objects else A_BOX
    row = st.tuples(PLACE, SCORE, st.one_of(near, A_BOX)).map(lambda t: (*t[0], t[1], t[2]))
    both(truth(*objects, num_images=3, num_classes=2), found(*data.draw(st.lists(row, max_size=14))))


@pytest.mark.parametrize("seed", range(8))
def test_the_reference_agrees_with_pycocotools_on_jittered_detections(seed):
    rng = np.random.default_rng(seed)
    objects, rows = [], []
    for _ in range(40):
        image, label = int(rng.integers(4)), int(rng.integers(3))
        x, y, w, h = rng.uniform(0, 80), rng.uniform(0, 80), rng.uniform(5, 110), rng.uniform(5, 110)
        flags = {"iscrowd": bool(rng.random() < 0.1), "ignore": bool(rng.random() < 0.1)}
        objects.append((image, label, (x, y, x + w, y + h), flags))
        for _ in range(int(rng.integers(4))):
            dx, dy, dw, dh = rng.normal(0, 0.12, 4) * (w, h, w, h)
            rows.append(
                (image, label, rng.random(), (x + dx, y + dy, x + dx + w + abs(dw), y + dy + h + abs(dh)))
            )
    result = both(truth(*objects, num_images=4, num_classes=3), found(*rows))
    assert 0.05 < result.ap < 0.95


def with_masks(boxes, size=200) -> tuple:
    """Rectangles as masks; they make mask and box metrics coincide on whole pixels."""
    masks = []
    for x1, y1, x2, y2 in boxes:
        mask = np.zeros((size, size), bool)
        mask[y1:y2, x1:x2] = True
        masks.append(encode(mask))
    return tuple(masks)


def test_masks_of_rectangles_score_like_their_boxes_and_holes_cost():
    boxes = [(10, 10, 50, 50), (60, 60, 160, 160), (0, 100, 20, 140)]
    masks = with_masks(boxes)
    ground_truth = truth(*[(0, 0, b, {"segmentation": m}) for b, m in zip(boxes, masks, strict=True)])
    moved = [(12, 10, 52, 50), (60, 66, 160, 166), (0, 100, 20, 140)]
    detections = Detections([0] * 3, [0] * 3, [0.9, 0.8, 0.7], moved, with_masks(moved))
    boxed, masked = (
        coco_ap(ground_truth, detections, iou_type="bbox"),
        coco_ap(ground_truth, detections, iou_type="segm"),
    )
    assert masked == boxed and 0 < masked.ap < 1
    hole = np.zeros((200, 200), bool)
    hole[60:160, 60:160] = True
    hole[70:150, 70:150] = False  # IoU 0.36
    detections = Detections([0], [0], [0.9], [boxes[1]], (encode(hole),))
    assert coco_ap(ground_truth, detections, iou_type="segm").ap50 == 0.0
    assert coco_ap(ground_truth, detections, iou_type="bbox").ap50 == pytest.approx(34 / 101)
