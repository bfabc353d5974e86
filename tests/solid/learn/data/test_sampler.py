import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.solid.learn.data.sampler import ChunkCacheSampler, EpochSampler
from suite.errors import BadInput


def ranks_of(make, world_size):
    return [make(rank=rank, world_size=world_size) for rank in range(world_size)]


def walk(sampler, steps):
    return np.concatenate([sampler.batch(step) for step in steps]).tolist()


# --- one pass per epoch


@given(
    num_items=st.integers(1, 40),
    per_rank=st.integers(1, 4),
    world_size=st.integers(1, 3),
    seed=st.integers(0, 9),
)
def test_every_item_comes_once_per_epoch_over_all_ranks(num_items, per_rank, world_size, seed):
    batch_size = per_rank * world_size
    if batch_size > num_items:
        return
    samplers = ranks_of(lambda **k: EpochSampler(num_items, batch_size, seed=seed, **k), world_size)
    steps = range(-(-3 * num_items // batch_size))
    drawn = [item for step in steps for sampler in samplers for item in sampler.batch(step)]
    for epoch in range(3):
        assert sorted(drawn[epoch * num_items : (epoch + 1) * num_items]) == list(range(num_items))


@given(start=st.integers(0, 60), seed=st.integers(0, 5))
def test_a_batch_does_not_depend_on_where_the_run_was_started(start, seed):
    first = EpochSampler(7, 3, seed=seed)
    before = walk(first, range(start + 5))
    assert walk(EpochSampler(7, 3, seed=seed), range(start, start + 5)) == before[3 * start :]


def test_epochs_and_seeds_have_different_orders():
    sampler = EpochSampler(50, 10, seed=1)
    epochs = [walk(sampler, range(5 * e, 5 * e + 5)) for e in range(3)]
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    assert walk(EpochSampler(50, 10, seed=2), range(5)) != epochs[0]


def test_ids_are_drawn_where_ids_are_given():
    assert sorted(walk(EpochSampler([5, 9, 30, 31], 2, seed=0), range(2))) == [5, 9, 30, 31]


# --- the published order


def chunked(rows=range(22), batch_size=4, **options):
    return ChunkCacheSampler(rows, batch_size, **{"shard_size": 4, "cache_size": 7, "seed": 3, **options})


def first_cache(stream):
    """Length of the shortest beginning that is made of whole shards and is followed by the same rows."""
    for size in range(1, len(stream) // 2 + 1):
        rows, again = stream[:size], stream[size : 2 * size]
        shards = {row // 4 for row in rows}
        if sorted(rows) == sorted(again) == [row for row in range(22) if row // 4 in shards]:
            return size
    raise AssertionError("no cache is walked twice")


def test_whole_shards_fill_a_cache_that_is_walked_twice_in_different_orders():
    stream = walk(chunked(), range(11))  # 22 rows: five shards of 4 and one of 2, each row twice
    sizes = []
    while stream:
        size = first_cache(stream)
        assert stream[:size] != stream[size : 2 * size]
        sizes.append(size)
        stream = stream[2 * size :]
    assert sum(sizes) == 22
    # Two shards of 4 reach 7; with the short one among them it takes three. The last takes what is left.
    assert set(sizes[:-1]) <= {8, 10}


@given(
    num_rows=st.integers(1, 30),
    cache_size=st.integers(1, 40),
    shard_size=st.integers(1, 8),
    batch_size=st.integers(1, 5),
)
def test_one_round_of_shards_gives_every_row_twice(num_rows, cache_size, shard_size, batch_size):
    if batch_size > num_rows:
        return
    sampler = chunked(range(num_rows), batch_size, shard_size=shard_size, cache_size=cache_size)
    stream = walk(sampler, range(-(-4 * num_rows // batch_size)))
    for round_ in range(2):
        part = stream[2 * num_rows * round_ : 2 * num_rows * (round_ + 1)]
        assert sorted(part) == sorted(2 * list(range(num_rows)))


@given(start=st.integers(0, 40))
def test_the_published_order_can_be_started_at_any_step(start):
    assert walk(chunked(), range(start, start + 4)) == walk(chunked(), range(start + 4))[4 * start :]


def test_every_rank_shuffles_the_whole_set_on_its_own():
    streams = [walk(s, range(22)) for s in ranks_of(lambda **k: chunked(**k), 2)]
    assert all(sorted(stream) == sorted(2 * list(range(22))) for stream in streams)
    assert streams[0] != streams[1]


def test_rows_that_are_not_in_the_set_are_not_drawn():
    assert set(walk(chunked([0, 1, 9, 21, 22]), range(5))) == {0, 1, 9, 21, 22}


# --- bad input


@pytest.mark.parametrize("make", [EpochSampler, lambda n, b, **k: chunked(range(n), b, **k)])
def test_a_batch_that_cannot_be_filled_or_divided_is_refused(make):
    with pytest.raises(BadInput, match="3 pictures to train on, a batch takes 4"):
        make(3, 4, seed=0)
    with pytest.raises(BadInput, match="a batch of 4 does not divide among 3 processes"):
        make(9, 4, seed=0, rank=0, world_size=3)
