"""Order of items: the published buffer, permutations, true mixing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.sample_synthesis.train.order import item_order, mixed_order, shuffled_by_buffer

orders = st.sampled_from(["buffer", "permutation"])


@given(n=st.integers(1, 300), count=st.integers(0, 700), more=st.integers(0, 300), order=orders)
def test_a_longer_training_begins_with_the_order_of_a_shorter_one(n, count, more, order):
    short = item_order(n, count, seed=3, name="cell", order=order)
    long = item_order(n, count + more, seed=3, name="cell", order=order)
    assert short.shape == (count,)
    assert np.array_equal(long[:count], short)


@given(n=st.integers(2, 300), order=orders)
def test_seed_and_cell_decide_the_order(n, order):
    of = {(s, c): item_order(n, 200, seed=s, name=c, order=order).tobytes() for s in (0, 1) for c in "ab"}
    assert len(set(of.values())) == 4


@given(n=st.integers(1, 400), passes=st.integers(1, 3))
def test_a_permutation_sees_every_item_once_per_pass(n, passes):
    drawn = item_order(n, passes * n, seed=1, name="cell", order="permutation")
    for one in drawn.reshape(passes, n):
        assert np.array_equal(np.sort(one), np.arange(n))


def test_published_training_touches_only_the_first_sixteen_thousand_images():
    drawn = item_order(200_000, 16_000, seed=1, name="cell", order="buffer")
    assert drawn.max() < 16_100
    assert len(set(drawn.tolist())) == 16_000  # no image twice


@given(n=st.integers(101, 500), seed=st.integers(0, 50))
def test_the_buffer_gives_no_item_more_than_a_hundred_draws_early(n, seed):
    drawn = shuffled_by_buffer(n, n, np.random.default_rng(seed))
    first_pass = np.maximum.accumulate(np.arange(n) + 99)
    # The t-th draw is one of the first t + 100 of the repeated list.
    assert ((drawn <= first_pass) | (first_pass >= n)).all()


@given(n=st.integers(1, 99), seed=st.integers(0, 50))
def test_the_buffer_repeats_small_sets_evenly(n, seed):
    # After t draws t + 100 items of the repeated list have entered and 100 are left over.
    count = 50 * n
    counts = np.bincount(shuffled_by_buffer(n, count, np.random.default_rng(seed)), minlength=n)
    entered = np.bincount(np.arange(count + 100) % n, minlength=n)
    assert (counts <= entered).all() and (counts >= entered - 100).all()


def test_an_empty_set_is_refused():
    with pytest.raises(ValueError, match="empty"):
        item_order(0, 5, seed=0, name="cell")


@pytest.mark.parametrize("factor", [1, 2, 4, 8])
@pytest.mark.parametrize("order", ["buffer", "permutation"])
def test_mixed_draws_real_items_with_probability_one_over_one_plus_k(factor, order):
    count, num_real = 16_000, 50
    drawn = mixed_order(num_real, factor * num_real, count, factor=factor, seed=5, name="cell", order=order)
    share = (drawn < num_real).mean()
    probability = 1 / (1 + factor)
    sigma = np.sqrt(probability * (1 - probability) / count)
    assert abs(share - probability) < 3 * sigma
    assert drawn.max() == num_real * (1 + factor) - 1


def test_mixed_goes_on_in_each_source_where_it_was():
    drawn = mixed_order(7, 13, 400, factor=2, seed=5, name="cell", order="permutation")
    real, synthetic = drawn[drawn < 7], drawn[drawn >= 7] - 7
    assert np.array_equal(np.sort(real[:7]), np.arange(7))
    assert np.array_equal(np.sort(synthetic[:13]), np.arange(13))


def test_compat_mixing_never_reaches_a_synthetic_item():
    drawn = mixed_order(50, 400, 16_000, factor=8, seed=5, name="cell", real_only=True)
    assert drawn.max() < 50
