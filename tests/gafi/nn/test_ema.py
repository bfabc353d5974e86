"""The average of a network against its formula."""

import numpy as np
import pytest
from keras import ops

from experiments.gafi.nn.ema import decay_at, update
from experiments.gafi.nn.state import ModelState

DECAY, START = 0.9, 3


def state(seed):
    rng = np.random.default_rng(seed)
    arrays = [ops.convert_to_tensor(rng.normal(size=s), "float32") for s in ((2, 3), (4,), (1, 4), ())]
    return ModelState(arrays[:2], arrays[2:])


def both(one):
    return [np.asarray(value) for value in (*one.trainable, *one.other)]


@pytest.mark.parametrize("step", [1, 2, START])
def test_up_to_the_start_the_average_is_the_network_itself_bit_by_bit(step):
    found = update(state(0), state(1), ops.convert_to_tensor(step), decay=DECAY, start=START)
    for one, other in zip(both(found), both(state(1)), strict=True):
        np.testing.assert_array_equal(one, other)


def test_after_the_start_every_variable_follows_statistics_and_vectors_too():
    found = update(state(0), state(1), ops.convert_to_tensor(START + 1), decay=DECAY, start=START)
    for one, old, new in zip(both(found), both(state(0)), both(state(1)), strict=True):
        np.testing.assert_allclose(one, DECAY * old + (1 - DECAY) * new, atol=1e-6)


def test_the_decay_is_zero_up_to_the_start_and_constant_from_then_on():
    found = [float(decay_at(ops.convert_to_tensor(s), decay=DECAY, start=START)) for s in range(1, 7)]
    assert found == [0, 0, 0] + 3 * [pytest.approx(DECAY)]


def test_an_average_of_a_network_that_stands_still_comes_to_it():
    average, target = state(0), state(1)
    for step in range(START + 1, START + 120):
        average = update(average, target, ops.convert_to_tensor(step), decay=DECAY, start=START)
    for one, other in zip(both(average), both(target), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
