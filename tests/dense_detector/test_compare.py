"""The comparison is fair: equal pictures, order, chances, budget, post-processing, metric (check 15)."""

from __future__ import annotations

import csv
import json
import socket
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from experiments.dense_detector import compare
from experiments.dense_detector.compare import best_lr, evaluate, picture_order, train
from experiments.dense_detector.compare_table import COLUMNS, as_text, mean_and_deviation, summarise
from experiments.dense_detector.config import DenseConfig
from experiments.dense_detector.contestants import Torchvision, make_contestant
from experiments.dense_detector.data import DetectionDataset
from experiments.dense_detector.detector import choose_shapes
from experiments.dense_detector.measure import FIGURES, count_macs, first_pictures, median_seconds
from experiments.dense_detector.stages import comparisons
from experiments.dense_detector.torchvision_models import (
    MatchedPictures,
    NativePictures,
    build,
    matched_sizes,
)
from suite.config import load_config
from suite.datasets import Detections
from suite.errors import Stopped
from tests.dense_detector.chain import ROOT, TINY, Chain, make_sets, subsets
from tests.dense_detector.mini_coco import HEIGHT, WIDTH

CHANCE = {"seed": 3, "epoch": 1, "flip": 0.5, "jitter": 0.2}


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    return Chain(make_sets(folder / "sets"), folder, ("compare.search_steps=1", "compare.max_steps=2"))


@pytest.fixture(scope="module")
def sets(chain, tmp_path_factory):
    return subsets(tmp_path_factory.mktemp("databases"), chain.config, chain.sets)


@pytest.fixture
def config(chain) -> DenseConfig:
    return chain.config


def ours(config, train_set, seed=0):
    torch.manual_seed(seed)
    shapes = choose_shapes(config, train_set.selection, 0)
    return make_contestant("ours", "matched", config, classes=train_set.classes, shapes=shapes, device="cpu")


# --- the models ---


# torchvision's documentation; RetinaNet's batch norm is frozen there (buffers), with random weights it is
# trained: 2 parameters for each of the 26,560 channels of ResNet-50's normalisations
@pytest.mark.parametrize("name, total", [("retinanet", 34_014_999 + 2 * 26_560), ("ssdlite", 3_440_060)])
def test_the_models_are_torchvisions_with_as_many_parameters(config, name, total):
    with torch.device("meta"):  # shapes without memory
        module = build(name, num_classes=90, sizes=(800, 1333), evaluate=config.evaluate)
    assert sum(weight.numel() for weight in module.parameters()) == total


