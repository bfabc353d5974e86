"""AP of instance detection: closed forms on the small coloured store, and the stage as a command."""

import dataclasses
import json

import numpy as np
import pytest

from experiments.solid.learn.data.unseen import unseen_classes
from experiments.solid.learn.instances import class_ids, measure, result_rows, scene_truth
from experiments.solid.store.reader import SolidStore
from suite.datasets import Detections
from suite.tables import read_csv
from tests.solid.learn.pretrain.runs import Run
from tests.solid.learn.stores import LAYOUT

ROWS = np.arange(12)


@pytest.fixture
def truth(store_folder, store_index, with_pretrain):
    store = SolidStore.open(store_folder)
    return scene_truth(store, store_index, ROWS, with_pretrain(min_box=0.0).pretrain)


def as_found(rows, scores=None):
    boxes = np.array([row.box_xywh for row in rows], float).reshape(-1, 4)
    return Detections(
        np.array([row.image_id for row in rows]),
        np.array([row.category_id for row in rows]),
        np.ones(len(rows)) if scores is None else scores,
        np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1),
        tuple(row.segmentation for row in rows),
    )


def test_the_truth_is_what_the_store_holds(truth, store_index):
    assert [image.id for image in truth.images] == ROWS.tolist()
    assert len(truth.annotations) == len(store_index.boxes)
    assert {row.category_id - 1 for row in truth.annotations} == set(store_index.boxes[:, 4].tolist())
    assert not any(row.ignore for row in truth.annotations)


def test_objects_below_the_least_size_of_training_neither_count_nor_cost(
    store_folder, store_index, with_pretrain
):
    """tiny.yaml resizes the short edge of 48 to 56 (the middle of 48 and 56), so 16 px become 18.7."""
    store = SolidStore.open(store_folder)
    small = scene_truth(store, store_index, ROWS, with_pretrain(min_box=18.0).pretrain)
    sides = np.array([min(row.box_xywh[2:]) for row in small.annotations])
    np.testing.assert_array_equal([row.ignore for row in small.annotations], sides * 56 / 48 <= 18.0)
    assert 0 < sum(row.ignore for row in small.annotations) < len(sides)
    counted = [row for row in small.annotations if not row.ignore]
    groups = measure(small, as_found(counted), np.zeros(6, bool))
    assert groups["seen"]["bbox"]["ap"] == groups["any"]["segm"]["ap"] == 1.0
    assert groups["seen"]["objects"] == len(counted)


def test_the_truth_itself_scores_one_in_every_group(truth):
    groups = measure(truth, as_found(truth.annotations), unseen_classes(6, 2))
    assert all(group[kind][key] == 1.0 for group in groups.values() for kind in ("bbox", "segm")
               for key in ("ap", "ap50"))  # fmt: skip
    assert groups["seen"]["objects"] + groups["unseen"]["objects"] == groups["any"]["objects"]
    assert (groups["seen"]["models"], groups["unseen"]["models"]) == (4, 2)


def test_only_the_unseen_models_wrong_is_one_and_zero(truth):
    unseen = unseen_classes(6, 2)
    right = [row for row in truth.annotations if not unseen[row.category_id - 1]]
    groups = measure(truth, as_found(right), unseen)
    assert groups["seen"]["bbox"]["ap"] == 1.0 and groups["unseen"]["bbox"]["ap"] == 0.0
    share = len(right) / len(truth.annotations)  # recall; precision is 1 up to there
    points = np.floor(100 * share + 1e-9) + 1
    assert groups["any"]["bbox"]["ap50"] == pytest.approx(points / 101)


def test_the_right_place_under_a_wrong_name_is_found_but_not_known(truth):
    """Every object is answered by the next class: nothing is right, yet everything is found."""
    shifted = as_found(truth.annotations)
    wrong = Detections(
        shifted.image_ids, shifted.category_ids % 6 + 1, shifted.scores, shifted.boxes_xyxy, shifted.masks
    )
    groups = measure(truth, wrong, np.zeros(6, bool))
    assert groups["any"]["bbox"]["ap"] == 1.0
    assert groups["seen"]["bbox"]["ap"] < 0.2


def test_nothing_found_is_zero_and_nothing_shown_is_undefined(truth):
    groups = measure(truth, Detections.empty(masks=True), np.zeros(6, bool))
    assert groups["seen"]["bbox"]["ap"] == 0.0 and groups["any"]["segm"]["ap50"] == 0.0
    assert groups["unseen"] == {
        "models": 0, "objects": 0,
        "bbox": {"ap": None, "ap50": None}, "segm": {"ap": None, "ap50": None},
    }  # fmt: skip
    rows = {(row["row"], row["metric"]): row["value"] for row in result_rows(groups)}
    assert rows["unseen models", "box AP50"] == "" and rows["any model", "mask AP"] == 0.0
    assert len(rows) == 12


