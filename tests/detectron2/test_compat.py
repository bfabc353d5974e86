"""suite.compat in the detectron2 environment (tox -e detectron2): the real libraries, computing."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="needs the detectron2 environment")

import suite.compat.detectron2  # noqa: E402
import suite.compat.mmcv  # noqa: E402

# isort: split
import numpy as np  # noqa: E402
from detectron2.data.common import AspectRatioGroupedDataset  # noqa: E402
from detectron2.structures import BitMasks, Boxes, PolygonMasks  # noqa: E402

from suite.compat.mmcv import nms  # noqa: E402

BOXES = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 1.0, 10.0, 10.0], [20.0, 20.0, 30.0, 30.0]])


def test_an_abandoned_iteration_leaves_the_loader_able_to_start_again():
    wide = [{"width": 2, "height": 1, "id": i} for i in range(5)]
    loader = AspectRatioGroupedDataset(wide, batch_size=2)
    next(iter(loader))
    ids = [[item["id"] for item in batch] for batch in loader]
    assert ids == [[0, 1], [2, 3]]


def test_batches_are_of_one_orientation_and_hold_every_item_once():
    items = [{"width": 1 + i % 2, "height": 1.5, "id": i} for i in range(12)]
    batches = list(AspectRatioGroupedDataset(items, batch_size=3))
    assert sorted(item["id"] for batch in batches for item in batch) == list(range(12))
    for batch in batches:
        assert len({item["width"] > item["height"] for item in batch}) == 1


def test_polygon_masks_work_with_the_restored_numpy_names():
    polygons = PolygonMasks([[np.array([0.0, 0.0, 8.0, 0.0, 8.0, 4.0, 0.0, 4.0])]])
    assert polygons.area().tolist() == [32.0]
    assert bool(polygons.nonempty()[0])
    masks = BitMasks.from_polygon_masks(polygons, 8, 8)
    assert masks.get_bounding_boxes().tensor.tolist() == [[0.0, 0.0, 8.0, 4.0]]


def test_coco_evaluation_scores_perfect_detections_with_one(tmp_path):
    import json

    from detectron2.data import DatasetCatalog, MetadataCatalog
    from detectron2.evaluation import COCOEvaluator
    from detectron2.structures import Instances

    file = tmp_path / "instances.json"
    file.write_text(json.dumps({
        "info": {}, "licenses": [], "categories": [{"id": 1, "name": "box"}],
        "images": [{"id": 1, "file_name": "a.png", "width": 64, "height": 64}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [4, 4, 40, 40], "area": 1600,
                         "iscrowd": 0}]}))
    name = f"perfect_{tmp_path.name}"
    DatasetCatalog.register(name, list)
    MetadataCatalog.get(name).set(json_file=str(file), thing_classes=["box"],
                                  thing_dataset_id_to_contiguous_id={1: 0})
    found = Instances((64, 64), pred_boxes=Boxes(torch.tensor([[4.0, 4.0, 44.0, 44.0]])),
                      scores=torch.tensor([0.9]), pred_classes=torch.tensor([0]))
    evaluator = COCOEvaluator(name, tasks=("bbox",), output_dir=str(tmp_path))
    evaluator.reset()
    evaluator.process([{"image_id": 1}], [{"instances": found}])
    assert evaluator.evaluate()["bbox"]["AP"] == pytest.approx(100.0)


def test_absent_compiled_code_refuses_only_when_it_is_called():
    from detectron2 import _C
    with pytest.raises(NotImplementedError, match="torchvision"):
        _C.deform_conv_forward(1, 2)
    from mmcv.ops import RoIPool
    with pytest.raises(NotImplementedError, match="torchvision"):
        RoIPool((2, 2))(torch.zeros(1, 1, 4, 4), torch.zeros(1, 5))


def test_nms_keeps_the_best_of_overlapping_boxes_as_mmdet_calls_it():
    from mmcv.ops import batched_nms
    scores = torch.tensor([0.8, 0.9, 0.7])
    assert nms(BOXES, scores, 0.5).tolist() == [1, 2]
    kept, index = batched_nms(BOXES, scores, torch.tensor([0, 0, 0]), {"type": "nms", "iou_threshold": 0.5})
    assert index.tolist() == [1, 2]
    assert kept[:, 4].tolist() == pytest.approx([0.9, 0.7])
    # another class is another picture as far as suppression goes
    assert sorted(batched_nms(BOXES, scores, torch.tensor([0, 1, 0]),
                              {"type": "nms", "iou_threshold": 0.5})[1].tolist()) == [0, 1, 2]


def test_nms_with_the_old_pixel_convention_is_refused():
    with pytest.raises(NotImplementedError, match="offset 0"):
        nms(BOXES, torch.ones(3), 0.5, offset=1)


def test_preparing_twice_changes_nothing():
    import sys

    before = sys.modules["detectron2._C"], sys.modules["mmcv._ext"]
    suite.compat.detectron2.prepare()
    suite.compat.mmcv.prepare()
    assert (sys.modules["detectron2._C"], sys.modules["mmcv._ext"]) == before


@pytest.mark.slow
def test_mask_rcnn_trains_one_step_and_its_loss_is_finite():
    from detectron2 import model_zoo
    from detectron2.config import instantiate
    from detectron2.structures import Instances
    from detectron2.utils.events import EventStorage

    torch.manual_seed(0)
    cfg = model_zoo.get_config("common/models/mask_rcnn_fpn.py").model
    cfg.backbone.bottom_up.stem.norm = cfg.backbone.bottom_up.stages.norm = "BN"
    cfg.backbone.bottom_up.freeze_at = 0
    cfg.pixel_std = [57.0, 57.0, 57.0]
    cfg.roi_heads.num_classes = 2
    model = instantiate(cfg).train()
    target = Instances((96, 96), gt_boxes=Boxes(torch.tensor([[10.0, 10.0, 60.0, 50.0]])),
                       gt_classes=torch.tensor([1]),
                       gt_masks=PolygonMasks([[np.array([10.0, 10, 60, 10, 60, 50, 10, 50])]]))
    picture = torch.randint(0, 255, (3, 96, 96), dtype=torch.uint8)
    with EventStorage():
        losses = model([{"image": picture, "instances": target, "height": 96, "width": 96}])
    total = sum(losses.values())
    total.backward()
    assert torch.isfinite(total)
