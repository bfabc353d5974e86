"""A trained detector at work: views that undo themselves, averages before NMS, folders that load again."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.structures import Boxes, Instances

from experiments.imaginarynet.config_weak import WeakConfig
from experiments.imaginarynet.detectors.api import Locates, load_detector, save_detector
from experiments.imaginarynet.detectors.weak.infer import WeakPredictor
from experiments.imaginarynet.detectors.weak.model import ProposalScores, build_weak_detector
from suite.config import to_tree
from suite.errors import BadInput

CLASSES = ("mug", "lemon", "chair")
SETTINGS = WeakConfig(
    backbone="mobilenetv2", weights="random", depth=4, freeze=0, fc=(8,), pool_size=2, dropout=0.0,
    scales=(48,), test_scales=(48, 64), score_threshold=0.0, max_per_class=0,
)  # fmt: skip
WSDDN = replace(SETTINGS, refinements=0, refine_weights=(), score_rule="midn")
WITH_BOXES = replace(SETTINGS, fast_rcnn=True, score_rule="refine-mean-frcn")


def make_picture(seed=0, height=36, width=48):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


PICTURE = make_picture()
BOXES = np.array([[0, 0, 48, 36], [4, 4, 20, 30], [22, 3, 46, 33], [10, 12, 40, 24]], np.float32)


def make(settings=SETTINGS, seed=0):
    """A detector whose untrained branches speak up: their weights are drawn wide."""
    model = build_weak_detector(settings, len(CLASSES), seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.branches.parameters():
            parameter.normal_(0.0, 0.5, generator=generator)
    return WeakPredictor(model, CLASSES)


class Position(torch.nn.Module):
    """Scores a box by where its centre lies and what the picture holds there, at any scale."""

    def __init__(self, settings):
        super().__init__()
        self.settings, self.seen = settings, []

    def scores(self, batch):
        (item,) = batch
        image, boxes = item["image"].float(), item["proposals"].proposal_boxes.tensor
        self.seen.append((tuple(image.shape), boxes))
        columns = ((boxes[:, 0] + boxes[:, 2]) / 2).long().clamp(max=image.shape[2] - 1)
        return [ProposalScores(boxes, image[:2, image.shape[1] // 2, columns].T / 255)]


def stripes():
    """36 x 48, each half of one colour."""
    picture = np.zeros((36, 48, 3), np.uint8)
    picture[:, :24], picture[:, 24:] = (200, 50, 0), (20, 90, 0)
    return picture


@pytest.mark.parametrize("settings", [SETTINGS, WSDDN, WITH_BOXES], ids=["oicr", "wsddn", "boxes"])
def test_a_mirrored_picture_gets_the_mirrored_judgement(settings):
    detector = make(settings)
    boxes, scores = detector.score(PICTURE, BOXES)
    flipped = BOXES[:, [2, 1, 0, 3]] * [-1, 1, -1, 1] + [48, 0, 48, 0]
    again, same = detector.score(np.ascontiguousarray(PICTURE[:, ::-1]), flipped)
    torch.testing.assert_close(same, scores, atol=1e-5, rtol=1e-4)
    back = again[..., [2, 1, 0, 3]] * torch.tensor([-1.0, 1, -1, 1]) + torch.tensor([48.0, 0, 48, 0])
    torch.testing.assert_close(back, boxes, atol=1e-3, rtol=1e-4)


def test_the_score_is_the_mean_over_scales_and_flips():
    whole = make()
    parts = []
    for scale in (48, 64):
        alone = make(replace(SETTINGS, test_scales=(scale,)))
        parts.append(alone.score(PICTURE, BOXES)[1])
    torch.testing.assert_close(whole.score(PICTURE, BOXES)[1], (parts[0] + parts[1]) / 2)
    summed = make(replace(SETTINGS, test_reduce="sum"))
    torch.testing.assert_close(summed.score(PICTURE, BOXES)[1], 2 * (parts[0] + parts[1]))


def test_views_show_each_box_the_same_part_of_the_picture():
    model = Position(replace(SETTINGS, channel_order="rgb", dedup=False))
    boxes, scores = WeakPredictor(model, CLASSES[:2]).score(stripes(), BOXES[1:3])
    assert [shape for shape, _ in model.seen] == [(3, 36, 48)] * 2 + [(3, 48, 64)] * 2
    torch.testing.assert_close(scores, torch.tensor([[200.0, 50], [20, 90]]) / 255, atol=0.02, rtol=0)
    torch.testing.assert_close(boxes, torch.from_numpy(BOXES[1:3]))


def test_boxes_of_one_cell_are_judged_once_and_share_the_score():
    doubled = np.concatenate([BOXES[2:], BOXES[2:] + 0.2]).astype(np.float32)
    model = Position(replace(SETTINGS, test_scales=(48,), test_flip=False))
    boxes, scores = WeakPredictor(model, CLASSES[:2]).score(stripes(), doubled)
    assert len(model.seen[0][1]) == 2 and torch.equal(scores[:2], scores[2:])
    assert torch.equal(boxes, torch.from_numpy(doubled))


@pytest.mark.parametrize("settings", [SETTINGS, WITH_BOXES], ids=["proposals", "moved"])
def test_the_surest_box_of_each_class_is_located_whatever_the_floor(settings):
    detector = make(replace(settings, score_threshold=0.9, nms=0.5))
    boxes, scores = detector.score(PICTURE, BOXES)
    found = detector.locate(PICTURE, BOXES)
    assert isinstance(detector, Locates)
    assert found.labels.tolist() == [0, 1, 2]
    assert found.scores == pytest.approx(scores.amax(0).numpy())
    for label, row in enumerate(scores.argmax(0).tolist()):
        wanted = boxes[row] if boxes.ndim == 2 else boxes[row, label]
        wanted = torch.minimum(wanted.clamp(min=0), torch.tensor([48.0, 36, 48, 36]))
        assert found.boxes[label] == pytest.approx(wanted.numpy(), abs=1e-4)


def test_detections_lie_in_the_picture_and_the_surest_is_the_located_one():
    detector = make(WITH_BOXES)
    found, located = detector.detect(PICTURE, BOXES), detector.locate(PICTURE, BOXES)
    assert (found.boxes >= 0).all() and (found.boxes <= [48, 36, 48, 36]).all()
    for label in range(3):
        assert found.scores[found.labels == label].max() == pytest.approx(located.scores[label])


def test_permuted_proposals_give_the_same_scores_permuted():
    detector, order = make(WSDDN), [2, 0, 3, 1]
    straight, permuted = detector.score(PICTURE, BOXES)[1], detector.score(PICTURE, BOXES[order])[1]
    torch.testing.assert_close(permuted, straight[order], atol=1e-6, rtol=1e-5)


def test_a_picture_without_proposals_has_no_detection():
    detector = make()
    assert len(detector.detect(PICTURE, BOXES[:0])) == len(detector.locate(PICTURE, BOXES[:0])) == 0


def test_a_detector_of_proposals_says_that_it_needs_them():
    with pytest.raises(BadInput, match="judges proposals, and got none"):
        make().detect(PICTURE, None)


@pytest.mark.parametrize("settings", [WSDDN, WITH_BOXES], ids=["wsddn", "oicr"])
def test_a_saved_detector_says_the_same_when_it_is_loaded(settings, tmp_path):
    detector = make(settings)
    save_detector(
        tmp_path, kind=settings.kind, class_names=CLASSES, settings=to_tree(settings),
        state=detector.model.state_dict(),
    )  # fmt: skip
    again = load_detector(tmp_path, "cpu")
    assert again.class_names == CLASSES and again.needs_proposals
    one, two = detector.detect(PICTURE, BOXES), again.detect(PICTURE, BOXES)
    assert len(one) and all((getattr(one, n) == getattr(two, n)).all() for n in ("boxes", "scores", "labels"))


def test_a_folder_of_another_network_is_refused(tmp_path):
    save_detector(
        tmp_path, kind="oicr", class_names=CLASSES[:2], settings=to_tree(SETTINGS),
        state=make().model.state_dict(),
    )  # fmt: skip
    with pytest.raises(BadInput, match="does not fit the network"):
        load_detector(tmp_path, "cpu")


def test_scores_of_proposals_count_in_a_test_as_in_training():
    detector = make(replace(WSDDN, score_bias=10.0, test_scales=(48,), test_flip=False, dedup=False))
    given = np.linspace(0, 1, len(BOXES), dtype=np.float32)
    _, plain = detector.score(PICTURE, BOXES)
    _, zero = detector.score(PICTURE, np.column_stack([BOXES, np.zeros(len(BOXES), np.float32)]))
    boxes, scored = detector.score(PICTURE, np.column_stack([BOXES, given]))
    assert torch.equal(plain, zero) and not torch.allclose(plain, scored)
    assert boxes.numpy().tolist() == BOXES.tolist()
    instances = Instances(PICTURE.shape[:2])
    instances.proposal_boxes, instances.objectness_logits = (
        Boxes(torch.from_numpy(BOXES)),
        torch.from_numpy(given),
    )
    image = torch.from_numpy(PICTURE.transpose(2, 0, 1)[::-1].copy())  # BGR, as these settings have it
    (wanted,) = detector.model.scores([{"image": image, "proposals": instances}])
    assert torch.allclose(scored, wanted.scores, atol=1e-6)
