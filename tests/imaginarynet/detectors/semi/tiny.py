"""The smallest Faster R-CNN that does all its work, and pictures for it."""

import dataclasses

import numpy as np
from PIL import Image

from experiments.imaginarynet.config_semi import SemiConfig
from experiments.imaginarynet.detectors.data.records import Boxed, Unlabelled
from experiments.imaginarynet.detectors.semi.batches import Pool
from experiments.imaginarynet.detectors.semi.learner import SemiLearner
from experiments.imaginarynet.detectors.semi.network import build_model

CLASSES = ("mug", "lemon", "chair")
WIDTH, HEIGHT = 64, 48

SETTINGS = SemiConfig(
    backbone="resnet18", width=8, norm="bn", frozen_stages=-1, pixels="rgb", fpn=8, fc=16, anchor_scale=4.0,
    proposals_before_nms=(20, 20), proposals=20, rpn_batch=16, roi_batch=8, steps=6, batch_labelled=2,
    batch_unlabelled=2, lr=0.05, warmup=2, decay_steps=(5,), sides=(32, 48), max_side=64, burn_in=2, ema=0.9,
    threshold=0.0, test_side=48, test_score=0.0, measure_every=2, save_every=2,
)  # fmt: skip


def settings(**changes):
    return dataclasses.replace(SETTINGS, **changes)


def rectangle(number):
    """(box, label) of picture `number`."""
    rng = np.random.default_rng(number)
    x1, y1 = rng.integers(0, 30), rng.integers(0, 20)
    return np.float32([[x1, y1, x1 + rng.integers(16, 32), y1 + rng.integers(14, 26)]]), number % 3


def make_picture(folder, number):
    """A PNG file with one bright rectangle on dark noise."""
    (box,), _ = rectangle(number)
    pixels = np.random.default_rng(number).integers(0, 40, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    x1, y1, x2, y2 = box.astype(int)
    pixels[y1:y2, x1:x2] = 240
    path = folder / f"{number}.png"
    Image.fromarray(pixels).save(path)
    return path


def boxed(folder, number):
    boxes, label = rectangle(number)
    return Boxed(
        number,
        make_picture(folder, number),
        WIDTH,
        HEIGHT,
        "real",
        boxes,
        np.array([label]),
        np.zeros(1, bool),
    )


def make_pool(folder):
    """Three pictures with boxes and three without."""
    labelled = tuple(boxed(folder, number) for number in range(3))
    unlabelled = tuple(
        Unlabelled(number, make_picture(folder, number), WIDTH, HEIGHT, "imaginary") for number in range(3, 6)
    )
    return Pool(labelled, unlabelled)


def learner(pool, kind="unbiased-teacher", *, seed=0, **changes):
    chosen = settings(**changes)
    model = build_model(kind, chosen, num_classes=len(CLASSES), seed=seed)
    return SemiLearner(model, chosen, pool, seed=seed, name="test")


def state(module):
    """A copy of all tensors."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def same(one, other):
    """Whether two states have the same bits."""
    return one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)
