"""Eight pictures by heart: the whole chain from annotations to AP, with and without a box head."""

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from experiments.dense_detector.baselines import oracle
from experiments.dense_detector.config import DenseConfig, variant
from experiments.dense_detector.data import DetectionDataset
from experiments.dense_detector.db import create, import_coco, open_read_only
from experiments.dense_detector.detector import choose_shapes, make_detector
from experiments.dense_detector.evaluate import Evaluator
from experiments.dense_detector.selection import select
from suite.config import load_config
from tests.dense_detector.mini_coco import make_mini_coco

NUM_PICTURES, MAX_STEPS, LR = 8, 300, 3e-3
SMOKE = Path(__file__).parents[2] / "experiments/dense_detector/configs/smoke.yaml"
OVERRIDES = (
    "data.size_wh=[128, 64]", "data.classes=null", "model.network.head_channels=32", "train.threads=1"
)  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> DetectionDataset:
    """Eight pictures of mini-coco with all their boxes, crowd regions among them."""
    folder = tmp_path_factory.mktemp("overfit")
    annotations = make_mini_coco(folder / "coco", num_images=NUM_PICTURES, seed=4)
    create(folder / "train.db").close()
    import_coco(folder / "train.db", annotations, split="train")
    with contextlib.closing(open_read_only(folder / "train.db")) as conn:
        selection = select(conn, split="train", keep_empty=True)
    return DetectionDataset(selection, annotations.parent / "images", size_wh=(128, 64))


def ap50_by_heart(dataset: DetectionDataset, config: DenseConfig) -> tuple[float, float]:
    """AP50 on the pictures of the data set after MAX_STEPS steps on them, and that of the best anchors."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    shapes = choose_shapes(config, dataset.selection, 0)
    detector = make_detector(config, dataset_classes(dataset), shapes, "cpu")
    optimiser = torch.optim.AdamW(detector.model.parameters(), lr=LR)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LR, total_steps=MAX_STEPS)
    batch = dataset.batch(range(NUM_PICTURES))
    detector.model.train()
    for _ in range(MAX_STEPS):
        optimiser.zero_grad()
        detector.losses(detector.forward(batch.images), batch).total.backward()
        optimiser.step()
        schedule.step()
    evaluator = Evaluator(dataset)
    best_anchors = oracle(dataset.selection, detector.anchors, dataset.size_wh)
    return evaluator.evaluate(detector).metrics.ap50, evaluator.measure(best_anchors).metrics.ap50


def dataset_classes(dataset: DetectionDataset) -> tuple[tuple[int, str], ...]:
    """(category id, name) by label."""
    return tuple(zip(dataset.selection.category_ids, dataset.selection.class_names, strict=True))


@pytest.mark.slow
def test_with_a_box_head_it_learns_eight_pictures_by_heart(dataset):
    config = load_config(DenseConfig, SMOKE, OVERRIDES)
    assert ap50_by_heart(dataset, config)[0] >= 0.9


@pytest.mark.slow
def test_without_a_box_head_it_is_no_better_than_the_best_anchors(dataset):
    config = variant(load_config(DenseConfig, SMOKE, OVERRIDES), "no_box_head")
    # two shapes for all boxes: some are out of reach of any anchor, so the bound says something
    few = replace(config, anchors=replace(config.anchors, sizes=(), num_auto=2))
    found, best = ap50_by_heart(dataset, few)
    assert best < 0.9
    assert 0.2 < found <= best + 0.01