@pytest.mark.parametrize("name", ["ssdlite", "retinanet"])
def test_building_needs_no_network_and_takes_post_processing_from_the_config(config, name, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    chosen = replace(config.evaluate, score=0.07, nms_iou=0.4, max_detections=33, top=123)
    with torch.device("meta"):
        module = build(name, num_classes=3, sizes=(64, 96), evaluate=chosen)
    found = (module.score_thresh, module.nms_thresh, module.detections_per_img, module.topk_candidates)
    assert found == (0.07, 0.4, 33, 123)
    assert all(weight.requires_grad for weight in module.parameters())  # nothing is frozen


def test_retinanet_scales_pictures_up_by_a_whole_factor():
    assert matched_sizes((128, 64), 3) == (192, 384) == matched_sizes((64, 128), 3)


# --- what they see ---


def test_matched_pictures_are_ours_three_times_over_with_the_same_boxes(sets):
    subset, size_wh = sets[0], (64, 32)
    matched = MatchedPictures(subset.selection, subset.images_dir, size_wh=size_wh, cache=True)
    same = DetectionDataset(subset.selection, subset.images_dir, size_wh=size_wh, normalise=False)
    indices = [4, 0, 7]
    pictures, targets = matched.samples(indices, **CHANCE)
    batch = same.batch(indices, **CHANCE)
    for k, (picture, target) in enumerate(zip(pictures, targets, strict=True)):
        assert all(torch.equal(channel, batch.images[k, 0]) for channel in picture)
        assert torch.equal(target["boxes"], batch.boxes[k][batch.valid[k]])
        assert torch.equal(target["labels"] - 1, batch.labels[k][batch.valid[k]])
    assert matched.to_original(0).tolist() == [WIDTH / 64, HEIGHT / 32] * 2


def test_native_pictures_are_rgb_of_their_own_size_and_flipped_where_ours_are(sets):
    subset, options = sets[0], {"size_wh": (WIDTH, HEIGHT), "grey": False, "normalise": False}
    native = NativePictures(subset.selection, subset.images_dir, cache=True)
    ours = DetectionDataset(subset.selection, subset.images_dir, **options)
    indices = list(range(len(ours)))
    for _ in range(2):  # decoded, then from the cache
        pictures, targets = native.samples(indices, **CHANCE)
        batch = ours.batch(indices, **CHANCE)
        for k, (picture, target) in enumerate(zip(pictures, targets, strict=True)):
            torch.testing.assert_close(picture, batch.images[k])
            torch.testing.assert_close(target["boxes"], batch.boxes[k][batch.valid[k]])
    assert native.to_original(0).tolist() == [1, 1, 1, 1]


class FindsTheWholePicture(torch.nn.Module):
    """In place of a torchvision model: one box over the whole picture, class 2 of torchvision's count."""

    def forward(self, pictures):
        return [
            {
                "boxes": torch.tensor([[0.0, 0, picture.shape[2], picture.shape[1]]]),
                "scores": torch.tensor([0.9]), "labels": torch.tensor([2]),
            }
            for picture in pictures
        ]  # fmt: skip


@pytest.mark.parametrize("native", [False, True])
def test_detections_come_back_in_original_pixels_and_with_our_classes(config, sets, native):
    contestant = Torchvision(FindsTheWholePicture(), config, native=native, device=torch.device("cpu"))
    found = contestant.detect(contestant.pictures(sets[1]), [1, 3])
    np.testing.assert_allclose(found.boxes_xyxy, [[0, 0, WIDTH, HEIGHT]] * 2)
    assert found.image_ids.tolist() == [sets[1].selection.images[k].image_id for k in (1, 3)]
    assert found.category_ids.tolist() == [sets[1].selection.category_ids[1]] * 2


class KnowsTheAnswer:
    """A contestant that returns the ground truth."""

    def pictures(self, subset):
        return subset.selection

    def detect(self, selection, indices):
        images = [selection.images[k] for k in indices]
        labels = np.concatenate([image.labels for image in images])
        return Detections(
            np.repeat([image.image_id for image in images], [len(image.boxes) for image in images]),
            np.array(selection.category_ids)[labels], np.ones(len(labels)),
            np.concatenate([image.boxes for image in images]),
        )  # fmt: skip


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_whoever_finds_everything_scores_1_whatever_the_batch(sets, batch_size):
    found = evaluate(KnowsTheAnswer(), sets[1], batch_size)
    assert found["ap"] == pytest.approx(1) and found["ap50"] == pytest.approx(1)


# --- the budget ---


def test_each_pass_shows_every_picture_once_and_a_longer_budget_begins_the_same():
    order = picture_order(10, 25, seed=0)
    assert sorted(order[:10]) == sorted(order[10:20]) == list(range(10))
    assert len(order) == 25 and order[:10].tolist() != order[10:20].tolist()
    assert picture_order(10, 7, seed=0).tolist() == order[:7].tolist()
    assert picture_order(10, 25, seed=1).tolist() != order.tolist()


def test_all_models_are_shown_the_same_pictures_and_chances(config, sets):
    seen = []

    class Watches:
        def __init__(self):
            self.module = torch.nn.Linear(1, 1)

        def loss(self, pictures, indices, **chance):
            seen.append((indices, chance))
            return self.module.weight.sum() * 0

    steps, number = 5, len(sets[0].selection.images)
    for _ in range(2):
        train(Watches(), None, config, num_pictures=number, steps=steps, lr=0.1, seed=2)
    assert seen[:steps] == seen[steps:]
    assert [len(indices) for indices, _ in seen] == [config.train.batch_size] * 2 * steps
    assert seen[0][1] == {"seed": 2, "epoch": 0, "flip": config.data.flip, "jitter": config.data.jitter}


def test_the_same_seed_trains_to_the_same_weights(config, sets):
    ends = []
    for _ in range(2):
        contestant = ours(config, sets[0])
        pictures, number = contestant.pictures(sets[0]), len(sets[0].selection.images)
        assert train(contestant, pictures, config, num_pictures=number, steps=3, lr=1e-3, seed=0)
        ends.append(contestant.module.state_dict())
    begin = ours(config, sets[0]).module.state_dict()
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in begin)
    assert not all(torch.equal(ends[0][name], begin[name]) for name in begin)


