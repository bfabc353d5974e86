import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from experiments.solid.learn.pretrain.ema import follow_, pair


def network():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


@settings(deadline=None, max_examples=30)
@given(st.floats(0.0, 1.0), st.integers(0, 6))
def test_n_steps_towards_a_resting_network_leave_the_nth_power_of_the_distance(momentum, steps):
    generator = torch.Generator().manual_seed(0)
    start, goal = (torch.randn(50, generator=generator) for _ in range(2))
    key = start.clone()
    pairs = pair({"w": key}, {"w": goal})
    for _ in range(steps):
        follow_(pairs, momentum)
    expected = goal.double() + momentum**steps * (start.double() - goal.double())
    torch.testing.assert_close(key.double(), expected, rtol=0, atol=2e-6)


@given(st.floats(0.0, 1.0))
def test_equal_tensors_stay_equal_bit_by_bit(momentum):
    value = torch.randn(100, generator=torch.Generator().manual_seed(1))
    key = value.clone()
    follow_(pair({"w": key}, {"w": value}), momentum)
    assert torch.equal(key, value)


def test_batch_norm_statistics_move_and_counters_are_copied():
    query, key = network(), network()
    query(torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(2)))
    before = {name: value.clone() for name, value in key.state_dict().items()}
    follow_(pair(key.state_dict(), query.state_dict()), 0.9)
    for name, value in key.state_dict().items():
        if value.is_floating_point():
            expected = 0.9 * before[name] + 0.1 * query.state_dict()[name]
            torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-7)
            moved = not torch.equal(query.state_dict()[name], before[name])
            assert torch.equal(value, before[name]) is not moved, name
    assert key[1].num_batches_tracked == query[1].num_batches_tracked == 1


def test_the_query_network_is_not_touched():
    query, key = network(), network()
    before = {name: value.clone() for name, value in query.state_dict().items()}
    follow_(pair(key.state_dict(), query.state_dict()), 0.5)
    assert all(torch.equal(value, before[name]) for name, value in query.state_dict().items())


def test_states_that_do_not_fit_are_refused():
    with pytest.raises(KeyError):
        pair({"w": torch.zeros(2)}, {"v": torch.zeros(2)})
    with pytest.raises(ValueError, match="w: .* follows"):
        pair({"w": torch.zeros(2)}, {"w": torch.zeros(3)})
