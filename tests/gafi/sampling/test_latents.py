import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.gafi.sampling.latents import StreamKey, latents, scaled_latents, spread
from suite.errors import BadInput

KEY = StreamKey(seed=7, gan=1, recycle=2)


@settings(deadline=None)
@given(start=st.integers(0, 300), length=st.integers(0, 200), middle=st.integers(0, 200))
def test_a_sequence_read_in_two_parts_is_the_sequence_read_at_once(start, length, middle):
    stop, middle = start + length, start + min(middle, length)
    whole = latents(KEY, 3, start, stop, dim=5)
    parts = [latents(KEY, 3, start, middle, dim=5), latents(KEY, 3, middle, stop, dim=5)]
    assert whole.shape == (length, 5) and whole.dtype == np.float32
    np.testing.assert_array_equal(whole, np.concatenate(parts))


def test_every_part_of_the_key_gives_another_sequence():
    keys = [(KEY, 0), (KEY, 1), (KEY.at(3), 0), (StreamKey(8, 1, 2), 0), (StreamKey(7, 2, 2), 0)]
    first = {latents(key, label, 0, 1, dim=4).tobytes() for key, label in keys}
    assert len(first) == len(keys)
    assert len(np.unique(latents(KEY, 0, 0, 1000, dim=1))) == 1000


def test_stddev_one_is_the_latents_themselves_bit_by_bit():
    plain, scaled = latents(KEY, 0, 5, 500, dim=8), scaled_latents(KEY, 0, 5, 500, dim=8, stddev=1.0)
    np.testing.assert_array_equal(plain, scaled)


def test_latents_have_the_asked_standard_deviation():
    for stddev in (1.0, 1.35, 2.0):
        z = scaled_latents(KEY, 0, 0, 5000, dim=16, stddev=stddev)  # 80000 numbers: 0.25 % by chance
        assert z.std() == pytest.approx(stddev, rel=0.01)
        assert abs(z.mean()) < 0.02 * stddev


def test_a_pair_gives_each_sample_its_own_stddev_in_the_range():
    own = spread(KEY, 0, 0, 2000, stddev=(1.2, 1.8))
    assert own.min() >= 1.2 and own.max() < 1.8 + 1e-6
    assert own.mean() == pytest.approx(1.5, abs=0.02) and len(np.unique(own)) > 1900
    z = scaled_latents(KEY, 0, 0, 2000, dim=512, stddev=(1.2, 1.8))
    np.testing.assert_allclose(z.std(axis=1), own, rtol=0.2)
    np.testing.assert_array_equal(spread(KEY, 0, 700, 710, stddev=(1.2, 1.8)), own[700:710])


@pytest.mark.parametrize("stddev", [0.0, -1.0, float("nan"), (2.0, 1.0), (0.0, 1.0)])
def test_an_impossible_stddev_is_refused(stddev):
    with pytest.raises(BadInput, match="standard deviation"):
        scaled_latents(KEY, 0, 0, 1, dim=1, stddev=stddev)
