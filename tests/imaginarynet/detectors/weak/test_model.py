"""The whole detector: losses, batches, what has a gradient and what has none, and the rules of scores."""

import pytest
import torch

from experiments.imaginarynet.detectors.weak.heads import Logits
from experiments.imaginarynet.detectors.weak.losses import midn_scores
from experiments.imaginarynet.detectors.weak.model import WeakDetector, judge
from tests.imaginarynet.detectors.weak.small import boxes_in, detector, item, settings

PORT = {"fast_rcnn": True, "score_rule": "refine-mean-frcn", "ignore_iou": 0.1, "log_eps": 1e-6}
WSDDN = {"refinements": 0, "refine_weights": (), "score_rule": "midn"}


def pictures():
    """Three with different numbers of proposals, two sizes, one with two classes."""
    return [
        item(boxes_in(7, seed=1), seed=1),
        item(boxes_in(2, seed=2), (0.0, 1.0, 1.0), seed=2),
        item(boxes_in(5, (40, 40), seed=3), (0.0, 0.0, 1.0), size=(40, 40), seed=3),
    ]


@pytest.mark.parametrize("changed", [{}, PORT, {**WSDDN, "spatial_regulariser": 1e-4, "score_bias": 10.0}])
def test_a_batch_of_different_numbers_of_proposals_equals_its_pictures_one_by_one(changed):
    model, batch = detector(**changed), pictures()
    together, alone = model(batch), [model([one]) for one in batch]
    assert together.keys() == alone[0].keys()
    for name, value in together.items():
        wanted = sum(one[name].item() for one in alone) / len(batch)
        assert value.item() == pytest.approx(wanted, rel=1e-4, abs=1e-7)
    model.eval()
    for found, one in zip(model.scores(batch), batch, strict=True):
        wanted = model.scores([one])[0]
        assert torch.allclose(found.scores, wanted.scores, atol=1e-6)
        assert torch.allclose(found.boxes, wanted.boxes, atol=1e-3)


def test_another_order_of_proposals_gives_their_scores_in_that_order():
    model, boxes = detector().eval(), boxes_in(9, seed=1)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(0))
    one, other = (model.scores([item(each)])[0] for each in (boxes, boxes[order]))
    assert torch.allclose(one.scores[order], other.scores, atol=1e-6)


def test_a_proposal_given_twice_shares_its_weight_and_keeps_the_score_between_its_bounds():
    model, boxes = detector(**WSDDN).eval(), boxes_in(6, seed=1)
    once, twice = (model.scores([item(each)])[0].scores for each in (boxes, torch.cat([boxes, boxes[:1]])))
    assert torch.allclose(twice[0], twice[6])
    # Of n equal shares, one more of the same kind moves the sum by at most one share.
    moved = (twice.sum(0) - once.sum(0)).abs()
    assert (moved <= twice[0] + 1e-6).all() and moved.any()


def test_no_gradient_of_a_refinement_passes_through_its_labels_to_the_teacher():
    model = detector(backbone="mobilenetv2")
    losses = model([item(boxes_in(7, seed=1))])
    losses["loss_refine2"].backward()
    branches = model.branches
    silent = (branches.classes, branches.proposals, branches.refinements[0], branches.refinements[2])
    assert all(not layer.weight.grad.any() for layer in silent)
    assert branches.refinements[1].weight.grad.any()


def test_the_fast_rcnn_branch_learns_from_the_last_refinement_without_a_gradient_to_it():
    model = detector(**PORT)
    losses = model([item(boxes_in(7, seed=1))])
    (losses["loss_cls"] + losses["loss_box"]).backward()
    assert model.branches.fast_rcnn.weight.grad.any()
    assert all(not layer.weight.grad.any() for layer in model.branches.refinements)


def test_losses_have_names_for_every_branch_and_refine_switches_all_but_the_first_off():
    model, batch = detector(**PORT), [item(boxes_in(4))]
    names = ["loss_midn", "loss_refine1", "loss_refine2", "loss_refine3", "loss_cls", "loss_box"]
    assert list(model(batch)) == names
    assert list(model(batch, refine=False)) == ["loss_midn"]
    assert list(detector(**WSDDN)(batch)) == ["loss_midn"]


