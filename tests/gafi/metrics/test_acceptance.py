import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from experiments.gafi.metrics.acceptance import ScoredSet, acceptance, confidence_histogram, kept

THRESHOLDS = (0.0, 0.3, 0.5, 0.9)
scored_sets = st.integers(0, 10_000).map(lambda seed: draw(np.random.default_rng(seed)))


def draw(rng, n=60, num_classes=4):
    return ScoredSet(rng.integers(num_classes, size=n), rng.random(n) < 0.5, rng.uniform(size=n))


def test_the_shares_are_the_ones_counted_by_hand():
    scored = ScoredSet(
        np.array([0, 0, 0, 1, 1]),
        np.array([True, True, False, True, True]),
        np.array([0.9, 0.4, 0.4, 0.5, 0.6]),
    )
    shares = acceptance(scored, (0.0, 0.5), num_classes=3)
    np.testing.assert_allclose(shares, [[2 / 3, 1, np.nan], [1 / 3, 0.5, np.nan]])


def test_the_threshold_itself_is_not_above_the_threshold():
    scored = ScoredSet(np.array([0]), np.array([True]), np.array([0.5]))
    assert not kept(scored, 0.5)[0]
    assert kept(scored, np.nextafter(0.5, 0))[0]


@given(scored_sets)
def test_higher_thresholds_keep_subsets(scored):
    sets = [kept(scored, t) for t in THRESHOLDS]
    assert all((not_more <= more).all() for more, not_more in zip(sets, sets[1:], strict=False))
    shares = acceptance(scored, THRESHOLDS, num_classes=4)
    assert (np.diff(np.nan_to_num(shares), axis=0) <= 0).all()


@given(scored_sets)
def test_the_histograms_hold_every_picture_once(scored):
    found = confidence_histogram(scored)
    assert sum(found["agrees"]) == scored.agrees.sum()
    assert sum(found["disagrees"]) == (~scored.agrees).sum()
    assert (found["edges"][0], found["edges"][-1], len(found["edges"])) == (0, 1, len(found["agrees"]) + 1)
