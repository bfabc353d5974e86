"""The benchmark's procedure, written by itself, has to do what the stream does that it is compared with."""

import numpy as np
import pytest

from benchmarks import synthesis_reference as reference
from experiments.sample_synthesis.synth.layout import draw_layout
from tests.sample_synthesis.synth import fakes

pytest.importorskip("segno")


@pytest.mark.parametrize("name", ["qr", "car"])
def test_layouts_have_the_same_distribution(name):
    config = fakes.published(name)
    ours, theirs = (
        [draw(np.random.default_rng((seed, item)), config) for item in range(800)]
        for seed, draw in enumerate((draw_layout, reference.make_layout))
    )
    counts = [np.bincount([len(slots) for slots in drawn], minlength=7)[:7] / 800 for drawn in (ours, theirs)]
    assert counts[0] == pytest.approx(counts[1], abs=0.1)  # four standard errors of a difference of halves
    roots = [
        np.sqrt([(x2 - x1) * (y2 - y1) for slots in drawn for x1, y1, x2, y2 in slots])
        for drawn in (ours, theirs)
    ]
    assert np.percentile(roots[0], (10, 50, 90)) == pytest.approx(
        np.percentile(roots[1], (10, 50, 90)), rel=0.12
    )


def test_codes_cover_as_much_of_their_slots():
    stream = fakes.qr_stream(image_size=160, masks={"threshold": 0.0})
    samples = stream.batch(range(150))
    ours = np.concatenate(
        [(s.boxes[:, 2:] - s.boxes[:, :2]) / (s.slots[:, 2:] - s.slots[:, :2]) for s in samples]
    )
    shares = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        picture, mask = reference.geometric(rng, *reference.draw_qr(rng))
        assert picture.shape[:2] == mask.shape
        shares.append([(mask > 0).any(axis=axis).mean() for axis in (0, 1)])
    assert ours.mean() == pytest.approx(np.mean(shares), abs=0.05)


def test_boxes_of_a_sample_are_inside_it():
    rng = np.random.default_rng(0)
    background = np.full((320, 320, 3), 90, np.uint8)
    image, boxes = reference.make_sample(
        rng, fakes.published("qr"), reference.draw_qr, background, threshold=0.0
    )
    assert (background == 90).all()
    assert (image != 90).any()
    assert all(0 <= x1 < x2 < 320 and 0 <= y1 < y2 < 320 for x1, y1, x2, y2 in boxes)