def test_the_first_branchs_weight_multiplies_its_loss():
    batch = [item(boxes_in(7, seed=1))]
    one, three = (detector(refine_weights=(weight, 1.0, 1.0))(batch) for weight in (1.0, 3.0))
    assert three["loss_refine1"].item() == pytest.approx(3 * one["loss_refine1"].item())
    assert three["loss_refine2"].item() == pytest.approx(one["loss_refine2"].item())


def test_one_proposal_is_enough_also_for_two_classes():
    losses = detector(**PORT)([item(boxes_in(1), (1.0, 1.0, 0.0))])
    assert all(value.isfinite() for value in losses.values())


def test_a_picture_without_proposals_gets_no_scores():
    model = detector().eval()
    found = model.scores([item(boxes_in(0)), item(boxes_in(3))])
    assert [one.scores.shape for one in found] == [(0, 3), (3, 3)]
    assert model.scores([item(boxes_in(0))])[0].boxes.shape == (0, 4)


def test_dropout_follows_the_generator():
    model, batch = detector(dropout=0.5, fc=(64,)), [item(boxes_in(4))]
    one, two, other = (
        model(batch, generator=torch.Generator().manual_seed(seed))["loss_midn"].item() for seed in (1, 1, 2)
    )
    assert one == two != other


def test_heads_depend_on_the_seed_alone_and_biases_are_zero():
    torch.manual_seed(1)
    one = detector(seed=3).state_dict()
    torch.manual_seed(2)
    two, other = detector(seed=3).state_dict(), detector(seed=4).state_dict()
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    name = "branches.refinements.1"
    assert not torch.equal(one[f"{name}.weight"], other[f"{name}.weight"]) and not one[f"{name}.bias"].any()


def test_the_refinements_parameters_are_told_by_name():
    names = [name for name, _ in detector(**PORT).named_parameters() if WeakDetector.is_refinement(name)]
    assert sorted(names) == [
        f"branches.refinements.{k}.{kind}" for k in range(3) for kind in ("bias", "weight")
    ]


def test_scores_follow_the_published_rules():
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randn(6, 5, 4, generator=generator)
    logits = Logits(drawn[0][:, :3], drawn[1][:, :3], tuple(drawn[2:5]), drawn[5], torch.zeros(5, 4, 4))
    boxes, refined = boxes_in(5), [one.softmax(1)[:, 1:] for one in drawn[2:5]]
    found = judge(logits, boxes, settings())
    assert torch.allclose(found.scores, sum(refined)) and torch.equal(found.boxes, boxes)
    found = judge(logits, boxes, settings(**PORT))
    assert torch.allclose(found.scores, (sum(refined) / 3 + drawn[5].softmax(1)[:, 1:]) / 2)
    assert torch.allclose(found.boxes, boxes[:, None].expand(5, 3, 4), atol=1e-4)  # offsets of zero
    found = judge(logits, boxes, settings(**WSDDN, temperature=2.0))
    assert torch.equal(found.scores, midn_scores(logits.classes, logits.proposals, temperature=2.0))


def test_a_bias_of_the_scores_multiplies_what_is_pooled():
    model = detector(**WSDDN, score_bias=10.0)
    batch = [item(boxes_in(4))]
    boxes = [batch[0]["proposals"].proposal_boxes.tensor]
    known = batch[0]["proposals"].objectness_logits
    found = model._pooled(batch, boxes)
    batch[0]["proposals"].objectness_logits = torch.zeros(4)
    assert torch.allclose(found, model._pooled(batch, boxes) * (1 + 10 * known)[:, None, None, None])


def test_a_few_updates_bring_the_loss_down():
    model, batch = detector(fc=(16,)), pictures()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.05)
    seen = []
    for _ in range(30):
        optimizer.zero_grad()
        total = model(batch)["loss_midn"]
        total.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
        optimizer.step()
        seen.append(total.item())
    assert seen[-1] < 0.8 * seen[0]


def test_resnet50_with_its_last_stage_as_the_head_scores_proposals():
    model = detector(backbone="resnet50", depth=0, head="res5", fc=(), stride=16, pool_size=2).eval()
    found = model.scores([item(boxes_in(3))])[0]
    assert found.scores.shape == (3, 3) and found.scores.isfinite().all()
