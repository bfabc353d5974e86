"""The order of pictures: every one once per epoch, from any batch on, sources in the ratio of their sizes."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.imaginarynet.detectors.data.sampler import EpochSampler


def sampler(items, batch, seed=0):
    return EpochSampler(items, batch, seed=seed, stream="test")


@given(items=st.integers(1, 30), batch=st.integers(1, 40), epochs=st.integers(1, 3))
def test_every_item_comes_once_per_epoch(items, batch, epochs):
    ours = sampler(items, batch)
    row = np.concatenate([ours.batch(number) for number in range(math.ceil(epochs * items / batch))])
    for epoch in range(epochs):
        assert sorted(row[epoch * items : (epoch + 1) * items]) == list(range(items))


@given(items=st.integers(1, 30), batch=st.integers(1, 8), number=st.integers(0, 200))
def test_a_batch_depends_on_its_number_alone(items, batch, number):
    used = sampler(items, batch)
    for earlier in (0, number // 2, number + 3):
        used.batch(earlier)
    np.testing.assert_array_equal(used.batch(number), sampler(items, batch).batch(number))


def test_epochs_and_seeds_have_orders_of_their_own():
    first, second = sampler(50, 50).batch(0), sampler(50, 50).batch(1)
    assert (first != second).any()
    assert (first != sampler(50, 50, seed=1).batch(0)).any()


def test_concatenated_sources_are_seen_in_the_ratio_of_their_sizes():
    """1000 batches of 4 from 203 imaginary and 400 real pictures, within three standard deviations."""
    ours, share, draws = sampler(603, 4), 203 / 603, 4000
    seen = sum(int((ours.batch(number) >= 400).sum()) for number in range(draws // 4))
    assert abs(seen - share * draws) <= 3 * math.sqrt(draws * share * (1 - share))


@pytest.mark.parametrize(("items", "batch"), [(0, 1), (1, 0)])
def test_no_items_or_empty_batches_are_refused(items, batch):
    with pytest.raises(ValueError, match="need 1 and 1"):
        sampler(items, batch)
