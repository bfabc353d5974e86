"""Standing statistics on a stub whose moving mean is that of its latents."""

import numpy as np
import pytest

from experiments.gafi.gan.standing import reset_statistics, standing_state
from experiments.gafi.nn.state import ModelState, state_of
from suite.errors import BadInput
from tests.gafi.gan.stubs import CLASSES, LATENT, StubGenerator

FACTS = {"num_classes": CLASSES, "latent_dim": LATENT}


def started():
    """A generator whose moving mean is 7 and whose u is 2."""
    model = StubGenerator()
    state = state_of(model)
    return model, ModelState(state.trainable, [state.other[0] + 7.0, state.other[1] + 2.0])


def test_statistics_begin_anew_and_vectors_u_do_not():
    found = reset_statistics(*started())
    assert np.asarray(found.other[0]).tolist() == [0.0, 0.0]
    assert float(found.other[1]) == 2.0


def test_as_many_passes_as_the_largest_batch_each_of_another_size():
    model, state = started()
    standing_state(model, state, size=40, seed=1, **FACTS)
    sizes = [len(z) for z, _ in model.seen]
    assert len(sizes) == 40
    assert 1 <= min(sizes) and max(sizes) <= 40
    assert len(set(sizes)) > 15
    labels = np.concatenate([labels for _, labels in model.seen])
    assert np.bincount(labels).min() > 0.25 * len(labels)


def test_the_new_statistics_are_those_of_the_passes_alone():
    model, state = started()
    found = standing_state(model, state, size=12, seed=1, **FACTS)
    mean = np.zeros(LATENT)
    for z, _ in model.seen:
        mean = 0.9 * mean + 0.1 * z.mean(axis=0)
    np.testing.assert_allclose(np.asarray(found.other[0]), mean, rtol=1e-5)
    assert float(found.other[1]) == 2.0 + 12


def test_latents_are_standard_normal():
    model, state = started()
    standing_state(model, state, size=100, seed=1, **FACTS)
    z = np.concatenate([z for z, _ in model.seen])
    assert abs(z.mean()) < 0.05
    assert abs(z.std() - 1) < 0.05


def test_neither_weights_nor_the_given_state_change():
    model, state = started()
    found = standing_state(model, state, size=3, seed=1, **FACTS)
    for one, other in zip(found.trainable, state.trainable, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))
    assert np.asarray(state.other[0]).tolist() == [7.0, 7.0]


def test_a_seed_decides_the_statistics():
    model, state = started()
    one, again, other = (standing_state(model, state, size=3, seed=s, **FACTS) for s in (1, 1, 2))
    assert np.asarray(one.other[0]).tobytes() == np.asarray(again.other[0]).tobytes()
    assert np.asarray(one.other[0]).tobytes() != np.asarray(other.other[0]).tobytes()


def test_no_passes_are_bad_input():
    with pytest.raises(BadInput, match="standing_stats_bs is 0"):
        standing_state(*started(), size=0, seed=1, **FACTS)
