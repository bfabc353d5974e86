import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.sample_synthesis.config_sections import SynthesisConfig
from experiments.sample_synthesis.synth.layout import draw_counted, draw_layout
from suite.errors import BadInput
from tests.sample_synthesis.synth.fakes import published

IMAGES = 3000
POINTS = 0.02 + 0.007  # two points, and two standard errors of 3,000 images at a share of 0.04 and of 0.2

# The published flags, simulated with slots drawn one by one: shares of images with 1, 2, 3, 4 objects; mean;
# layouts tried; 10th, 50th, 90th percentile of sqrt(area) in pixels of 320.
STATISTICS = {
    "qr": ((0.39, 0.37, 0.19, 0.04), 1.91, 31, (24, 73, 187)),
    "bird": ((0.98, 0.02, 0.0, 0.0), 1.02, 20, (171, 221, 265)),
    "car": ((0.90, 0.10, 0.0, 0.0), 1.10, 37, (171, 221, 271)),
}


def touching_pairs(slots: np.ndarray) -> int:
    found = 0
    for i, a in enumerate(slots):
        for b in slots[:i]:
            found += a[0] <= b[2] and b[0] <= a[2] and a[1] <= b[3] and b[1] <= a[3]
    return found


@pytest.mark.parametrize("name", STATISTICS)
def test_published_rule_gives_the_known_statistics(name):
    rng = np.random.default_rng(0)
    shares, mean, tries, percentiles = STATISTICS[name]
    drawn = [draw_counted(rng, published(name)) for _ in range(IMAGES)]
    counts = np.array([len(slots) for slots, _ in drawn])
    for number, share in enumerate(shares, 1):
        assert np.mean(counts == number) == pytest.approx(share, abs=POINTS)
    assert counts.mean() == pytest.approx(mean, abs=0.05)
    assert np.mean([tried for _, tried in drawn]) == pytest.approx(tries, rel=0.08)
    wh = np.concatenate([slots[:, 2:] - slots[:, :2] for slots, _ in drawn])
    found = np.percentile(np.sqrt(wh.prod(axis=1)), (10, 50, 90))
    assert found == pytest.approx(percentiles, rel=0.06)


@given(
    seed=st.integers(0, 2**32), layout=st.sampled_from(["rejection", "sequential"]), size=st.integers(40, 400)
)
@settings(max_examples=60, deadline=None)
def test_slots_are_inside_apart_and_as_many_as_allowed(seed, layout, size):
    config = SynthesisConfig(layout=layout, image_size=size, max_objects=6)
    slots = draw_layout(np.random.default_rng(seed), config)
    assert slots.dtype == np.int32
    assert 1 <= len(slots) <= 6
    assert (slots[:, :2] >= 0).all()
    assert (slots[:, 2:] <= size).all()
    assert (slots[:, 2:] > slots[:, :2]).all()
    assert touching_pairs(slots) == 0


def test_sequential_layout_keeps_the_drawn_number():
    rng = np.random.default_rng(1)
    config = SynthesisConfig(layout="sequential", min_objects=5, max_objects=5)
    assert all(len(draw_layout(rng, config)) == 5 for _ in range(50))


def test_sequential_numbers_are_uniform_where_rejection_favours_few():
    rng = np.random.default_rng(2)
    counts = [len(draw_layout(rng, SynthesisConfig(layout="sequential"))) for _ in range(1000)]
    shares = np.bincount(counts, minlength=11)[1:] / 1000
    assert shares == pytest.approx(np.full(10, 0.1), abs=0.04)  # four standard errors


def test_slots_reach_every_place_and_both_ends_of_the_size_range():
    rng = np.random.default_rng(3)
    config = SynthesisConfig(
        image_size=10, min_scale=0.3, max_scale=0.6, min_aspect_ratio=1, max_aspect_ratio=1, max_objects=1
    )
    slots = np.concatenate([draw_layout(rng, config) for _ in range(600)])
    sides = slots[:, 2] - slots[:, 0]
    assert set(sides) == {3, 4, 5}  # floor(0.3 * 10) .. floor(0.6 * 10) - 1
    for side in (3, 4, 5):
        assert set(slots[sides == side, 0]) == set(range(10 - side + 1))


def test_settings_without_room_are_refused():
    config = SynthesisConfig(min_scale=0.9, max_scale=1.0, min_objects=3, max_objects=3, max_tries=1)
    with pytest.raises(BadInput, match="no layout of 3..3 slots"):
        draw_layout(np.random.default_rng(0), config)
