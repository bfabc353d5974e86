"""Scores and choice of regions, and the detector that is asked for query pictures."""

import dataclasses

import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.config import instantiate

from experiments.solid.learn.data.pretrain import held_out_batches
from experiments.solid.learn.pretrain.instances import QueryDetector, choose, match
from experiments.solid.learn.pretrain.lazy import lazy_pretrain
from experiments.solid.store.reader import SolidStore


def unit(*shape, seed=0):
    return normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=1)


def test_a_region_is_answered_by_the_query_of_the_largest_cosine():
    bank = torch.eye(4)[:3]
    embeddings = normalize(torch.tensor([[3.0, 0, 0, 4], [1, 1, 0, 0], [0, 0, -1, 0]]), dim=1)
    cosine, which = match(embeddings, bank)
    torch.testing.assert_close(cosine, torch.tensor([0.6, 0.5**0.5, 0.0]))
    assert which.tolist() == [0, 0, 0]


def test_an_answer_does_not_depend_on_queries_that_are_further_away():
    embeddings, bank = unit(50, 8), unit(20, 8, seed=1)
    cosine, which = match(embeddings, bank)
    kept = sorted(set(which.tolist()))
    again, places = match(embeddings, bank[kept])
    torch.testing.assert_close(again, cosine)
    assert [kept[place] for place in places.tolist()] == which.tolist()


def test_overlapping_regions_leave_the_surest_one_whatever_the_query():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9], [20, 0, 30, 10], [0, 0, 10, 4]])
    scores = torch.tensor([0.5, 0.7, 0.6, 0.4])
    assert choose(boxes, scores, min_score=0, max_overlap=0.5, most=9).tolist() == [1, 2, 3]
    assert choose(boxes, scores, min_score=0, max_overlap=0.3, most=9).tolist() == [1, 2]
    assert choose(boxes, scores, min_score=0, max_overlap=0.95, most=9).tolist() == [1, 2, 0, 3]
    assert choose(boxes, scores, min_score=0, max_overlap=0.5, most=1).tolist() == [1]


def test_weak_flat_and_infinite_regions_are_left_out():
    boxes = torch.tensor([[0.0, 0, 9, 9], [5, 5, 5, 9], [5, 9, 9, 9], [0, 0, torch.inf, 9]])
    scores = torch.tensor([0.3, 0.9, 0.9, 0.9])
    assert choose(boxes, scores, min_score=0.3, max_overlap=0.5, most=9).tolist() == [0]
    assert choose(boxes, scores, min_score=0.31, max_overlap=0.5, most=9).tolist() == []


@pytest.fixture
def model(tiny_config):
    torch.manual_seed(0)
    return instantiate(lazy_pretrain(tiny_config, num_classes=6, seed=0, device="cpu").model).eval()


@pytest.fixture
def pictures(store_folder, store_index, tiny_config):
    config = dataclasses.replace(
        tiny_config, pretrain=dataclasses.replace(tiny_config.pretrain, batch_size=4, held_out=4)
    )
    return next(iter(held_out_batches(SolidStore.open(store_folder).path, store_index, config)))


def test_detections_lie_in_the_stored_picture_and_have_masks_of_its_size(model, pictures):
    for item, output in zip(pictures, QueryDetector(model, unit(3, 16))(pictures), strict=True):
        found = output["instances"]
        assert len(found) > 0
        assert found.pred_masks.shape == (len(found), item["height"], item["width"])
        x1, y1, x2, y2 = found.pred_boxes.tensor.T
        assert (x1 >= 0).all() and (x2 <= item["width"]).all() and (x1 < x2).all()
        assert (y1 >= 0).all() and (y2 <= item["height"]).all() and (y1 < y2).all()
        assert (found.scores[:-1] >= found.scores[1:]).all()
        assert (found.scores <= found.cosine.clamp(min=0)).all()
        assert found.pred_classes.max() < 3


def test_a_query_that_is_the_opposite_of_every_region_is_never_found(model, pictures):
    embeddings, _ = model.embed_ground_truth(pictures)
    opposite = normalize(-embeddings.mean(dim=0, keepdim=True), dim=1)
    assert (embeddings @ opposite.T < 0).all(), "untrained embeddings all point one way"
    found = QueryDetector(model, opposite, min_score=0.05)(pictures)
    assert sum(len(output["instances"]) for output in found) == 0


def test_the_limit_and_the_models_own_settings_are_used(model, pictures):
    assert (QueryDetector(model, unit(1, 16)).most, QueryDetector(model, unit(1, 16)).max_overlap) == (
        100,
        0.5,
    )
    few = QueryDetector(model, unit(2, 16), most=2)(pictures)
    assert [len(output["instances"]) <= 2 for output in few] == [True] * 4
    many = QueryDetector(model, unit(2, 16))(pictures)
    for one, other in zip(few, many, strict=True):
        np.testing.assert_allclose(one["instances"].scores, other["instances"].scores[:2], rtol=1e-6)
