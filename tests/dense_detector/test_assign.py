import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.dense_detector.anchors import anchor_shapes, grid_anchors
from experiments.dense_detector.assign import BACKGROUND, NEUTRAL, Assignment, assign
from experiments.dense_detector.boxes import box_ioa, box_iou
from experiments.dense_detector.losses import detection_loss
from experiments.dense_detector.model import RawOutput
from experiments.dense_detector.presets import PRESETS

IMAGE_HW = (64, 128)
RULES = ("threshold", "published", "atss")
SEEDS = st.integers(0, 2**32 - 1)


def master_anchors() -> torch.Tensor:
    """The 6144 anchors (P, 4) of the master preset on a picture of 64 x 128."""
    preset = PRESETS["master"]
    shapes = anchor_shapes(preset.anchors, IMAGE_HW)
    return grid_anchors(preset.network.feature_hw(IMAGE_HW), IMAGE_HW, shapes)


def disjoint_anchors() -> torch.Tensor:
    """Eight anchors of 16 x 32 that tile the picture: no two overlap, so matches can be counted by hand."""
    return grid_anchors((2, 8), IMAGE_HW, torch.tensor([[16.0, 32.0]]))


ANCHORS = master_anchors()


Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor]


def random_batch(seed: int, pictures: int = 3, rows: int = 6) -> Batch:
    """Boxes (N, M, 4) in the picture, labels (N, M) of 5 classes, valid (N, M) for seven of ten."""
    rng = np.random.default_rng(seed)
    size = np.array([IMAGE_HW[1], IMAGE_HW[0]])
    sides = rng.uniform(3, 0.9 * size, (pictures, rows, 2))
    corner = rng.uniform(0, 1, (pictures, rows, 2)) * (size - sides)
    boxes = torch.from_numpy(np.concatenate([corner, corner + sides], axis=2)).float()
    labels, valid = rng.integers(0, 5, (pictures, rows)), rng.random((pictures, rows)) < 0.7
    return boxes, torch.from_numpy(labels), torch.from_numpy(valid)


def matched_boxes(found: Assignment, boxes: torch.Tensor) -> torch.Tensor:
    """Box (F, 4) that each positive stands for."""
    picture, anchor = (found.labels >= 0).nonzero(as_tuple=True)
    return boxes[picture, found.matched[picture, anchor]]


# --- what a box gets ---


def test_a_box_equal_to_an_anchor_makes_exactly_that_anchor_positive_with_its_class():
    anchors = disjoint_anchors()
    for index in range(len(anchors)):
        one = anchors[index].reshape(1, 1, 4)
        found = assign(anchors, one, torch.tensor([[4]]), torch.tensor([[True]]))
        expected = torch.full((1, len(anchors)), BACKGROUND)
        expected[0, index] = 4
        assert torch.equal(found.labels, expected)


def test_positive_neutral_and_negative_by_hand_computed_overlaps():
    anchors = torch.tensor([[0.0, 0, 10, 10], [5, 0, 15, 10], [4.25, 0, 14.25, 10], [40, 0, 50, 10]])
    box = torch.tensor([[[0.0, 0, 10, 10]]])
    found = assign(anchors, box, torch.tensor([[2]]), torch.tensor([[True]]), pos_iou=0.5, neg_iou=0.35)
    # IoU 1, 50 / 150 = 0.33, 57.5 / 142.5 = 0.40, 0
    assert found.labels.tolist() == [[2, BACKGROUND, NEUTRAL, BACKGROUND]]


@given(SEEDS)
@settings(max_examples=50, deadline=None)
def test_every_box_that_an_anchor_overlaps_enough_owns_one(seed):
    boxes, labels, valid = random_batch(seed)
    boxes[:, 1] = boxes[:, 0]  # twins share their best anchor and must not share it in the end
    found = assign(ANCHORS, boxes, labels, valid, force_match=0.05)
    best = box_iou(boxes, ANCHORS).amax(2)
    for picture, box in ((best >= 0.05) & valid).nonzero().tolist():
        owned = (found.labels[picture] >= 0) & (found.matched[picture] == box)
        assert owned.any()
        assert (found.labels[picture][owned] == labels[picture, box]).all()


