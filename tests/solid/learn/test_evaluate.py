"""Predictions, tables and pictures of `evaluate`."""

import csv
import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.structures import Boxes, Instances

from experiments.solid.learn.data.coco import load_target_set
from experiments.solid.learn.data.finetune import test_loader as loader_of
from experiments.solid.learn.evaluate_drawn import draw_pictures, evenly, label_map
from experiments.solid.learn.evaluate_predict import predict, same_padding
from experiments.solid.learn.evaluate_tables import (
    arm_names,
    class_rows,
    result_rows,
    schedule_name,
)
from experiments.solid.learn.finetune.cfg import build, finetune_cfg
from suite.datasets import Detections
from suite.datasets.masks import decode, to_rle
from suite.metrics.coco import coco_ap
from suite.provenance import ROOT
from suite.tables import csv_text

PUBLISHED = ROOT / "experiments/solid/published.csv"


class Oracle(torch.nn.Module):
    """Finds exactly the ground truth, with the scores it is given."""

    def __init__(self, data, score):
        super().__init__()
        self.backbone = torch.nn.Module()
        self.backbone.size_divisibility = 32
        self.data, self.score, self.batches = data, score, []

    def forward(self, batch):
        self.batches.append([item["image_id"] for item in batch])
        return [{"instances": self.truth(item)} for item in batch]

    def truth(self, item):
        rows = [r for r in self.data.test_set.annotations_by_image[item["image_id"]] if not r.iscrowd]
        found = Instances((item["height"], item["width"]))
        boxes = torch.tensor([r.box_xywh for r in rows], dtype=torch.float32).reshape(-1, 4)
        found.pred_boxes = Boxes(torch.cat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], dim=1))
        found.pred_classes = torch.tensor([self.data.category_ids.index(r.category_id) for r in rows]).long()
        found.scores = torch.full((len(rows),), self.score)
        masks = [decode(r.segmentation, item["height"], item["width"]) for r in rows]
        found.pred_masks = torch.from_numpy(np.array(masks).reshape(-1, item["height"], item["width"]))
        return found


@pytest.fixture
def data(target_settings):
    return load_target_set(target_settings)


def predicted(model, data, config, batch_size):
    batches = loader_of(data.test, config.finetune, batch_size=batch_size)
    return predict(model, batches, data.category_ids)


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_a_perfect_detector_gets_an_ap_of_one_for_boxes_and_masks(data, tiny_config, batch_size):
    found = predicted(Oracle(data, 0.9), data, tiny_config, batch_size)
    for iou_type in ("bbox", "segm"):
        result = coco_ap(data.test_set, found, iou_type=iou_type)
        assert (result.ap, result.ap50, result.ar100) == (1.0, 1.0, 1.0)


def test_class_numbers_become_the_ids_of_the_file(data, tiny_config):
    found = predicted(Oracle(data, 0.9), data, tiny_config, 2)
    truth = [a for a in data.test_set.annotations if not a.iscrowd]
    assert sorted(found.category_ids.tolist()) == sorted(a.category_id for a in truth)
    assert set(found.category_ids.tolist()) <= {3, 7, 11}


def test_a_networks_detections_do_not_depend_on_the_batch_size(data, tiny_config):
    """Random weights and a threshold of 0, so that there is much to compare."""
    detector = dataclasses.replace(tiny_config.detector, test_score=0.0)
    config = dataclasses.replace(tiny_config, detector=detector)
    torch.manual_seed(0)
    model = build(finetune_cfg(config, num_classes=len(data.class_names), device="cpu")).eval()
    one, many = (predicted(model, data, config, size) for size in (1, 4))
    assert len(one) > 100
    np.testing.assert_array_equal(one.image_ids, many.image_ids)
    np.testing.assert_allclose(one.scores, many.scores, atol=1e-5)
    np.testing.assert_allclose(one.boxes_xyxy, many.boxes_xyxy, atol=1e-2)


def test_pictures_of_different_padded_sizes_never_share_a_forward_pass():
    sizes = [(40, 60), (33, 64), (40, 65), (70, 33), (65, 64)]
    batch = [{"image": torch.zeros(3, *size), "n": n} for n, size in enumerate(sizes)]
    assert [[item["n"] for item in group] for group in same_padding(batch, 32)] == [[0, 1], [2], [3, 4]]
    assert [[item["n"] for item in group] for group in same_padding(batch[:2], 0)] == [[0], [1]]


def test_a_detector_that_finds_nothing_has_an_ap_of_zero(data, tiny_config):
    class Blind(Oracle):
        def truth(self, item):
            return super().truth(item)[torch.zeros(0, dtype=torch.long)]

    found = predicted(Blind(data, 0.5), data, tiny_config, 2)
    assert len(found) == 0
    assert coco_ap(data.test_set, found, iou_type="segm").ap == 0.0


