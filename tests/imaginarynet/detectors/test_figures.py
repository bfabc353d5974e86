"""Figures of a detector: closed forms, and the metrics against other implementations."""

import importlib.util
from collections import defaultdict

import numpy as np
import pytest

from experiments.imaginarynet.detectors.figures import (
    area_ratios,
    category_ids,
    class_rows,
    only,
    surest_overall,
    train_figures,
)
from experiments.imaginarynet.detectors.figures import test_figures as figures_of_test
from suite.datasets import CocoAnnotation, CocoCategory, CocoImage, CocoSet, Detections, write_voc
from suite.errors import BadInput
from suite.metrics.voc import corloc, voc_ap

CATEGORIES = (CocoCategory(1, "mug"), CocoCategory(2, "lemon"))


def target_of(rows, *, images=None, categories=CATEGORIES):
    """rows: (image id, category id, x, y, w, h) and optionally whether it is difficult."""
    ids = sorted(images or {row[0] for row in rows})
    objects = tuple(
        CocoAnnotation(k, image, category, (x, y, w, h), w * h, ignore=any(difficult))
        for k, (image, category, x, y, w, h, *difficult) in enumerate(rows, start=1)
    )
    return CocoSet(tuple(CocoImage(key, f"{key:06d}.jpg", 100, 80) for key in ids), objects, categories)


def found_of(rows):
    """rows: (image id, category id, score, x1, y1, x2, y2)."""
    table = np.array(rows, dtype=np.float64).reshape(-1, 7)
    return Detections(table[:, 0], table[:, 1], table[:, 2], table[:, 3:])


# --- classes ---


def test_classes_are_found_by_name_and_one_that_the_target_lacks_is_one_line():
    target = target_of([(1, 1, 0, 0, 5, 5)])
    assert category_ids(("lemon", "mug"), target) == (2, 1)
    with pytest.raises(BadInput, match="no class 'cup'"):
        category_ids(("mug", "cup"), target)


def test_classes_that_the_detector_does_not_know_are_left_out_and_pictures_stay():
    target = only(target_of([(1, 1, 0, 0, 5, 5), (2, 2, 0, 0, 5, 5)]), ["lemon"])
    assert [one.name for one in target.categories] == ["lemon"]
    assert (len(target.images), len(target.annotations)) == (2, 1)


# --- sizes ---


def test_half_a_box_has_ratio_a_half_and_the_whole_picture_more_than_one():
    target = target_of([(1, 1, 10, 10, 20, 10), (2, 1, 10, 10, 20, 10)])
    best = found_of([(1, 1, 0.9, 10, 10, 20, 20), (2, 1, 0.9, 0, 0, 100, 80)])
    assert area_ratios(target, best).tolist() == [0.5, 40.0]


def test_only_the_surest_box_counts_and_of_the_objects_the_one_that_it_overlaps_most():
    target = target_of([(1, 1, 0, 0, 10, 10), (1, 1, 40, 40, 20, 20), (1, 2, 40, 40, 1, 1)])
    best = found_of([(1, 1, 0.3, 0, 0, 10, 10), (1, 1, 0.8, 40, 40, 60, 50)])
    assert area_ratios(target, best).tolist() == [0.5]


def test_a_box_beside_every_object_and_a_class_without_a_box_give_no_ratio():
    target = target_of([(1, 1, 0, 0, 10, 10), (1, 2, 0, 0, 10, 10)])
    figures = train_figures(target, found_of([(1, 1, 0.9, 50, 50, 60, 60)]))
    assert (figures["area_ratio_pairs"], figures["median_area_ratio"]) == (0, None)
    assert figures["corloc"] == {"mean": 0.0, "per_class": {"mug": 0.0, "lemon": 0.0}}


# --- the cap of a class over all pictures ---


def test_the_surest_of_each_class_stay_in_their_order():
    found = found_of([(k, 1 + k % 2, score, 0, 0, 1, 1) for k, score in enumerate([0.1, 0.9, 0.8, 0.2, 0.5])])
    kept = surest_overall(found, 1)
    assert kept.image_ids.tolist() == [1, 2]
    assert surest_overall(found, 0) is found
    assert len(surest_overall(found, 5)) == 5


def test_of_equal_scores_the_first_stay():
    found = found_of([(k, 1, 0.5, 0, 0, 1, 1) for k in range(4)])
    assert surest_overall(found, 3).image_ids.tolist() == [0, 1, 2]


# --- tables ---


def test_perfect_detections_score_one_by_every_metric_and_class_rows_are_percent():
    rows = [(1, 1, 0, 0, 40, 40), (2, 2, 5, 5, 40, 40), (3, 1, 1, 1, 40, 40, True)]
    target = target_of(rows, categories=(*CATEGORIES, CocoCategory(3, "chair")))
    found = found_of([(i, c, 0.9, x, y, x + w, y + h) for i, c, x, y, w, h, *_ in rows])
    test, train = figures_of_test(target, found), train_figures(target, found)
    assert test["voc07_ap"]["mean"] == test["voc_area_ap"]["mean"] == 1.0
    assert test["coco"]["ap"] == pytest.approx(1.0)
    assert (test["objects"], test["pictures"], test["detections"]) == (2, 3, 3)
    table = class_rows(target, test, train)
    assert [row["class_name"] for row in table] == ["mug", "lemon", "chair"]
    assert [row["objects"] for row in table] == [1, 1, 0]
    assert [row["corloc"] for row in table] == [100.0, 100.0, None]
    assert [row["voc07_ap"] for row in table] == [100.0, 100.0, None]


