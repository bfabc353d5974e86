import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.gafi.metrics.kid import kid


def literally(real, fake):
    """The definition as three double sums."""

    def k(x, y):
        return (float(x @ y) / len(x) + 1) ** 3

    n, m = len(real), len(fake)
    rr = sum(k(real[i], real[j]) for i in range(n) for j in range(n) if i != j) / (n * (n - 1))
    ff = sum(k(fake[i], fake[j]) for i in range(m) for j in range(m) if i != j) / (m * (m - 1))
    return rr + ff - 2 * np.mean([[k(x, y) for y in fake] for x in real])


@given(st.integers(2, 9), st.integers(2, 9), st.integers(1, 4), st.integers(0, 10_000))
def test_it_is_the_definition_also_when_the_sizes_differ(n, m, chunk, seed):
    rng = np.random.default_rng(seed)
    real, fake = rng.normal(size=(n, 3)), rng.normal(size=(m, 3)) + 1
    assert kid(real, fake, chunk=chunk) == pytest.approx(literally(real, fake), rel=1e-9, abs=1e-9)


def test_four_points_on_a_line_give_the_number_computed_by_hand():
    """d = 1: k(0, 0) = 1, k(1, 1) = 8, k(1, -1) = 0. real {0, 0}: 1; fake {1, -1}: 0; cross: 1."""
    assert kid(np.zeros((2, 1)), np.array([[1.0], [-1.0]])) == pytest.approx(1 + 0 - 2)


def test_it_is_unbiased_two_samples_of_one_distribution_average_to_zero():
    rng = np.random.default_rng(0)
    values = [kid(rng.normal(size=(20, 4)), rng.normal(size=(10, 4))) for _ in range(400)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(len(values))
    assert min(values) < 0 < max(values)


def test_for_a_shift_of_the_mean_it_has_its_closed_form_in_expectation():
    """d = 1, x ~ N(0, 1), y ~ N(1, 1): E k(x, x') = 4, E k(y, y') = 29, E k(x, y) = 10, so KID = 4 + 29 - 20.

    (1 + a b)^3 has mean 1 + 3 E[a] E[b] + 3 E[a^2] E[b^2] + E[a^3] E[b^3]; moments of N(1, 1): 1, 2, 4.
    """
    expected = (1 + 3) + (1 + 3 + 12 + 16) - 2 * (1 + 6)
    rng = np.random.default_rng(1)
    values = [kid(rng.normal(size=(200, 1)), rng.normal(size=(100, 1)) + 1) for _ in range(200)]
    assert np.mean(values) == pytest.approx(expected, abs=4 * np.std(values) / np.sqrt(len(values)))


def test_one_row_is_refused():
    with pytest.raises(ValueError, match="at least two each"):
        kid(np.zeros((1, 2)), np.zeros((5, 2)))
