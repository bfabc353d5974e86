"""Pictures of a stub whose acceptance is known in closed form; distances by networks that are known."""

import numpy as np
import pytest

from experiments.gafi.metrics.acceptance import acceptance, kept
from experiments.gafi.metrics.features import Extractor
from experiments.gafi.metrics.quality import (
    PER_CLASS,
    SHOWN,
    Comparer,
    class_sheet,
    cut_to,
    draw,
    per_class_quota,
)
from experiments.gafi.sampling.fill import fill
from experiments.gafi.sampling.latents import StreamKey, latents
from experiments.gafi.sampling.score import Scorer
from tests.gafi import fakes

CLASSES, STREAM = 4, StreamKey(7)


@pytest.fixture(scope="module")
def scorer():
    return Scorer(fakes.generator(CLASSES), fakes.classifier(CLASSES), batch_size=64)


@pytest.mark.parametrize("stddev", [1.0, 2.5])
def test_the_share_accepted_is_the_known_one(scorer, stddev):
    """Four standard errors of a share of 200 pictures."""
    drawn = draw(scorer, num_classes=CLASSES, stddev=stddev, stream=STREAM, normalize=True)
    shares = acceptance(drawn.scored, (0.0,), num_classes=CLASSES)[0]
    for label, share in enumerate(shares):
        expected = fakes.agreement(CLASSES, label, stddev)
        assert share == pytest.approx(expected, abs=4 * np.sqrt(expected * (1 - expected) / PER_CLASS) + 1e-9)


def test_the_first_pictures_are_those_of_the_first_latents(scorer):
    drawn = draw(scorer, num_classes=CLASSES, stddev=1.0, stream=STREAM, normalize=True)
    assert drawn.first.shape == (CLASSES, SHOWN, 4, 4, 1)
    for label in range(CLASSES):
        z = latents(STREAM, label, 0, SHOWN, dim=3)[:, 0]
        value = np.clip(-1 + 2 * (label + 0.5) / CLASSES + z * fakes.SCALE, -1, 1)
        np.testing.assert_allclose(drawn.first[label, :, 0, 0, 0], (value + 1) * 127.5, atol=0.51)


def test_a_sheet_frames_what_is_kept_green_and_what_is_rejected_red(scorer):
    drawn = draw(scorer, num_classes=CLASSES, stddev=3.0, stream=STREAM, normalize=True)
    made = fill(
        scorer, quotas=[SHOWN] * CLASSES, stddev=3.0, threshold=0.5, cap=None, fallback="error", stream=STREAM
    )
    mask = kept(drawn.scored, 0.5)
    sheet = class_sheet(drawn, mask, made, 1, normalize=True)
    frames = sheet[28, 10::104]  # a row of pixels in the upper frames, one of each picture
    of_class = mask[PER_CLASS : PER_CLASS + SHOWN]
    assert 0 < of_class.sum() < SHOWN
    np.testing.assert_array_equal(frames[:, 1] > frames[:, 0], of_class)
    assert sheet.shape == (312, SHOWN * 104, 3)


# --- distances ---


def grey_extractor(name):
    """Features: mean and spread of a picture; probabilities: of two classes, by its mean."""

    def call(images):
        mean = images.mean(axis=(1, 2, 3))
        p = 1 / (1 + np.exp(-4 * mean))
        return np.stack([mean, images.std(axis=(1, 2, 3))], axis=1), np.stack([1 - p, p], axis=1)

    return Extractor(name, call)


def pictures(count, shift, seed):
    labels = np.arange(count) % 2
    noise = np.random.default_rng(seed).normal(0, 0.1, (count, 4, 4, 1))
    return ((labels - 0.5)[:, None, None, None] + noise + shift).astype(np.float32), labels


@pytest.fixture(scope="module")
def comparer():
    grey = grey_extractor("grey features")
    return Comparer(grey, grey, grey_extractor("random"), nearest=3, num_classes=2)


def test_every_number_is_named_after_its_network_and_grows_with_the_distance(comparer):
    real = comparer.look(*pictures(60, 0.0, 0))
    near, far = (comparer.compare(real, comparer.look(*pictures(60, s, 1))) for s in (0.0, 0.4))
    assert [name for name in near if name.startswith(("FID", "KID"))] == [
        "FID on grey features",
        "KID on grey features",
    ]
    assert near["FID on grey features"] < far["FID on grey features"]
    assert near["NetDistance of features on C_real"] < far["NetDistance of features on C_real"]
    assert near["coverage on grey features"] > far["coverage on grey features"]
    assert set(near) == set(far)


def test_sets_too_small_for_neighbours_or_without_a_class_have_no_such_number(comparer):
    real = comparer.look(*pictures(60, 0.0, 0))
    images, labels = pictures(3, 0.0, 1)
    found = comparer.compare(real, comparer.look(images[::2], labels[::2]))
    assert found["precision on grey features"] is None
    assert found["NetDistance of features on C_real"] is None
    assert found["FID on grey features"] > 0


@pytest.mark.parametrize(
    ("fakes_wanted", "real", "classes", "expected"),
    [(50_000, 10_000, 10, 1000), (500, 10_000, 10, 50), (50_000, 2005, 7, 286), (5, 100, 10, 1)],
)
def test_as_many_pictures_are_generated_as_there_are_real_ones(fakes_wanted, real, classes, expected):
    assert per_class_quota(fakes_wanted, real, classes) == expected


def test_cutting_keeps_pictures_with_their_labels_and_is_random_by_its_generator():
    images, labels = np.arange(50)[:, None], np.arange(50)
    a, b = cut_to(20, (images, labels), np.random.default_rng(1))
    assert len(a) == 20
    np.testing.assert_array_equal(a[:, 0], b)
    assert cut_to(20, (images, labels), np.random.default_rng(1))[1].tolist() == b.tolist()
    assert cut_to(50, (images, labels), np.random.default_rng(1))[1] is labels