def test_the_iou_of_the_settings_is_that_of_the_figures():
    target = target_of([(1, 1, 0, 0, 10, 10)], categories=CATEGORIES[:1])
    found = found_of([(1, 1, 0.9, 0, 0, 10, 8)])
    assert figures_of_test(target, found, iou=0.75)["voc07_ap"]["mean"] == 1.0
    assert figures_of_test(target, found, iou=0.85)["voc07_ap"]["mean"] == 0.0
    assert train_figures(target, found, iou=0.85)["corloc"]["mean"] == 0.0


# --- against others ---


def made_up(seed):
    """Objects on whole pixels, some difficult, and detections near and far from them."""
    rng = np.random.default_rng(seed)
    rows, found = [], []
    for image in range(1, 7):
        for _ in range(rng.integers(0, 4)):
            w, h = rng.integers(8, 40, 2).tolist()
            x, y = rng.integers(0, 100 - w), rng.integers(0, 80 - h)
            category = int(rng.integers(1, 3))
            rows.append((image, category, int(x), int(y), w, h, bool(rng.random() < 0.25)))
            for _ in range(rng.integers(0, 3)):
                corners = np.array([x, y, x + w, y + h]) + rng.integers(-6, 7, 4)
                x1, y1, x2, y2 = np.clip(corners, 0, [99, 79, 100, 80])
                found.append((image, category, rng.random(), x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)))
        found.append((image, int(rng.integers(1, 3)), rng.random(), 0, 0, *rng.integers(10, 60, 2)))
    return target_of(rows, images=range(1, 7)), found_of(found)


@pytest.mark.skipif(importlib.util.find_spec("detectron2") is None, reason="needs detectron2")
def test_ap_is_that_of_detectron2s_port_of_the_voc_tool(tmp_path):
    import suite.compat.detectron2  # noqa: F401

    # isort: split
    from detectron2.evaluation.pascal_voc_evaluation import voc_eval

    compared = []
    for seed in range(6):
        target, found = made_up(seed)
        root = tmp_path / str(seed)
        write_voc(root, target, split="test")
        for category in target.categories:
            mine = np.flatnonzero(found.category_ids == category.id)
            lines = []
            for k in mine:  # VOC counts pixels from 1, and the last one is inside
                x1, y1, x2, y2 = found.boxes_xyxy[k].tolist()
                lines.append(f"{found.image_ids[k]:06d} {found.scores[k]:.17g} {x1 + 1} {y1 + 1} {x2} {y2}")
            (root / f"{category.name}.txt").write_text(
                "\n".join(lines).replace("np.float64(", "").replace(")", "")
            )
            names = ("{}.txt", "Annotations/{}.xml", "ImageSets/Main/test.txt")
            paths = [str(root / name) for name in names]
            for is_07 in (True, False):
                ours = voc_ap(target, found, use_07_metric=is_07).per_class[category.name]
                if ours is not None:
                    _, _, theirs = voc_eval(*paths, category.name, ovthresh=0.5, use_07_metric=is_07)
                    assert ours == pytest.approx(theirs, abs=1e-9), (seed, category.name, is_07)
                    compared.append(ours)
    assert len(compared) >= 20
    assert 0.0 < np.mean(compared) < 1.0


def plain_corloc(target, found):
    """The published script's way, loop by loop, on pixels counted from 1 with the last one inside."""
    truth = defaultdict(lambda: defaultdict(list))
    for one in target.annotations:
        x, y, w, h = one.box_xywh
        truth[one.category_id][one.image_id].append((x + 1, y + 1, x + w, y + h))
    result = {}
    for category in target.categories:
        right = 0
        for image, boxes in truth[category.id].items():
            best, box = -1.0, None
            for k in range(len(found)):
                key = found.image_ids[k], found.category_ids[k]
                if key == (image, category.id) and found.scores[k] > best:
                    best, box = found.scores[k], found.boxes_xyxy[k]
            if box is None:
                continue
            x1, y1, x2, y2 = box[0] + 1, box[1] + 1, box[2], box[3]
            for gx1, gy1, gx2, gy2 in boxes:
                iw, ih = min(x2, gx2) - max(x1, gx1) + 1, min(y2, gy2) - max(y1, gy1) + 1
                if iw > 0 and ih > 0:
                    areas = (x2 - x1 + 1) * (y2 - y1 + 1) + (gx2 - gx1 + 1) * (gy2 - gy1 + 1)
                    if iw * ih / (areas - iw * ih) > 0.5:
                        right += 1
                        break
        result[category.name] = right / len(truth[category.id]) if truth[category.id] else None
    return result


@pytest.mark.parametrize("seed", range(8))
def test_corloc_is_that_of_the_plain_loops(seed):
    target, found = made_up(seed)
    assert corloc(target, found).per_class == plain_corloc(target, found)