@pytest.fixture
def results(data, tiny_config):
    oracle = predicted(Oracle(data, 0.9), data, tiny_config, 4)
    arms = {"pretrained": oracle, "random": Detections.empty(masks=True)}
    return {
        name: {kind: coco_ap(data.test_set, found, iou_type=kind) for kind in ("bbox", "segm")}
        for name, found in arms.items()
    }


def read(text):
    return list(csv.DictReader(text.splitlines()))


def test_results_have_one_row_per_arm_kind_and_metric_in_percent(results):
    rows = read(csv_text(result_rows("tabletop", results)))
    assert len(rows) == 2 * 2 * 12
    found = {(r["row"], r["metric"]): r["value"] for r in rows}
    assert found["tabletop pretrained", "box AP"] == found["tabletop pretrained", "mask AP50"] == "100.0"
    assert found["tabletop random", "box AP"] == "0.0"
    assert found["tabletop random", "box APl"] == ""  # no such object in the set
    assert list(rows[0])[:5] == ["table", "row", "metric", "value", "unit"]


def test_rows_of_the_published_setting_have_the_keys_of_the_published_table(results, target_settings):
    coco = dataclasses.replace(target_settings, test_json="data/coco/annotations/instances_val2017.json")
    assert schedule_name(coco, 90_000) == "COCO 1x" and schedule_name(coco, 180_000) == "COCO 2x"
    assert schedule_name(coco, 1000) == "COCO"
    assert schedule_name(target_settings, 90_000) == "test"
    assert schedule_name(dataclasses.replace(target_settings, source="tabletop"), 90_000) == "tabletop"
    assert schedule_name(dataclasses.replace(coco, max_train=10), 90_000) == "instances_val2017"
    published = {(r["table"], r["row"], r["metric"]) for r in csv.DictReader(PUBLISHED.open())}
    ours = [(r["table"], r["row"], r["metric"]) for r in result_rows("COCO 1x", results)]
    assert {("results", "COCO 1x", "box AP"), ("results", "COCO 1x", "mask AP")} <= published & set(ours)
    assert len(ours) == len(set(ours))


def test_the_class_table_has_every_class_of_every_arm(results):
    rows = read(csv_text(class_rows(results)))
    assert {(r["init"], r["iou_type"], r["name"]) for r in rows} == {
        (init, kind, name)
        for init in ("pretrained", "random")
        for kind in ("bbox", "segm")
        for name in ("cup", "box", "ball")
    }
    assert sum(int(r["objects"]) for r in rows if (r["init"], r["iou_type"]) == ("random", "bbox")) > 0


def test_repeated_arms_get_names_of_their_own():
    assert arm_names(["random", "pretrained", "random"]) == ["random", "pretrained", "random-2"]


def test_drawn_pictures_are_evenly_spaced_and_listed_with_their_columns(data, tiny_config, tmp_path):
    oracle = predicted(Oracle(data, 0.9), data, tiny_config, 4)
    weak = predicted(Oracle(data, 0.2), data, tiny_config, 4)
    draw_pictures(tmp_path / "drawn", data, {"pretrained": oracle, "random": weak}, count=2)
    listing = json.loads((tmp_path / "drawn/drawn.json").read_text())
    assert listing["columns"] == ["ground truth", "pretrained", "random"]
    assert [row["image_id"] for row in listing["pictures"]] == [101, 103]
    for row in listing["pictures"]:
        truth, found, none = row["objects"]
        assert truth == found and none == 0
        with Image.open(tmp_path / "drawn" / row["file"]) as picture:
            rgb = np.asarray(picture)
        third = rgb.shape[1] // 3
        assert rgb.shape[1] > 3 * 380
        # The first two columns show the same masks, the third only the picture.
        assert np.abs(rgb[:, :third].astype(int) - rgb[:, -third:]).mean() > 1


def test_evenly_spaced_positions_start_at_the_first_and_never_repeat():
    assert evenly(200, 12) == [0, 16, 33, 50, 66, 83, 100, 116, 133, 150, 166, 183]
    assert evenly(3, 12) == [0, 1, 2] and evenly(0, 4) == []


def test_later_masks_cover_earlier_ones():
    first, second = np.zeros((2, 3), bool), np.zeros((2, 3), bool)
    first[:, :2], second[0, 1:] = True, True
    assert label_map([first, second], 2, 3).tolist() == [[1, 2, 2], [1, 1, 0]]


def test_masks_are_written_as_compressed_rle(data, tiny_config):
    found = predicted(Oracle(data, 0.9), data, tiny_config, 4)
    for mask in found.masks:
        assert isinstance(mask["counts"], str) and to_rle(mask, *mask["size"]) == mask
