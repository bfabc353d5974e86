import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss, sigmoid_focal_loss

from experiments.dense_detector.assign import BACKGROUND, NEUTRAL, Assignment
from experiments.dense_detector.boxes import encode
from experiments.dense_detector.losses import detection_loss, focal_loss, hard_negatives
from experiments.dense_detector.model import RawOutput

SEEDS = st.integers(0, 2**32 - 1)


def random_case(seed: int, shape: tuple[int, ...] = (2, 7, 3)) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and bool targets."""
    generator = torch.Generator().manual_seed(seed)
    return 4 * torch.randn(shape, generator=generator), torch.rand(shape, generator=generator) < 0.3


# --- focal loss ---


def test_focal_loss_of_a_hand_computed_example():
    logits = torch.tensor([0.0, math.log(3), math.log(3)])  # p = 1/2, 3/4, 3/4
    targets = torch.tensor([True, True, False])
    found = focal_loss(logits, targets, gamma=2.0, alpha=0.25)
    expected = [0.25 * 0.25 * math.log(2), 0.25 / 16 * math.log(4 / 3), 0.75 * 9 / 16 * math.log(4)]
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


@given(SEEDS)
def test_without_focus_and_balance_it_is_binary_cross_entropy(seed):
    logits, targets = random_case(seed)
    expected = F.binary_cross_entropy_with_logits(logits, targets.float(), reduction="none")
    assert torch.allclose(focal_loss(logits, targets, gamma=0.0, alpha=None), expected, atol=1e-6)


@given(SEEDS, st.sampled_from([1.0, 2.0, 3.5]), st.floats(0.05, 0.95))
def test_it_equals_the_definition_of_torchvision_with_gradients(seed, gamma, alpha):
    logits, targets = random_case(seed)
    grads = []
    for function in (
        lambda x: focal_loss(x, targets, gamma=gamma, alpha=alpha),
        lambda x: sigmoid_focal_loss(x, targets.float(), alpha=alpha, gamma=gamma),
    ):
        x = logits.clone().requires_grad_()
        loss = function(x).sum()
        grads.append((loss, torch.autograd.grad(loss, x)[0]))
    assert torch.allclose(grads[0][0], grads[1][0], rtol=1e-4)
    assert torch.allclose(grads[0][1], grads[1][1], atol=1e-5)


def test_a_detached_weight_changes_the_gradient_and_not_the_value():
    logits, targets = random_case(0)
    logits.requires_grad_()
    free, detached = (
        focal_loss(logits, targets, gamma=2.0, alpha=None, detach_weight=flag) for flag in (False, True)
    )
    assert torch.equal(free, detached)
    (gradient,) = torch.autograd.grad(detached.sum(), logits)
    # the constant weight (t - p)^2 times the gradient p - t of the cross-entropy
    p, t = logits.detach().sigmoid(), targets.float()
    assert torch.allclose(gradient, (t - p) ** 2 * (p - t), atol=1e-6)
    assert not torch.allclose(torch.autograd.grad(free.sum(), logits)[0], gradient, atol=1e-3)


def test_it_is_finite_where_a_probability_is_exactly_zero():
    logits = torch.tensor([-300.0, 300.0], requires_grad=True)
    loss = focal_loss(logits, torch.tensor([True, False]), gamma=2.0, alpha=0.25)
    loss.sum().backward()
    assert loss.tolist() == pytest.approx([75, 225]) and logits.grad.isfinite().all()


# --- the loss of a batch ---

ANCHORS = torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10], [20, 0, 30, 10], [30, 0, 40, 10]])
BOXES = torch.tensor([[[1.0, 0, 11, 12], [18, 1, 30, 9]]])
TARGETS = Assignment(torch.tensor([[1, BACKGROUND, 0, NEUTRAL]]), torch.tensor([[0, 0, 1, 0]]))


def raw(seed: int = 0) -> RawOutput:
    """Output of a network with two classes for ANCHORS."""
    generator = torch.Generator().manual_seed(seed)
    return RawOutput(
        torch.randn(1, 4, 2, generator=generator).requires_grad_(),
        torch.randn(1, 4, 4, generator=generator).requires_grad_(),
    )


def test_class_loss_counts_all_but_neutral_anchors_over_the_number_of_positives():
    output = raw()
    found = detection_loss(output, TARGETS, ANCHORS, BOXES, alpha=None)
    targets = torch.tensor([[False, True], [False, False], [True, False]])
    expected = focal_loss(output.logits[0, :3], targets, gamma=2.0, alpha=None).sum() / 2
    assert found.num_pos == 2 and torch.allclose(found.cls, expected)
    found.total.backward()
    assert (output.logits.grad[0, 3] == 0).all()  # neutral
    assert (output.deltas.grad[0, [1, 3]] == 0).all()  # only positives have a box to learn


def test_box_loss_is_that_of_the_positives_against_their_own_boxes():
    output = raw()
    found = detection_loss(output, TARGETS, ANCHORS, BOXES, box_weight=3.0)
    wrong = (output.deltas[0, [0, 2]] - encode(BOXES[0], ANCHORS[[0, 2]])).abs()
    smooth = torch.where(wrong < 1 / 9, 0.5 * wrong**2 * 9, wrong - 0.5 / 9)
    assert torch.allclose(found.box, 3 * smooth.sum() / 2)


def test_giou_of_deltas_that_give_the_box_is_zero_and_of_zero_deltas_that_of_the_anchor():
    exact = torch.zeros(1, 4, 4)
    exact[0, [0, 2]] = encode(BOXES[0], ANCHORS[[0, 2]])
    logits = torch.zeros(1, 4, 2)
    perfect = detection_loss(RawOutput(logits, exact), TARGETS, ANCHORS, BOXES, box_kind="giou")
    anchor = detection_loss(RawOutput(logits, 0 * exact), TARGETS, ANCHORS, BOXES, box_kind="giou")
    assert perfect.box.item() == pytest.approx(0, abs=1e-5)
    expected = generalized_box_iou_loss(ANCHORS[[0, 2]], BOXES[0]).mean()
    assert torch.allclose(anchor.box, expected)


@pytest.mark.parametrize("kind", ["bce_focal", "bce"])
@pytest.mark.parametrize("box_kind", ["smooth_l1", "giou"])
@pytest.mark.parametrize("label", [BACKGROUND, NEUTRAL])
def test_a_batch_without_positives_has_finite_losses_and_gradients(kind, box_kind, label):
    output = raw()
    nothing = Assignment(torch.full((1, 4), label), torch.zeros(1, 4, dtype=torch.int64))
    found = detection_loss(output, nothing, ANCHORS, BOXES, kind=kind, box_kind=box_kind)
    found.total.backward()
    assert found.num_pos == 0 and found.box == 0 and found.cls.isfinite()
    assert (found.cls == 0) == (label == NEUTRAL)
    assert output.logits.grad.isfinite().all() and output.deltas.grad.isfinite().all()


def test_half_precision_outputs_give_a_full_precision_loss():
    output = raw()
    half = RawOutput(output.logits.bfloat16(), output.deltas.bfloat16())
    found = detection_loss(half, TARGETS, ANCHORS, BOXES)
    assert found.total.dtype == torch.float32
    full = detection_loss(output, TARGETS, ANCHORS, BOXES)
    assert torch.allclose(found.total, full.total, rtol=0.02)  # bfloat16 keeps 8 bits


# --- hard negatives ---


def test_hard_negatives_are_the_worst_three_for_each_positive_of_a_picture():
    labels = torch.tensor([[0, -1, -1, -1, -1, -2], [-1, -1, -1, -1, -1, -1]])
    loss = torch.tensor([[9.0, 1, 4, 2, 3, 8], [6, 5, 4, 3, 2, 1]])
    chosen = hard_negatives(loss, labels, 3.0)
    assert chosen.int().tolist() == [[0, 0, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0]]


def test_plain_cross_entropy_counts_positives_and_hard_negatives_only():
    labels = torch.full((1, 12), BACKGROUND)
    labels[0, 0] = 0
    logits = torch.linspace(-3, 3, 12).reshape(1, 12, 1)
    targets = Assignment(labels, torch.zeros(1, 12, dtype=torch.int64))
    anchors = ANCHORS[:1].expand(12, 4)
    found = detection_loss(RawOutput(logits, None), targets, anchors, BOXES, kind="bce")
    expected = F.softplus(-logits[0, 0, 0]) + F.softplus(logits[0, -3:, 0]).sum()
    assert torch.allclose(found.cls, expected)
