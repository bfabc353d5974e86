"""W2N's teacher and student: which loss sees which boxes; the jitter test is made for every picture."""

from __future__ import annotations

from dataclasses import replace

import pytest

import suite.compat.mmcv  # noqa: F401

# isort: split
import torch
from mmdet.structures import DetDataSample
from mmengine.structures import InstanceData

from experiments.imaginarynet.config_semi import SemiConfig
from experiments.imaginarynet.config_w2n import W2NConfig, W2NRound
from experiments.imaginarynet.detectors.semi.network import seeded
from experiments.imaginarynet.detectors.w2n.model import CLS, REG, W2NTeacher, losses_on, regress

STUDENT = SemiConfig(
    backbone="resnet18", width=8, norm="bn", frozen_stages=-1, pixels="rgb", fpn=8, fc=16, anchor_scale=4.0,
    proposals_before_nms=(40, 40), proposals=10, rpn_batch=16, roi_batch=16, unlabelled_weight=2.0,
    threshold=0.0, test_score=0.0, test_boxes=6,
)  # fmt: skip
SETTINGS = W2NConfig(student=STUDENT, box_threshold=0.0, jitter_copies=4)
BOXES = torch.tensor([[4.0, 4, 40, 40], [20, 20, 60, 56]])


def built(settings=SETTINGS, **round):
    with seeded(0, "test", 0):
        model = W2NTeacher(settings, W2NRound(**round), num_classes=3)
        model.student.init_weights()
    model.teacher.load_state_dict(model.student.state_dict())
    return model.train()


def sample(cls=(True, True), reg=(True, True), labels=(0, 2), image_labels=(0, 2)):
    shape = {
        "img_shape": (64, 64),
        "batch_input_shape": (64, 64),
        "ori_shape": (64, 64),
        "pad_shape": (64, 64),
    }
    made = DetDataSample(metainfo={**shape, "scale_factor": (1.0, 1.0), "image_labels": image_labels})
    made.gt_instances = InstanceData(
        bboxes=BOXES.clone(), labels=torch.tensor(labels),
        clean_cls=torch.tensor(cls), clean_reg=torch.tensor(reg),
    )  # fmt: skip
    return made


def pictures(count, seed=0):
    return torch.randn((count, 3, 64, 64), generator=torch.Generator().manual_seed(seed))


def total(losses):
    flat = [part for value in losses.values() for part in (value if isinstance(value, list) else [value])]
    return sum(part.sum() for part in flat)


def losses_of(model, inputs, samples, seed=0):
    with seeded(seed, "step", 0):
        return model.loss_by_gt_instances(inputs, samples)


def test_without_a_split_every_loss_sees_every_box_as_in_plain_training():
    model = built()
    inputs = pictures(2)
    own = losses_of(model, inputs, [sample((False, False), (False, True)), sample()])
    with seeded(0, "step", 0):
        plain = model.student.loss(inputs, [sample(), sample()])
    assert total({name: own[f"sup_{name}"] for name in (*CLS, *REG)}).item() == pytest.approx(
        total({name: plain[name] for name in (*CLS, *REG)}).item(), rel=1e-5
    )


def test_a_picture_that_no_task_trusts_changes_nothing():
    model = built(split=True).eval()  # batch norm apart, pictures do not see each other
    inputs = pictures(2)
    alone = losses_of(model, inputs[:1], [sample((True, False))])
    beside = losses_of(model, inputs, [sample((True, False)), sample((False, False), (False, False))])
    assert total(beside).item() == pytest.approx(total(alone).item(), rel=1e-4)


def test_each_task_learns_from_the_boxes_it_trusts_alone():
    model = built(split=True).eval()
    inputs = pictures(1)
    losses = losses_of(model, inputs, [sample((True, False), (False, True))])
    moved = sample((True, False), (False, True))
    moved.gt_instances.bboxes[1] += 3  # a box that classification does not trust
    moved.gt_instances.labels[1] = 1
    other = losses_of(model, inputs, [moved])
    for name in CLS:
        assert total({name: losses[f"sup_{name}"]}) == total({name: other[f"sup_{name}"]})
    assert any(total({n: losses[f"sup_{n}"]}) != total({n: other[f"sup_{n}"]}) for n in REG)
    assert set(losses) == {f"sup_{name}" for name in (*CLS, *REG)}


def test_where_no_instance_is_trusted_for_regression_there_is_no_such_loss():
    losses = losses_of(built(split=True), pictures(1), [sample(reg=(False, False))])
    assert set(losses) == {f"sup_{name}" for name in CLS}


def test_an_ignored_instance_is_no_background():
    """All proposals lie in the ignored box, so nothing is left for the RPN to call background."""
    model = built(replace(SETTINGS, ignore_unclean=True), split=True)
    made = sample((True, False), (False, False))
    made.gt_instances.bboxes[1] = torch.tensor([-200.0, -200, 264, 264])
    assigner = model.student.rpn_head.assigner
    priors = InstanceData(priors=torch.tensor([[30.0, 30, 60, 60], [4.0, 4, 40, 40]]))
    _, (kept,) = model._trusted([made], "clean_cls")
    found = assigner.assign(priors, kept.gt_instances, kept.ignored_instances)
    assert found.gt_inds[0] == -1
    assert made.gt_instances.bboxes.shape == (2, 4)  # the other task's sample is as it was


