import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.sample_synthesis.synth import photometric
from experiments.sample_synthesis.synth.photometric import augment, blur, contrast, multiply, noise

GREY = np.full((64, 64, 3), 120, np.float32)


@given(seed=st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_augmented_pictures_keep_shape_and_type(seed):
    rng = np.random.default_rng(seed)
    picture = rng.integers(0, 256, (9, 13, 3)).astype(np.uint8)
    before = picture.copy()
    found = augment(rng, picture)
    assert (found.shape, found.dtype) == (picture.shape, np.uint8)
    assert np.array_equal(picture, before)


def test_contrast_keeps_mid_grey_and_scales_the_distance_to_it():
    factors = []
    for seed in range(300):
        x = contrast(np.random.default_rng(seed), np.array([[[127.0, 131.0, 123.0]]], np.float32))[0, 0]
        assert x[0] == pytest.approx(127, abs=1e-3)
        assert x[1] - 127 == pytest.approx(127 - x[2], abs=1e-3)
        factors.append((x[1] - 127) / 4)
    assert 0.75 <= min(factors) < 0.77
    assert 1.48 < max(factors) <= 1.5


def test_noise_is_centred_within_the_range_and_shared_by_channels_half_the_time():
    shared, spread = [], []
    for seed in range(400):
        x = noise(np.random.default_rng(seed), GREY.copy()) - 120
        shared.append(np.ptp(x, axis=2).max() < 1e-3)
        spread.append(x.std())
        assert abs(x.mean()) < 5 * 12.75 / 64
    assert np.mean(shared) == pytest.approx(0.5, abs=0.1)  # four standard errors
    assert max(spread) < 12.75 * 1.05
    assert np.mean(spread) == pytest.approx(12.75 / 2, rel=0.1)


def test_multiplication_is_by_one_number_or_seldom_by_one_per_channel():
    separate, factors = [], []
    for seed in range(600):
        x = multiply(np.random.default_rng(seed), GREY.copy())[0, 0] / 120
        separate.append(np.ptp(x) > 1e-6)
        factors.append(x[0])
    assert np.mean(separate) == pytest.approx(0.2, abs=0.065)  # four standard errors
    assert 0.8 <= min(factors) < 0.81
    assert 1.19 < max(factors) <= 1.2


def test_blur_happens_half_the_time_and_keeps_the_mean():
    picture = np.random.default_rng(0).uniform(0, 255, (32, 32, 3)).astype(np.float32)
    changed = []
    for seed in range(400):
        x = blur(np.random.default_rng(seed), picture.copy())
        changed.append(not np.array_equal(x, picture))
        assert x.mean() == pytest.approx(picture.mean(), abs=1)
        assert x.std() <= picture.std() + 1e-3
    # Below a sigma of about 0.17, a third of them, the neighbours' weights are too small for float32.
    assert np.mean(changed) == pytest.approx(0.5 * 2 / 3, abs=0.1)


def test_values_never_leave_the_range_between_operators():
    white = np.full((8, 8, 3), 255, np.float32)
    for seed in range(100):
        for operator in photometric.OPERATORS:
            x = operator(np.random.default_rng(seed), white.copy())
            assert x.min() >= -1e-3
            assert x.max() <= 255 + 1e-3
