import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.gafi.metrics.prdc import cover, neighbour_distances, squared_distances


def test_a_set_covers_itself():
    rows = np.random.default_rng(0).normal(size=(50, 3))
    found = cover(rows, rows, nearest=5)
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    # Each row lies in its own ball and on average in those of 5 others: (1 + 5) / 5.
    assert found.density == pytest.approx(1.2)


def test_sets_far_apart_cover_nothing():
    rows = np.random.default_rng(0).normal(size=(30, 3))
    found = cover(rows, rows + 1000, nearest=3)
    assert (found.precision, found.recall, found.density, found.coverage) == (0, 0, 0, 0)


def test_points_on_a_line_give_the_numbers_counted_by_hand():
    """Reals 0, 1, 2, 10 with k = 1: radii 1, 1, 1, 8. Fakes 1.5, 3, 40: radii 1.5, 1.5, 37.

    Balls of reals around fakes: 1.5 in those of 1 and 2 (10: at 8.5); 3 in those of 2 (border) and 10; 40 in
    none. Fakes hold reals: [0, 3] holds 0, 1, 2; [3, 77] and beyond holds 10.
    """
    real, fake = np.array([[0.0], [1], [2], [10]]), np.array([[1.5], [3], [40]])
    assert neighbour_distances(real, 1).tolist() == [1, 1, 1, 64]
    assert neighbour_distances(fake, 1).tolist() == [2.25, 2.25, 37.0**2]
    found = cover(real, fake, nearest=1)
    assert found.precision == pytest.approx(2 / 3)
    assert found.recall == 1
    assert found.density == pytest.approx(4 / 3)
    assert found.coverage == pytest.approx(3 / 4)


def test_a_collapsed_generator_is_precise_but_covers_little():
    rng = np.random.default_rng(4)
    real = rng.normal(size=(200, 2))
    found = cover(real, real[:1] + 1e-3 * rng.normal(size=(200, 2)), nearest=5)
    assert found.precision > 0.9
    assert max(found.recall, found.coverage) < 0.2


@given(st.integers(4, 30), st.integers(4, 30), st.integers(1, 3), st.integers(1, 7), st.integers(0, 10_000))
def test_the_chunk_does_not_change_the_result(n, m, nearest, chunk, seed):
    rng = np.random.default_rng(seed)
    real, fake = rng.normal(size=(n, 3)), rng.normal(size=(m, 3))
    assert cover(real, fake, nearest=nearest, chunk=chunk) == cover(real, fake, nearest=nearest)


def test_distances_are_those_of_the_definition():
    rng = np.random.default_rng(6)
    x, y = rng.normal(size=(5, 4)), rng.normal(size=(3, 4))
    expected = [[np.sum((a - b) ** 2) for b in y] for a in x]
    np.testing.assert_allclose(squared_distances(x, y), expected, atol=1e-12)
    assert squared_distances(x, x).min() >= 0


def test_a_set_with_too_few_neighbours_is_refused():
    with pytest.raises(ValueError, match="no 5-th neighbour"):
        cover(np.zeros((5, 2)), np.zeros((9, 2)), nearest=5)