def test_of_two_boxes_with_one_best_anchor_the_closer_gets_it_and_the_other_the_next_best():
    anchors = torch.tensor([[0.0, 0, 10, 10], [10, 0, 20, 10], [60, 0, 70, 10]])
    boxes = torch.tensor([[[0.0, 0, 13, 10], [0, 0, 11, 10]]])  # best IoU 10/13 and 10/11, both with anchor 0
    labels, valid = torch.tensor([[0, 1]]), torch.tensor([[True, True]])
    assert assign(anchors, boxes, labels, valid, pos_iou=0.99).labels.tolist() == [[1, 0, BACKGROUND]]
    # the published rule leaves the other without any
    published = assign(anchors, boxes, labels, valid, rule="published")
    assert published.labels.tolist() == [[1, BACKGROUND, BACKGROUND]]


def test_a_box_that_nothing_overlaps_enough_owns_none():
    anchors = disjoint_anchors()
    tiny = torch.tensor([[[3.0, 3, 6, 6]]])  # IoU 9 / 512 = 0.018
    found = assign(anchors, tiny, torch.tensor([[0]]), torch.tensor([[True]]), force_match=0.05)
    assert (found.labels == BACKGROUND).all()


def test_the_published_rule_counts_the_best_overlap_ten_times():
    anchors = disjoint_anchors()
    # two thirds by half of an anchor's 16 x 32: IoU 0.1, and 0.1 x 10 passes 0.5
    small = torch.tensor([[[2.0, 2, 9, 9.32]]])
    one, yes = torch.tensor([[3]]), torch.tensor([[True]])
    assert box_iou(small[0], anchors).max() == pytest.approx(0.1, abs=0.001)
    assert assign(anchors, small, one, yes, rule="published").labels[0].tolist() == [3] + 15 * [BACKGROUND]
    tiny = torch.tensor([[[2.0, 2, 6, 8]]])  # 24 / 512 = 0.047, just below
    assert (assign(anchors, tiny, one, yes, rule="published").labels < 0).all()


def test_atss_takes_anchors_centred_in_the_box_that_fit_better_than_its_usual_candidate():
    boxes, labels, valid = random_batch(11)
    found = assign(ANCHORS, boxes, labels, valid, rule="atss")
    picture, anchor = (found.labels >= 0).nonzero(as_tuple=True)
    owner = matched_boxes(found, boxes)
    centre = (ANCHORS[anchor, :2] + ANCHORS[anchor, 2:]) / 2
    inside = ((centre > owner[:, :2]) & (centre < owner[:, 2:])).all(dim=1)
    assert len(owner) and (~inside).sum() <= valid.sum()  # besides one forced match for each box
    overlap = box_iou(owner[:, None], ANCHORS[anchor][:, None])
    everywhere = box_iou(boxes[valid], ANCHORS)
    assert overlap.mean() > everywhere[everywhere > 0].mean()
    assert (found.labels != NEUTRAL).all()  # its threshold leaves nothing in between


# --- what must not matter ---


@pytest.mark.parametrize("rule", RULES)
@given(seed=SEEDS)
@settings(max_examples=20, deadline=None)
def test_padding_does_not_matter(rule, seed):
    boxes, labels, valid = random_batch(seed)
    found = assign(ANCHORS, boxes, labels, valid, rule=rule)
    garbage = torch.cat([boxes, ANCHORS[:8].expand(len(boxes), 8, 4)], dim=1)
    more_labels, more_valid = (torch.cat([x, x.new_zeros(len(x), 8)], dim=1) for x in (labels, valid))
    again = assign(ANCHORS, garbage, more_labels, more_valid, rule=rule)
    assert torch.equal(again.labels, found.labels)
    assert torch.equal(matched_boxes(again, garbage), matched_boxes(found, boxes))
    picture, anchor = (again.labels >= 0).nonzero(as_tuple=True)
    assert more_valid[picture, again.matched[picture, anchor]].all()


