"""What the split ranks: the loss and the spread of a label's own box, in pixels of the stored picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from experiments.imaginarynet.config_w2n import W2NConfig
from experiments.imaginarynet.detectors.api import Found
from experiments.imaginarynet.detectors.data.records import ImageLabelled
from experiments.imaginarynet.detectors.semi.infer import SemiDetector
from experiments.imaginarynet.detectors.semi.network import build_detector, seeded
from experiments.imaginarynet.detectors.w2n import measure
from experiments.imaginarynet.detectors.w2n.labels import NoisyLabels
from tests.imaginarynet.detectors.w2n.test_model import STUDENT

SETTINGS = W2NConfig(student=STUDENT, jitter_copies=5)
NAMES = ("a", "b", "c")


@pytest.fixture(scope="module")
def detector():
    settings = replace(STUDENT, test_side=48, max_side=96)
    with seeded(3, "test", 0):
        network = build_detector(settings, num_classes=3)
        network.init_weights()
        torch.nn.init.normal_(network.roi_head.bbox_head.fc_cls.weight)
        torch.nn.init.normal_(network.roi_head.bbox_head.fc_reg.weight, std=0.01)
    return SemiDetector(network, settings, NAMES, "cpu")


def picture(seed=0, shape=(24, 32)):
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)


def one(detector, boxes, labels, pixels=None, seed=0):
    generator = torch.Generator().manual_seed(seed)
    boxes, labels = np.array(boxes, np.float32), np.array(labels)
    return measure.measure_one(
        detector, picture() if pixels is None else pixels, boxes, labels, SETTINGS, generator
    )


def test_the_losses_of_all_labels_of_a_box_are_those_of_one_distribution(detector):
    """The background has the rest."""
    loss, _ = one(detector, [[2, 3, 20, 20]] * 3, [0, 1, 2])
    assert 0 < np.exp(-loss).sum() < 1
    assert (loss > 0).all()


def test_figures_of_a_box_do_not_depend_on_the_size_at_which_the_picture_is_stored(detector):
    large = np.asarray(Image.fromarray(picture()).resize((64, 48), Image.Resampling.BILINEAR))
    loss, sigma = one(detector, [[4, 6, 40, 40]], [1], large)  # 48 pixels are what the network sees
    small, other = one(detector, [[2, 3, 20, 20]], [1])
    assert loss == pytest.approx(small, rel=1e-4)
    assert sigma == pytest.approx(other, rel=1e-3)


def test_figures_are_a_function_of_seed_and_picture_alone(detector, tmp_path):
    pictures = []
    for number in range(3):
        Image.fromarray(picture(number)).save(tmp_path / f"{number}.png")
        pictures.append(ImageLabelled(number, tmp_path / f"{number}.png", 32, 24, "real", frozenset({0})))
    found = Found(np.array([[2, 3, 20, 20], [0, 0, 30, 22]]), np.ones(2), np.array([0, 2]))
    labels = NoisyLabels.gather((number, found) for number in range(3))
    calls = []
    every = measure.measured(labels, pictures, detector, SETTINGS, seed=4, after=lambda: calls.append(1))
    assert len(calls) == 3
    assert np.isfinite(every.loss).all()
    assert (every.sigma > 0).all()
    backwards = measure.measured(labels, pictures[::-1], detector, SETTINGS, seed=4)
    assert np.array_equal(every.sigma, backwards.sigma)
    assert not np.array_equal(
        every.sigma, measure.measured(labels, pictures, detector, SETTINGS, seed=5).sigma
    )


def test_pictures_without_labels_are_not_read(detector, tmp_path):
    gone = ImageLabelled(9, tmp_path / "gone.png", 32, 24, "real", frozenset({0}))
    labels = NoisyLabels.gather([(1, Found(np.array([[0, 0, 4, 4]]), np.ones(1), np.zeros(1)))])
    assert np.isnan(measure.measured(labels, [gone], detector, SETTINGS, seed=0).loss).all()