def test_a_rate_that_diverges_is_told_and_never_chosen(config, sets):
    contestant = ours(config, sets[0])
    with torch.no_grad():
        next(contestant.module.parameters()).fill_(float("nan"))
    pictures, number = contestant.pictures(sets[0]), len(sets[0].selection.images)
    assert train(contestant, pictures, config, num_pictures=number, steps=1, lr=1e-3, seed=0) is False
    nothing = {"ap": 0.0, "ap50": 0.0}
    assert best_lr([{"lr": 1, "diverged": True, **nothing}, {"lr": 2, "diverged": False, **nothing}]) == 2


def test_the_rate_of_the_highest_ap_is_chosen_then_ap50_then_the_smaller():
    def row(lr, ap, ap50):
        return {"lr": lr, "ap": ap, "ap50": ap50, "diverged": False}

    assert best_lr([row(1, 0.1, 0.9), row(2, 0.2, 0.1), row(3, 0.1, 1.0)]) == 2
    assert best_lr([row(1, 0.1, 0.2), row(2, 0.1, 0.3)]) == 2
    assert best_lr([row(2, 0.0, 0.0), row(1, 0.0, 0.0)]) == 1


def test_ours_has_no_native_input(config):
    models, inputs = ("ours", "ssdlite", "retinanet"), ("matched", "native")
    cells = comparisons(replace(config.compare, models=models, inputs=inputs, seeds=(0, 1)))
    assert len(cells) == len(set(cells)) == 10 and ("ours", "native", 0) not in cells
    with pytest.raises(ValueError, match="no native input"):
        make_contestant("ours", "native", config, classes=((1, "a"),), shapes=torch.ones(1, 2), device="cpu")


@pytest.mark.parametrize("scale", ["smoke", "small", "paper"])
def test_every_scale_but_tiny_compares_three_models_over_three_seeds_with_one_grid_of_rates(scale):
    chosen = load_config(DenseConfig, TINY.with_name(f"{scale}.yaml"), []).compare
    assert set(chosen.models) == {"ours", "ssdlite", "retinanet"}
    assert len(set(chosen.seeds)) >= 3 and len(set(chosen.lrs)) == 3


# --- costs ---


class OneConvolution:
    def __init__(self):
        self.module = torch.nn.Conv2d(3, 8, 3, padding=1)

    def detect(self, pictures, indices):
        with torch.no_grad():
            return self.module(pictures[indices])


def test_multiply_accumulates_of_a_convolution_are_the_closed_form():
    # 10x20 places, 8 outputs, 3 inputs of 3x3
    assert count_macs(OneConvolution(), torch.zeros(1, 3, 10, 20)) == 10 * 20 * 8 * 3 * 9


