"""Scores and losses: sums, bounds, hand values, and gradients that do not pass through labels."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.imaginarynet.detectors.weak.assign import Targets
from experiments.imaginarynet.detectors.weak.losses import (
    box_loss,
    decode,
    encode,
    midn_loss,
    midn_scores,
    refine_loss,
    spatial_loss,
)

WEIGHTS = (10.0, 10.0, 5.0, 5.0)


def streams(rows, classes, seed, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return [3 * torch.randn(rows, classes, generator=generator, dtype=dtype) for _ in range(2)]


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 9), st.integers(1, 5), st.integers(0, 2**20), st.sampled_from([1.0, 2.0]))
def test_a_pictures_score_is_a_mean_of_its_proposals_class_probabilities(rows, classes, seed, temperature):
    which, where = streams(rows, classes, seed)
    scores = midn_scores(which, where, temperature=temperature)
    share = scores / which.softmax(1)  # of each proposal in its class
    assert torch.allclose(share.sum(0), torch.ones(classes, dtype=torch.float64))
    assert torch.allclose(which.softmax(1).sum(1), torch.ones(rows, dtype=torch.float64))
    picture = scores.sum(0)
    assert (picture > 0).all() and (picture <= 1 + 1e-12).all()
    assert (picture >= which.softmax(1).amin(0) - 1e-12).all()
    assert (picture <= which.softmax(1).amax(0) + 1e-12).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 9), st.integers(0, 2**20))
def test_another_order_of_proposals_gives_the_scores_in_that_order(rows, seed):
    which, where = streams(rows, 3, seed)
    order = torch.randperm(rows, generator=torch.Generator().manual_seed(seed))
    assert torch.allclose(midn_scores(which[order], where[order]), midn_scores(which, where)[order])


def test_a_proposal_that_fades_from_its_class_changes_the_pictures_score_continuously():
    which, where = streams(4, 3, 0)
    without = midn_scores(which, where).sum(0)
    faded = [where[:1] - fall for fall in (10.0, 20.0, 40.0)]
    apart = [
        (midn_scores(torch.cat([which, which[:1]]), torch.cat([where, low])).sum(0) - without).abs().max()
        for low in faded
    ]
    assert apart[0] > apart[1] > apart[2] and apart[2] < 1e-12


def test_a_temperature_of_two_halves_the_logits_of_the_proposals():
    which, where = streams(5, 3, 1)
    assert torch.equal(midn_scores(which, where, temperature=2.0), midn_scores(which, where / 2))


@pytest.mark.parametrize("temperature", [1.0, 2.0])
@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_the_gradient_of_the_picture_loss_is_that_of_finite_differences(temperature, reduce):
    which, where = (one.requires_grad_() for one in streams(4, 3, 2))
    labels = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)

    def loss(which, where):
        return midn_loss(midn_scores(which, where, temperature=temperature), labels, reduce=reduce)

    assert torch.autograd.gradcheck(loss, (which, where))


def test_the_picture_loss_is_the_binary_cross_entropy_of_the_sums():
    scores = torch.tensor([[0.2, 0.05], [0.3, 0.05]])
    labels = torch.tensor([1.0, 0.0])
    wanted = -math.log(0.5) - math.log(0.9)
    assert midn_loss(scores, labels, reduce="sum").item() == pytest.approx(wanted)
    assert midn_loss(scores, labels, reduce="mean").item() == pytest.approx(wanted / 2)
    # WSDDN writes it with labels of 1 and -1: -log(y (s - 1/2) + 1/2).
    assert wanted == pytest.approx(sum(-math.log(y * (s - 0.5) + 0.5) for y, s in ((1, 0.5), (-1, 0.1))))


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_score_of_zero_or_one_has_a_finite_loss(label):
    scores = torch.tensor([[1.0, 0.0]])
    assert midn_loss(scores, torch.full((2,), label), reduce="sum").isfinite()


def test_the_refinement_loss_is_the_weighted_mean_over_all_proposals():
    logits = torch.tensor([[0.0, 0.0], [0.0, math.log(3.0)], [5.0, 0.0]])
    targets = Targets(torch.tensor([0, 1, 1]), torch.tensor([0.5, 1.0, 0.0]), torch.tensor([1, 1, 1]))
    wanted = (0.5 * math.log(2) + 1.0 * math.log(4 / 3)) / 3
    assert refine_loss(logits, targets).item() == pytest.approx(wanted)
    assert refine_loss(logits, targets, log_eps=1e-6).item() == pytest.approx(wanted, rel=1e-5)


def test_boxes_come_back_from_their_offsets():
    boxes = torch.tensor([[2.0, 3.0, 12.0, 9.0], [0.0, 0.0, 4.0, 4.0]])
    wanted = torch.tensor([[1.0, 1.0, 9.0, 20.0], [10.0, 8.0, 12.0, 9.0]])
    assert torch.allclose(decode(boxes, encode(boxes, wanted, WEIGHTS), WEIGHTS), wanted, atol=1e-5)


def test_the_box_loss_sees_objects_alone_and_is_divided_by_all_that_have_weight():
    boxes = torch.tensor([[0.0, 0.0, 10.0, 10.0], [1.0, 0.0, 11.0, 10.0], [50.0, 0.0, 60.0, 10.0]])
    targets = Targets(torch.tensor([2, 2, 0]), torch.tensor([0.5, 0.5, 0.5]), torch.tensor([0, 0, 0]))
    offsets = torch.zeros(3, 3, 4, requires_grad=True)
    loss = box_loss(offsets, boxes, targets, box_weights=WEIGHTS)
    assert loss.item() == pytest.approx(0.5 * 0.5 / 3)  # dx of the second: -1/10 times 10, smooth L1 of 1
    loss.backward()
    assert offsets.grad.count_nonzero() == 1 and offsets.grad[1, 2, 0] > 0


def test_without_objects_the_box_loss_is_zero_and_has_a_gradient():
    targets = Targets(torch.tensor([0, 0]), torch.zeros(2), torch.tensor([0, 0]))
    offsets = torch.zeros(2, 3, 4, requires_grad=True)
    loss = box_loss(offsets, torch.tensor([[0.0, 0, 1, 1]] * 2), targets, box_weights=WEIGHTS)
    loss.backward()
    assert loss.item() == 0 and not offsets.grad.any()


def test_the_regulariser_is_zero_for_one_box_and_for_boxes_apart():
    apart = torch.tensor([[0.0, 0, 10, 10], [50.0, 50, 60, 60]])
    hidden, scores = torch.eye(2), torch.tensor([[0.6], [0.4]])
    assert spatial_loss(hidden[:1], apart[:1], scores[:1], torch.ones(1)) == 0
    assert spatial_loss(hidden, apart, scores, torch.ones(1)) == 0


def test_the_regulariser_draws_overlapping_boxes_to_the_surest_ones_features():
    boxes = torch.tensor([[0.0, 0, 10, 10], [0.0, 0, 10, 9], [50.0, 50, 60, 60]])
    hidden = torch.tensor([[1.0, 0.0], [0.0, 2.0], [9.0, 9.0]])
    scores = torch.tensor([[0.6, 0.1], [0.4, 0.1], [0.2, 0.1]])
    wanted = 0.5 * 0.4**2 * 5
    assert spatial_loss(hidden, boxes, scores, torch.tensor([1.0, 0.0])).item() == pytest.approx(wanted)