def test_the_category_of_a_class_is_its_number_plus_one():
    assert class_ids(3) == [1, 2, 3]


@pytest.fixture(scope="module")
def learnt(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("run"), "pretrain.held_out_models=1", "pretrain.min_box=0.0")
    run.must("pretrain")
    return run


@pytest.mark.slow
def test_the_stage_measures_seen_and_unseen_models(learnt):
    folder = learnt.must("instances", verb="instances")
    summary = json.loads((folder / "summary.json").read_text())
    groups = summary["groups"]
    assert summary["held_out_models"] == 1 and groups["unseen"]["models"] == 1
    assert groups["unseen"]["objects"] > 0 and 0 <= groups["unseen"]["bbox"]["ap50"] <= 1
    assert summary["retrieval"]["unseen_boxes"] > 0
    assert 0 <= summary["retrieval"]["unseen_fresh_top1"] <= 1
    assert len(read_csv(folder / "results.csv")) == 12
    again = learnt.must("again", verb="instances", fresh=True)
    assert (again / "predictions.json").read_bytes() == (folder / "predictions.json").read_bytes()


LEARNING = (
    "store.num_images=80", "pretrain.held_out_models=2", "pretrain.held_out=16", "pretrain.min_box=2.0",
    "pretrain.batch_size=4", "pretrain.num_queries=12", "pretrain.iterations=240", "pretrain.schedule=320",
    "pretrain.warmup=10", "pretrain.lr=0.02", "pretrain.ema=0.98", "pretrain.checkpoint_every=240",
    "pretrain.retrieval_every=0",
)  # fmt: skip


@pytest.mark.slow
def test_a_short_training_finds_seen_and_unseen_models_and_its_control_does_not(tmp_path):
    """Twelve colours, ten of them in training, sixteen pictures held out. Measured, seen and unseen:

    | kernels (oneDNN, ATen)  | top-1      | shuffled queries | box AP50     | shuffled queries |
    |-------------------------|------------|------------------|--------------|------------------|
    | AVX-512, AVX-512        | 0.74, 0.34 | 0.12, 0.05       | 0.097, 0.059 | 0.010, 0.000     |
    | AVX2, AVX2              | 0.72, 0.84 | 0.20, 0.03       | 0.117, 0.068 | 0.001, 0.030     |
    | AVX2, none              | 0.82, 0.57 | 0.07, 0.30       | 0.068, 0.071 | 0.006, 0.007     |
    | SSE4.1, AVX2            | 0.75, 0.62 | 0.19, 0.05       | 0.090, 0.088 | 0.004, 0.000     |
    | AVX, none               | 0.57, 0.73 | 0.16, 0.10       | 0.101, 0.059 | 0.010, 0.001     |

    There are 38 objects of the two unseen models, and one lucky box is 0.03: the bounds that compare are on
    both groups together.
    """
    layout = dataclasses.replace(LAYOUT, num_images=80, num_classes=12)
    groups, top1 = {}, {}
    for name, shuffled in (("trained", "false"), ("control", "true")):
        run = Run(tmp_path / name, *LEARNING, f"pretrain.shuffled_queries={shuffled}", layout=layout)
        run.must("pretrain")
        summary = json.loads((run.must("instances", verb="instances") / "summary.json").read_text())
        groups[name], found = summary["groups"], summary["retrieval"]
        top1[name] = found["held_out_fresh_top1"], found["unseen_fresh_top1"]
    chance = 1 / 12
    assert top1["trained"][0] > 5 * chance and top1["trained"][1] > 2 * chance
    assert sum(top1["trained"]) > 2 * sum(top1["control"]) and sum(top1["control"]) < 6 * chance
    trained, control = (
        [groups[name][group]["bbox"]["ap50"] for group in ("seen", "unseen")] for name in top1
    )  # fmt: skip
    assert min(trained) > 0.02 and sum(trained) > 3 * sum(control)


@pytest.mark.slow
def test_without_held_out_pictures_the_stage_says_so(tmp_path):
    run = Run(tmp_path, "pretrain.held_out=0")
    run.must("pretrain")
    summary = json.loads((run.must("instances", verb="instances") / "summary.json").read_text())
    assert summary["pictures"] == 0 and summary["groups"]["any"]["bbox"]["ap"] is None
    warnings = json.loads((tmp_path / "instances/manifest.json").read_text())["warnings"]
    assert any("no picture is held out" in text for text in warnings)
