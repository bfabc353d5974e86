"""Losses, pseudo boxes and the teacher."""

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.structures import InstanceData
from torch.nn import functional as F

from experiments.imaginarynet.detectors.semi import network
from experiments.imaginarynet.detectors.semi.batches import batches
from experiments.imaginarynet.detectors.semi.learner import total_of
from experiments.imaginarynet.detectors.semi.model import BurnInHook, SoftmaxFocalLoss, keep_sure
from tests.imaginarynet.detectors.semi import tiny


def logits(seed, rows=6, classes=4):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, classes, (rows,), generator=generator)
    return torch.randn(rows, classes, generator=generator), labels


@given(st.integers(0, 1000))
def test_focal_loss_with_gamma_0_is_the_mean_cross_entropy(seed):
    scores, labels = logits(seed)
    assert torch.allclose(SoftmaxFocalLoss(0.0)(scores, labels), F.cross_entropy(scores, labels))


def test_focal_loss_by_hand():
    # p = 1/2 and 1/4: (1/2)^1.5 log 2 and (3/4)^1.5 log 4.
    scores = torch.tensor([[0.0, 0.0], [0.0, 0.0]]) + torch.tensor([[0.0, 0.0], [0.0, 1.0986123]])
    found = SoftmaxFocalLoss(1.5)(scores, torch.tensor([0, 0]), reduction_override="none")
    assert found.tolist() == pytest.approx([0.245064, 0.900426], rel=1e-5)


def test_focal_loss_is_over_the_rows_that_have_a_weight():
    scores, labels = logits(3)
    weight = torch.tensor([1.0, 1, 1, 0, 0, 0])
    found = SoftmaxFocalLoss(1.5)(scores, labels, weight, avg_factor=3)
    assert torch.allclose(found, SoftmaxFocalLoss(1.5)(scores[:3], labels[:3]))


def test_focal_loss_of_no_rows_is_zero_and_of_sure_rows_finite():
    loss = SoftmaxFocalLoss(1.5)
    assert loss(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)) == 0
    scores = torch.tensor([[80.0, 0.0]], requires_grad=True)
    loss(scores, torch.tensor([0])).backward()
    assert torch.isfinite(scores.grad).all()


def instances(scores, labels):
    return InstanceData(
        bboxes=torch.zeros(len(scores), 4), scores=torch.tensor(scores), labels=torch.tensor(labels)
    )


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=20), st.floats(0, 1, width=32))
def test_every_pseudo_box_is_above_the_threshold_and_none_above_it_is_lost(scores, threshold):
    found = keep_sure(instances(scores, [0] * len(scores)), threshold)
    assert found.scores.tolist() == [score for score in scores if score > threshold]


def test_known_labels_leave_pseudo_boxes_of_these_classes_alone():
    found = keep_sure(instances([0.9, 0.8, 0.9, 0.1], [0, 1, 2, 0]), 0.5, image_labels=(0, 1))
    assert found.labels.tolist() == [0, 1]
    assert len(keep_sure(instances([0.9], [0]), 0.5, image_labels=())) == 0


def unlabelled_gradients(pool, **changes):
    """Gradients of the loss on unlabelled pictures alone, by parameter name."""
    learner = tiny.learner(pool, burn_in=0, **changes)
    batch = next(batches(pool, learner.settings, seed=0))
    with network.seeded(0, "test", 0):
        losses, _ = learner.unlabelled_losses(batch)
    torch.stack([total_of(value) for name, value in losses.items() if "loss" in name]).sum().backward()
    return losses, {name: p.grad for name, p in learner.model.named_parameters() if p.grad is not None}


def has_gradient(gradients, part):
    return any(part in name and bool(grad.any()) for name, grad in gradients.items())


def test_pseudo_boxes_teach_classes_and_no_positions(pool):
    losses, gradients = unlabelled_gradients(pool, threshold=0.0)
    assert not {"unsup_loss_bbox", "unsup_loss_rpn_bbox"} & losses.keys()
    assert all(has_gradient(gradients, part) for part in ("fc_cls", "rpn_cls", "backbone.conv1"))
    assert not has_gradient(gradients, "fc_reg") and not has_gradient(gradients, "rpn_reg")


def test_without_a_sure_pseudo_box_all_is_background_and_still_taught(pool):
    losses, gradients = unlabelled_gradients(pool, threshold=1.0)
    assert has_gradient(gradients, "fc_cls") and has_gradient(gradients, "rpn_cls")
    assert float(losses["unsup_loss_cls"].detach()) > 0


def test_no_gradient_reaches_the_teacher(pool):
    _, gradients = unlabelled_gradients(pool)
    assert not has_gradient(gradients, "teacher")
    model = tiny.learner(pool).model
    assert not any(p.requires_grad for p in model.teacher.parameters())


def test_the_weight_of_unlabelled_pictures_scales_their_losses(pool):
    single, _ = unlabelled_gradients(pool, unlabelled_weight=1.0)
    double, _ = unlabelled_gradients(pool, unlabelled_weight=2.0)
    assert torch.allclose(double["unsup_loss_cls"], 2 * single["unsup_loss_cls"])


class Pair(torch.nn.Module):
    """A student and a teacher of one layer with statistics."""

    def __init__(self):
        super().__init__()
        self.student, self.teacher = torch.nn.BatchNorm1d(3), torch.nn.BatchNorm1d(3)


def run_hook(hook, steps):
    """The teacher's and the student's states after each step; the student is drawn anew at each."""
    model, found = Pair(), []
    generator = torch.Generator().manual_seed(0)
    hook.before_train(SimpleNamespace(iter=0, model=model))
    for step in range(steps):
        with torch.no_grad():
            for tensor in model.student.state_dict().values():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) * 9)
        hook.after_train_iter(SimpleNamespace(iter=step, model=model), step)
        found.append((tiny.state(model.teacher), tiny.state(model.student)))
    return found


def test_the_teacher_waits_copies_and_then_follows_the_running_mean_exactly():
    fresh = tiny.state(Pair().teacher)
    found = run_hook(BurnInHook(decay=0.9, burn_in=3), 8)
    assert tiny.same(found[0][0], fresh) and tiny.same(found[1][0], fresh)
    assert tiny.same(*found[2])
    moved = 1 - 0.9
    for (before, _), (after, student) in zip(found[2:], found[3:], strict=False):
        for name in ("weight", "bias", "running_mean", "running_var"):
            expected = before[name] * (1 - moved) + student[name] * moved
            assert torch.allclose(after[name], expected, rtol=1e-6)


def test_a_decay_of_1_freezes_the_teacher_and_0_copies_the_student():
    frozen = run_hook(BurnInHook(decay=1.0, burn_in=1), 4)
    assert tiny.same(frozen[0][0], frozen[3][0])
    for teacher, student in run_hook(BurnInHook(decay=0.0, burn_in=1), 4):
        names = ("weight", "bias", "running_mean", "running_var")
        assert all((teacher[name] == student[name]).all() for name in names)


def test_without_a_burn_in_the_teacher_begins_as_a_copy():
    model = Pair()
    torch.nn.init.uniform_(model.student.weight)
    BurnInHook(decay=0.9, burn_in=0).before_train(SimpleNamespace(iter=0, model=model))
    assert tiny.same(tiny.state(model.teacher), tiny.state(model.student))
