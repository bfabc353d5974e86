"""Pseudo boxes and what proposals are taught: published rules by cases, and against plain loops."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.wsod_reference import assign_by_loops
from experiments.imaginarynet.detectors.weak.assign import assign, choose_seeds

BOXES = torch.tensor([[0, 0, 10, 10], [0, 0, 10, 5], [0, 0, 10, 4.5], [20, 20, 30, 30]], dtype=torch.float32)


def test_each_class_of_the_picture_has_one_pseudo_box_and_no_other_class_has():
    teacher = torch.tensor([[0.1, 0.9, 0.3], [0.7, 0.2, 0.2], [0.2, 0.1, 0.5]])
    seeds = choose_seeds(teacher, torch.tensor([1.0, 0.0, 1.0]))
    assert seeds.rows.tolist() == [1, 2] and seeds.classes.tolist() == [0, 2]
    assert seeds.weights.tolist() == pytest.approx([0.7, 0.5])


def test_two_classes_never_share_a_pseudo_box_and_the_first_class_chooses_first():
    teacher = torch.tensor([[0.9, 0.9], [0.1, 0.2], [0.3, 0.1]])
    seeds = choose_seeds(teacher, torch.ones(2))
    assert seeds.rows.tolist() == [0, 1] and seeds.weights.tolist() == pytest.approx([0.9, 0.2])


def test_scores_of_zero_do_not_give_a_taken_proposal_to_a_second_class():
    seeds = choose_seeds(torch.zeros(3, 2), torch.ones(2))
    assert len(set(seeds.rows.tolist())) == 2


def test_the_teachers_scores_stay_as_they_are():
    teacher = torch.rand(5, 3, generator=torch.Generator().manual_seed(0))
    before = teacher.clone()
    seeds = choose_seeds(teacher, torch.ones(3))
    assign(BOXES[:1].expand(5, 4), seeds, fg_iou=0.5, ignore_iou=0.1)
    assert torch.equal(teacher, before)


def test_an_overlap_of_exactly_one_half_is_an_object_and_below_is_background_of_the_same_weight():
    seeds = choose_seeds(torch.tensor([[0.8], [0.1], [0.1], [0.1]]), torch.ones(1))
    found = assign(BOXES, seeds, fg_iou=0.5, ignore_iou=0.0)
    assert found.labels.tolist() == [1, 1, 0, 0]
    assert found.weights.tolist() == pytest.approx([0.8] * 4)


def test_proposals_far_from_every_pseudo_box_have_no_weight_with_the_ignore_band():
    seeds = choose_seeds(torch.tensor([[0.8], [0.1], [0.1], [0.1]]), torch.ones(1))
    found = assign(BOXES, seeds, fg_iou=0.5, ignore_iou=0.1)
    assert found.weights.tolist() == pytest.approx([0.8, 0.8, 0.8, 0.0])


def test_background_has_the_weight_of_the_pseudo_box_that_it_overlaps_most():
    boxes = torch.tensor([[0, 0, 10, 10], [100, 0, 110, 10], [108, 0, 118, 10]], dtype=torch.float32)
    seeds = choose_seeds(torch.tensor([[0.9, 0.0], [0.0, 0.4], [0.0, 0.1]]), torch.ones(2))
    found = assign(boxes, seeds, fg_iou=0.5, ignore_iou=0.0)
    assert found.labels.tolist() == [1, 2, 0]
    assert found.weights.tolist() == pytest.approx([0.9, 0.4, 0.4]) and found.seeds.tolist() == [0, 1, 1]


def test_one_proposal_serves_the_first_class_alone():
    seeds = choose_seeds(torch.tensor([[0.4, 0.9]]), torch.ones(2))
    found = assign(BOXES[:1], seeds, fg_iou=0.5, ignore_iou=0.1)
    assert found.labels.tolist() == [1] and found.weights.tolist() == pytest.approx([0.4])


def test_a_picture_without_classes_teaches_nothing():
    seeds = choose_seeds(torch.rand(4, 3), torch.zeros(3))
    found = assign(BOXES, seeds, fg_iou=0.5, ignore_iou=0.1)
    assert not len(seeds.rows) and not found.weights.any() and not found.labels.any()


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 12), st.integers(1, 4), st.integers(0, 2**20), st.sampled_from([0.0, 0.1]))
def test_it_equals_the_plain_loops(count, num_classes, seed, ignore_iou):
    generator = torch.Generator().manual_seed(seed)
    low = torch.randint(0, 8, (count, 2), generator=generator)
    boxes = torch.cat([low, low + torch.randint(1, 9, (count, 2), generator=generator)], 1).float()
    teacher = torch.rand(count, num_classes, generator=generator)
    labels = torch.randint(0, 2, (num_classes,), generator=generator).float()
    found = assign(boxes, choose_seeds(teacher, labels), fg_iou=0.5, ignore_iou=ignore_iou)
    wanted = assign_by_loops(boxes, teacher, labels, fg_iou=0.5, ignore_iou=ignore_iou)
    assert found.labels.tolist() == wanted[0].tolist()
    assert found.weights.tolist() == pytest.approx(wanted[1].tolist())
    assert found.seeds.tolist() == wanted[2].tolist()
