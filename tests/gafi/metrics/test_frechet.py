import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.gafi.metrics.frechet import Gaussian, fid, fit_gaussian, frechet_distance, symmetric_root


def gaussian(seed, dim=4):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(dim, dim))
    return Gaussian(rng.normal(size=dim), root @ root.T)


def test_in_one_dimension_it_is_the_difference_of_means_and_of_deviations():
    """Closed form: d^2 = (m - m')^2 + (s - s')^2."""
    a = Gaussian(np.array([1.0]), np.array([[4.0]]))
    b = Gaussian(np.array([4.0]), np.array([[25.0]]))
    assert frechet_distance(a, b) == pytest.approx(9 + 9)


def test_for_covariances_that_commute_it_is_the_distance_of_their_roots():
    """Closed form: |m - m'|^2 + |S^1/2 - S'^1/2|_F^2; both are diagonal in one rotated basis."""
    basis, _ = np.linalg.qr(np.random.default_rng(3).normal(size=(5, 5)))
    one, other = np.array([1.0, 4, 9, 16, 0]), np.array([4.0, 4, 1, 0, 25])
    a = Gaussian(np.zeros(5), basis @ np.diag(one) @ basis.T)
    b = Gaussian(np.full(5, 2.0), basis @ np.diag(other) @ basis.T)
    expected = 20 + np.sum((np.sqrt(one) - np.sqrt(other)) ** 2)
    assert frechet_distance(a, b) == pytest.approx(expected)


@given(st.integers(0, 10_000))
def test_it_is_symmetric_zero_on_itself_and_moves_with_the_means_alone(seed):
    a, b = gaussian(seed), gaussian(seed + 1)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-6)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    moved = Gaussian(a.mean + 3.0, a.covariance)
    assert frechet_distance(a, moved) == pytest.approx(9 * 4, rel=1e-6)


def test_covariances_are_unbiased():
    """Two points at distance 2: variance 2 with n - 1, not 1."""
    assert fit_gaussian(np.array([[-1.0], [1.0]])).covariance.tolist() == [[2.0]]
    rows = np.random.default_rng(0).normal(size=(30, 3))
    np.testing.assert_allclose(fit_gaussian(rows).covariance, np.cov(rows.T), atol=1e-12)


def test_fewer_pictures_than_features_still_give_a_number():
    rows = np.random.default_rng(1).normal(size=(6, 12))
    assert fid(rows, rows) == pytest.approx(0, abs=1e-6)
    assert fid(rows, rows + 1) == pytest.approx(12, rel=1e-6)


def test_the_root_squares_to_the_matrix():
    matrix = gaussian(7).covariance
    root = symmetric_root(matrix)
    np.testing.assert_allclose(root @ root, matrix, atol=1e-10)


def test_large_samples_of_two_gaussians_have_nearly_the_distance_of_the_gaussians():
    """Tolerance: four times the spread seen over ten other seeds."""
    rng = np.random.default_rng(5)
    real = rng.normal(size=(20_000, 2)) * (1.0, 2.0)
    fake = rng.normal(size=(20_000, 2)) * (2.0, 2.0) + (0.0, 3.0)
    assert fid(real, fake) == pytest.approx(9 + 1, abs=0.4)


def test_one_row_has_no_covariance():
    with pytest.raises(ValueError, match="at least two rows"):
        fit_gaussian(np.zeros((1, 3)))
