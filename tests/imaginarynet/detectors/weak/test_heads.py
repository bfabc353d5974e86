"""Pooling against plain loops; dropout; the sizes of the heads."""

import numpy as np
import pytest
import torch

from benchmarks.wsod_reference import bins_by_loops, pool_one_by_one
from experiments.imaginarynet.detectors.weak.backbones import MobileNetV2
from experiments.imaginarynet.detectors.weak.heads import Branches, build_head, drop, pool
from tests.imaginarynet.detectors.weak.small import boxes_in, settings


def test_pooling_equals_the_loops_over_bins_also_for_boxes_of_no_size_and_outside():
    features = torch.randn(2, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    odd = torch.tensor([[5, 5, 5, 5], [9, 9, 3, 4], [-20, -9, 20, 9], [40, 30, 90, 80], [200, 200, 300, 300]])
    boxes = [torch.cat([boxes_in(20, seed=1), odd.float()]), boxes_in(7, seed=2)]
    for size in (2, 7):
        found = pool(features, boxes, settings(pool_size=size)).numpy()
        wanted = [
            bins_by_loops(picture.numpy(), box, size=size, stride=8)
            for picture, own in zip(features, boxes, strict=True)
            for box in own.tolist()
        ]
        np.testing.assert_array_equal(found, np.stack(wanted))


def test_pooling_all_proposals_at_once_equals_one_by_one():
    features = torch.randn(2, 3, 6, 8, generator=torch.Generator().manual_seed(0))
    boxes = [boxes_in(9, (40, 56), seed=1), boxes_in(4, (40, 56), seed=2)]  # no cell beyond the last
    found = pool(features, boxes, settings(pool_size=3))
    assert torch.equal(found, pool_one_by_one(features, boxes, size=3, stride=8))


def test_a_box_of_one_cell_holds_that_cell_alone():
    features = torch.arange(48.0).view(1, 1, 6, 8)
    found = pool(features, [torch.tensor([[8.0, 16.0, 10.0, 18.0]])], settings(pool_size=2))
    assert found.unique().tolist() == [2 * 8 + 1]


def test_aligned_pooling_of_a_constant_is_that_constant():
    found = pool(torch.full((1, 2, 6, 8), 3.0), [boxes_in(5)], settings(pooling="roi_align"))
    assert torch.allclose(found, torch.tensor(3.0))


def test_dropout_keeps_its_share_scales_it_up_and_repeats_with_its_generator():
    hidden = torch.ones(200, 50)
    one, two = (drop(hidden, 0.5, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two) and sorted(one.unique().tolist()) == [0.0, 2.0]
    assert one.mean().item() == pytest.approx(1.0, abs=0.05)


def test_dropout_is_off_in_test():
    config = settings(dropout=0.5, fc=(8, 8))
    head = build_head(MobileNetV2(depth=4), config).eval()
    pooled = torch.rand(3, head.layers[0].in_features // 4, 2, 2)
    assert torch.equal(head(pooled), head(pooled))


def test_every_branch_has_its_columns():
    logits = Branches(8, 3, settings(fast_rcnn=True))(torch.rand(5, 8))
    assert logits.classes.shape == logits.proposals.shape == (5, 3)
    assert [one.shape for one in logits.refinements] == [(5, 4)] * 3
    assert logits.fast_rcnn.shape == (5, 4) and logits.offsets.shape == (5, 4, 4)
    part = logits.rows(1, 3)
    assert torch.equal(part.refinements[2], logits.refinements[2][1:3]) and part.offsets.shape == (2, 4, 4)