def teacher_boxes(model, count=2, seed=0, **facts):
    samples = [sample(**facts) for _ in range(count)]
    with seeded(seed, "step", 0):
        return model.get_pseudo_instances(pictures(count), samples)[0]


def test_the_jitter_test_is_made_for_every_picture_of_the_batch():
    found = teacher_boxes(built(teacher_boxes=True), 3)
    for one in found:
        assert len(one.gt_instances) == 6
        assert one.gt_instances.spread.shape == (6,)
        assert (one.gt_instances.spread > 0).all()


def test_a_class_head_that_puts_every_box_in_one_place_passes_the_jitter_test(monkeypatch):
    model = built(teacher_boxes=True)
    head = model.teacher.roi_head.bbox_head
    fixed = torch.tensor([10.0, 10, 30, 30])
    monkeypatch.setattr(
        head, "regress_by_class", lambda boxes, labels, pred, meta: fixed.expand(len(boxes), 4)
    )
    for one in teacher_boxes(model):
        assert one.gt_instances.spread.max() < 1e-6


def test_pseudo_boxes_of_classes_that_the_picture_does_not_have_are_dropped():
    model = built()
    known = teacher_boxes(model, image_labels=(1,))
    for one in known:
        assert set(model._sure(one).labels.tolist()) <= {1}
    free = built(replace(SETTINGS, use_image_labels=False))
    labels = {label for one in known for label in free._sure(one).labels.tolist()}
    assert labels - {1}


def test_teacher_boxes_teach_regression_in_such_rounds_alone():
    settings = replace(SETTINGS, max_spread=9.0)
    for is_on in (False, True):
        model = built(settings, teacher_boxes=is_on)
        found = teacher_boxes(model, image_labels=(0, 1, 2))
        losses = model.loss_by_pseudo_instances(pictures(2), found)
        assert {f"unsup_{name}" for name in CLS} <= set(losses)
        assert any(name in losses for name in (f"unsup_{name}" for name in REG)) == is_on


def test_boxes_that_fail_the_jitter_test_teach_no_regression():
    model = built(replace(SETTINGS, max_spread=0.0), teacher_boxes=True)
    losses = model.loss_by_pseudo_instances(pictures(2), teacher_boxes(model, image_labels=(0, 1, 2)))
    assert set(losses) == {f"unsup_{name}" for name in CLS}


def test_losses_of_unlabelled_pictures_have_the_weight_of_the_settings():
    found = {}
    for weight in (1.0, 3.0):
        student = replace(STUDENT, unlabelled_weight=weight)
        model = built(replace(SETTINGS, student=student)).eval()
        samples = teacher_boxes(model)
        with seeded(5, "step", 0):
            found[weight] = total(model.loss_by_pseudo_instances(pictures(2), samples)).item()
    assert found[3.0] == pytest.approx(3 * found[1.0], rel=1e-5)


def test_nothing_of_the_teacher_gets_a_gradient():
    model = built(teacher_boxes=True, split=True)
    batch = {name: pictures(2, 1) for name in ("sup", "unsup_teacher", "unsup_student")}
    samples = {name: [sample(), sample()] for name in batch}
    with seeded(0, "step", 0):
        losses = model.loss(batch, samples)
    total({name: value for name, value in losses.items() if "loss" in name}).backward()
    assert all(parameter.grad is None for parameter in model.teacher.parameters())
    assert model.student.roi_head.bbox_head.fc_cls.weight.grad.abs().sum() > 0


def test_losses_on_given_features_are_those_of_the_whole_network():
    model = built().eval()
    inputs, samples = pictures(2), [sample(), sample()]
    with seeded(0, "step", 0):
        plain = model.student.loss(inputs, samples)
    with seeded(0, "step", 0):
        own = losses_on(model.student, model.student.extract_feat(inputs), samples)
    for name in (*CLS, *REG):
        assert total({name: own[name]}) == total({name: plain[name]})


def test_a_box_is_regressed_by_the_head_of_its_class():
    model = built().eval()
    head = model.student.roi_head.bbox_head
    with torch.no_grad():
        head.fc_reg.weight.zero_()
        head.fc_reg.bias.zero_()
        head.fc_reg.bias[4] = 1.0  # class 1: shifted by 0.1 of the width
        features = model.student.extract_feat(pictures(1))
        put = regress(model.student, features, BOXES, torch.tensor([0, 1]), {"img_shape": (64, 64)})
    assert put[0].tolist() == pytest.approx(BOXES[0].tolist(), abs=1e-4)
    assert put[1].tolist() == pytest.approx([24, 20, 64, 56], abs=1e-3)