def test_peak_memory_grows_by_what_is_held():
    code = (
        "import numpy as np; from experiments.dense_detector.measure import peak_rss_bytes as peak\n"
        "before = peak(); held = np.ones(64 * 2**17); print(peak() - before)"  # 64 MiB
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert 60 * 2**20 < int(told.stdout) < 68 * 2**20


def test_the_first_call_is_not_timed():
    calls = []
    assert median_seconds(lambda: calls.append(1), 4, "cpu") >= 0
    assert len(calls) == 5


def test_memory_is_measured_on_no_more_pictures_than_a_batch(sets):
    few = first_pictures(sets[0], 4)
    assert [i.image_id for i in few.selection.images] == [i.image_id for i in sets[0].selection.images[:4]]


# --- the table ---


def shard(model, seed, ap):
    final = {"lr": 0.001, "ap": ap, "ap50": 2 * ap, "diverged": False}
    facts = {"model": model, "input": "matched", "seed": seed, "pictures_seen": 32}
    return {**facts, "final": final, "search": []}


def test_the_table_has_mean_and_sample_deviation_over_the_seeds():
    of_ours = [shard("ours", seed, ap) for seed, ap in enumerate((0.1, 0.2, 0.3))]
    costs = dict.fromkeys(FIGURES, 11.0)
    figures = {("ours", "matched"): costs, ("ssdlite", "matched"): costs}
    rows = summarise([*of_ours, shard("ssdlite", 0, 0.4)], figures)
    assert [tuple(row) for row in rows] == [tuple(rows[0])] * 2 and set(rows[0]) == set(COLUMNS)
    assert (rows[0]["ap_mean"], rows[0]["ap_sd"]) == (pytest.approx(0.2), pytest.approx(0.1))
    assert rows[0]["latency_ms"] == 11.0 and rows[0]["seeds"] == 3 and rows[0]["lrs"] == "0.001 0.001 0.001"
    assert rows[1]["ap_sd"] is None and mean_and_deviation([0.5]) == (0.5, None)
    text = as_text(rows).splitlines()
    assert "0.2000 +- 0.1000" in text[1] and text[2].rstrip().endswith("0.8000")
    assert len({len(line) for line in text}) == 1


# --- the stages ---


def test_a_killed_shard_goes_on_after_its_last_finished_trial(chain, tmp_path, monkeypatch):
    quiet, killed = (Chain(chain.sets, tmp_path / name, chain.extra) for name in ("quiet", "killed"))
    for one in (quiet, killed):
        one.must("import", "verify")
    quiet.must("compare")
    done, trial = [], compare.Cell.trial

    def counted(self, judged_on, **options):
        done.append(options["lr"])
        if len(done) == 2:
            raise Stopped("stopped")
        return trial(self, judged_on, **options)

    monkeypatch.setattr(compare.Cell, "trial", counted)
    with pytest.raises(AssertionError):
        killed.must("compare")
    assert not (killed.folder / "compare").exists()
    killed.must("compare")
    assert len(done) == 3  # the search, the final that was stopped, the final again
    results = [(one.folder / "compare/00000/result.json").read_bytes() for one in (quiet, killed)]
    assert results[0] == results[1]
    weights = [
        torch.load(one.folder / "compare/00000/model.pth", weights_only=True) for one in (quiet, killed)
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


@pytest.mark.slow
def test_three_models_and_both_inputs_come_out_as_one_table(chain, tmp_path):
    models = "compare.models=[ours,ssdlite,retinanet]"
    extra = (models, "compare.inputs=[matched,native]")
    run = Chain(chain.sets, tmp_path, chain.extra + extra)
    run.must("import", "verify", "compare", "compare-table")
    folder = tmp_path / "compare-table"
    rows = json.loads((folder / "comparison.json").read_text())
    names = [(row["model"], row["input"]) for row in rows]
    models = [(m, i) for m in ("ours", "ssdlite", "retinanet") for i in ("matched", "native")]
    assert names == [*models[:1], *models[2:], ("anchor oracle", "matched"), ("mean box", "matched")]
    for row in rows[:5]:
        assert row["seeds"] == 1 and row["pictures_seen"] == 2 * run.config.train.batch_size
        assert row["rss_train_bytes"] >= row["rss_detect_bytes"] > 0 < row["latency_ms"]
        assert 0 <= row["ap_mean"] <= 1
    assert rows[0]["parameters"] < rows[1]["parameters"] < rows[3]["parameters"]
    assert rows[0]["macs"] < rows[1]["macs"] < rows[3]["macs"]
    assert rows[5]["ap50_mean"] > rows[6]["ap50_mean"]
    with (folder / "comparison.csv").open() as stream:
        table = list(csv.DictReader(stream))
    assert [row["model"] for row in table] == [row["model"] for row in rows]
    with (folder / "trials.csv").open() as stream:
        assert len(list(csv.DictReader(stream))) == 5 * 2
