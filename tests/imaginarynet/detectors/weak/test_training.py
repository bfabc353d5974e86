"""A network that learns from names alone finds the objects, and finds nothing where names are dealt anew."""

import numpy as np
import torch

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.structures import Boxes, Instances

from experiments.imaginarynet.config_weak import WeakConfig
from experiments.imaginarynet.detectors.weak.infer import WeakPredictor
from experiments.imaginarynet.detectors.weak.learner import WeakLearner
from experiments.imaginarynet.detectors.weak.model import WeakDetector, build_weak_detector
from suite.metrics.iou import box_iou
from suite.seeds import item_rng

SIDE, CLASSES, COLOURS = 64, ("red", "blue"), ((220, 30, 30), (30, 30, 220))
SETTINGS = WeakConfig(
    weights="random", depth=4, freeze=0, pooling="roi_align", pool_size=2, fc=(32,), dropout=0.0,
    channel_order="rgb", pixel_mean=(120.0, 120.0, 120.0), pixel_std=(60.0, 60.0, 60.0), lr=0.01,
    refine_lr=10.0, clip_norm=10.0, iterations=60, steps=(), batch=4, iter_size=1, log_every=20,
    scales=(SIDE,), test_scales=(SIDE,), dedup=False,
)  # fmt: skip


def scene(index, *, stream="train"):
    """(picture, object, proposals, class): a square of one colour on grey noise."""
    rng = item_rng(0, f"scene.{stream}", index)
    label = int(rng.integers(2))
    picture = rng.integers(90, 150, (SIDE, SIDE, 3), dtype=np.uint8)
    side = int(rng.integers(18, 30))
    x, y = rng.integers(0, SIDE - side, 2)
    picture[y : y + side, x : x + side] = COLOURS[label]
    corner = rng.uniform(0, SIDE - 12, (14, 2))
    others = np.hstack([corner, np.minimum(corner + rng.uniform(10, 40, (14, 2)), SIDE)])
    wanted = np.array([[x, y, x + side, y + side]], np.float32)
    proposals = np.concatenate([others, wanted]).astype(np.float32)
    return picture, wanted, proposals[rng.permutation(15)], label


def batches(first, *, dealt):
    """Four scenes a batch out of 60; `dealt`: their names have nothing to do with them."""
    while True:
        rows = []
        for index in range(4 * first, 4 * first + 4):
            picture, _, boxes, label = scene(index % 60)
            if dealt:
                label = int(item_rng(1, "dealt", index % 60).integers(2))
            proposals = Instances((SIDE, SIDE))
            proposals.proposal_boxes = Boxes(torch.from_numpy(boxes))
            image = torch.from_numpy(np.ascontiguousarray(picture.transpose(2, 0, 1)))
            names = torch.eye(2)[label]
            rows.append({"image": image, "image_id": index, "proposals": proposals, "image_labels": names})
        yield rows
        first += 1


def trained(*, dealt):
    """(detector, first and last total loss)."""
    model = build_weak_detector(SETTINGS, 2, seed=0).train()
    learner = WeakLearner(
        model, SETTINGS, lambda first: batches(first, dealt=dealt), seed=0, name="toy",
        is_refinement=WeakDetector.is_refinement,
    )  # fmt: skip
    losses = [learner.step()[1] for _ in range(SETTINGS.iterations)]
    return WeakPredictor(model, CLASSES), np.mean(losses[:10]), np.mean(losses[-10:])


def share_right(detector, count=40):
    """Of fresh scenes, those whose surest box of the right class has an IoU above 0.5 with the object."""
    right = 0
    for index in range(count):
        picture, wanted, boxes, label = scene(index, stream="test")
        found = detector.locate(picture, boxes).boxes[label]
        right += box_iou(found[None], wanted)[0, 0] > 0.5
    return right / count


def chance(count=40):
    """The same share of a proposal drawn evenly."""
    return np.mean(
        [(box_iou(boxes, wanted) > 0.5).mean() for _, wanted, boxes, _ in
         (scene(index, stream="test") for index in range(count))]
    )  # fmt: skip


def test_names_of_pictures_teach_where_objects_are_and_dealt_names_do_not():
    told, first, last = trained(dealt=False)
    dealt, _, _ = trained(dealt=True)
    assert last < first / 2
    assert share_right(told) > chance() + 0.4
    assert share_right(dealt) < share_right(told) - 0.3
