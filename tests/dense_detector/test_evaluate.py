"""AP of detectors: what must come out for perfect, empty and random detections, and where boxes end up."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments.dense_detector.config import DenseConfig, variant
from experiments.dense_detector.decode import Detections as Found
from experiments.dense_detector.detector import choose_shapes, make_detector
from experiments.dense_detector.evaluate import METRICS, Evaluator, locality, to_original
from experiments.dense_detector.splits import Subset, dataset_of
from suite.config import load_config
from suite.datasets.detections import Detections
from suite.metrics.reference import coco_ap_reference
from suite.seeds import item_rng
from tests.dense_detector.chain import ROOT, Chain, make_sets, subsets

SAME = 1e-6  # two implementations of the same protocol in double precision


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The config, and the data set of the validation pictures: crowd regions, one picture without a box."""
    folder = tmp_path_factory.mktemp("evaluate")
    chain = Chain(make_sets(folder / "sets"), folder, ("data.area=[0, 900]",))
    return chain.config, dataset_of(subsets(folder, chain.config, chain.sets)[0], chain.config.data)


def all_boxes(selection, wanted=lambda image: True):
    """The counting boxes of some pictures as detections."""
    chosen = [image for image in selection.images if wanted(image)]
    ids = np.concatenate([np.full(len(image.boxes), image.image_id) for image in chosen])
    labels = np.concatenate([image.labels for image in chosen])
    boxes = np.concatenate([image.boxes for image in chosen])
    return Detections(ids, np.array(selection.category_ids)[labels], np.ones(len(ids)), boxes)


def test_perfect_detections_have_an_ap_of_one(data):
    _, dataset = data
    found = Evaluator(dataset).measure(all_boxes(dataset.selection))
    assert [found.metrics.ap, found.metrics.ap50, found.metrics.ar100] == pytest.approx([1, 1, 1])
    assert all((curve.precision > 1 - SAME).all() for curve in found.curves)


def test_no_detections_have_an_ap_of_zero(data):
    assert Evaluator(data[1]).measure(Detections.empty()).metrics.ap == 0


def test_a_single_perfect_detection_in_the_one_picture_counts(data):
    """The published evaluator takes match number 0 for no match and gives 0."""
    config, dataset = data
    image = next(image for image in dataset.selection.images if len(image.boxes) == 1)
    alone = replace(dataset.selection, images=(image,))
    evaluator = Evaluator(dataset_of(Subset(alone, dataset.images_dir), config.data))
    assert evaluator.measure(all_boxes(alone)).metrics.ap == pytest.approx(1)


def test_boxes_beyond_the_area_limits_are_neither_hits_nor_misses(data):
    """Detections of every box, also of the ignored ones: still perfect."""
    _, dataset = data
    images = dataset.selection.images
    assert sum((~image.ignore_crowd).sum() for image in images), "no box is beyond the limits"
    every = [
        replace(
            image,
            boxes=np.concatenate([image.boxes, image.ignore]),
            labels=np.concatenate([image.labels, image.ignore_labels]),
        )
        for image in images
    ]
    found = all_boxes(replace(dataset.selection, images=tuple(every)))
    assert Evaluator(dataset).measure(found).metrics.ap == pytest.approx(1)


@pytest.mark.parametrize("seed", range(3))
def test_random_detections_measure_as_in_the_numpy_reference(data, seed):
    """Boxes near true ones, with equal scores among them, on pictures with crowd and ignored regions."""
    _, dataset = data
    rng = item_rng(seed, "test.evaluate", 0)
    true = all_boxes(dataset.selection)
    rows = rng.integers(len(true), size=4 * len(true))
    corners = true.boxes_xyxy[rows] + rng.normal(0, 6, (len(rows), 4))
    boxes = np.concatenate(
        [np.minimum(corners[:, :2], corners[:, 2:]), np.maximum(corners[:, :2], corners[:, 2:])], 1
    )
    scores = rng.integers(1, 6, len(rows)) / 5
    found = Detections(true.image_ids[rows], true.category_ids[rows], scores, boxes)
    evaluator = Evaluator(dataset)
    ours, other = evaluator.measure(found).metrics, coco_ap_reference(evaluator.truth, found)
    assert 0 < ours.ap < 1
    for name in METRICS:
        assert getattr(ours, name) == pytest.approx(getattr(other, name), abs=SAME)


def test_boxes_are_mapped_back_by_both_factors_of_the_resize(data):
    config, dataset = data
    detector = make_detector(config, ((1, "person"), (18, "dog")), torch.ones(2, 2), "cpu")
    found = [Found(torch.tensor([[8.0, 4.0, 32.0, 16.0]]), torch.tensor([0.5]), torch.tensor([1]))]
    table = to_original(detector, found, [7], torch.tensor([[160.0, 96.0]]))
    assert config.data.size_wh == (64, 32)
    assert table.boxes_xyxy.tolist() == [[20, 12, 80, 48]]  # times 160 / 64 and 96 / 32
    assert (table.image_ids.tolist(), table.category_ids.tolist()) == ([7], [18])


def test_the_published_flattening_gives_nearly_every_anchor_the_logit_of_another():
    """By hand from the two orders, master at 128x64: 0.03 percent keep theirs, 12.3 cells off on the mean."""
    config = load_config(DenseConfig, ROOT / "experiments/dense_detector/configs/paper.yaml")
    shapes = choose_shapes(config, None, 0)
    for name, share, cells in (("ours", 1, 0), ("compat", 0.0003, 12.3)):
        found = locality(make_detector(variant(config, name), ((1, "person"),), shapes, "cpu"))
        assert found["own_share"] == pytest.approx(share, abs=5e-5)
        assert found["mean_cells"] == pytest.approx(cells, abs=0.05)