@pytest.mark.parametrize("rule", RULES)
@given(seed=SEEDS)
@settings(max_examples=20, deadline=None)
def test_the_order_of_the_boxes_does_not_matter(rule, seed):
    boxes, labels, valid = random_batch(seed)
    order = torch.from_numpy(np.random.default_rng(seed).permutation(boxes.shape[1]))
    found = assign(ANCHORS, boxes, labels, valid, rule=rule)
    again = assign(ANCHORS, boxes[:, order], labels[:, order], valid[:, order], rule=rule)
    assert torch.equal(again.labels, found.labels)
    assert torch.equal(matched_boxes(again, boxes[:, order]), matched_boxes(found, boxes))


@pytest.mark.parametrize("rule", RULES)
def test_a_batch_equals_its_pictures_one_by_one(rule):
    boxes, labels, valid = random_batch(2, pictures=4)
    ignore, ignore_valid = boxes[:, :2] + 5, valid[:, 2:4]
    whole = assign(ANCHORS, boxes, labels, valid, ignore=ignore, ignore_valid=ignore_valid, rule=rule)
    for k in range(4):
        one = (x[k : k + 1] for x in (boxes, labels, valid))
        region = {"ignore": ignore[k : k + 1], "ignore_valid": ignore_valid[k : k + 1]}
        single = assign(ANCHORS, *one, **region, rule=rule)
        assert torch.equal(single.labels[0], whole.labels[k])
        positive = whole.labels[k] >= 0
        assert torch.equal(single.matched[0][positive], whole.matched[k][positive])


@pytest.mark.parametrize("rule", RULES)
def test_pictures_without_boxes_are_background_whatever_their_padding(rule):
    for rows in (0, 3):  # no row at all, and rows of padding that hold anchors
        labels, valid = (torch.zeros(2, rows, dtype=kind) for kind in (torch.int64, torch.bool))
        found = assign(ANCHORS, ANCHORS[:rows].expand(2, rows, 4), labels, valid, rule=rule)
        assert (found.labels == BACKGROUND).all()


# --- ignore regions ---


def test_anchors_of_an_ignore_region_get_no_gradient_but_a_positive_in_it_does():
    boxes = torch.tensor([[[70.0, 10, 100, 50]]])
    region = torch.tensor([[[60.0, 0, 128, 64], [0, 0, 64, 64]]])
    region_valid = torch.tensor([[True, False]])  # the second is padding
    one, yes = torch.tensor([[0]]), torch.tensor([[True]])
    found = assign(ANCHORS, boxes, one, yes, ignore=region, ignore_valid=region_valid)
    inside = (box_ioa(region[0, :1], ANCHORS)[0] >= 0.5) | (box_iou(region[0, :1], ANCHORS)[0] >= 0.5)
    logits = torch.zeros(1, len(ANCHORS), 1, requires_grad=True)
    detection_loss(RawOutput(logits, None), found, ANCHORS, boxes).total.backward()
    touched = logits.grad[0, :, 0] != 0
    positive = found.labels[0] >= 0
    assert positive.any() and touched[positive].all()
    assert inside.sum() > positive.sum() and not touched[inside & ~positive].any()
    outside = box_iou(torch.cat([region[0, :1], boxes[0]]), ANCHORS).amax(0) == 0
    assert outside.any() and touched[outside].all()


def test_a_small_anchor_within_a_large_region_is_ignored_though_their_iou_is_low():
    region = torch.tensor([[[0.0, 0, 64, 64]]])
    none = torch.zeros(1, 1, 4), torch.zeros(1, 1, dtype=torch.int64), torch.zeros(1, 1, dtype=torch.bool)
    anchors = torch.tensor([[10.0, 10, 20, 20], [59, 10, 69, 20], [61, 10, 71, 20]])  # 100, 50, 30 % inside
    found = assign(anchors, *none, ignore=region, ignore_valid=torch.tensor([[True]]))
    assert found.labels.tolist() == [[NEUTRAL, NEUTRAL, BACKGROUND]]
