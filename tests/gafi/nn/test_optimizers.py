"""The update rules against closed forms on scalars, and against Keras where Keras follows the same rule."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.gafi.nn.optimizers import AdaBelief, Adam, Sgd, build_optimizer
from suite.errors import BadInput

RATES = (0.1, 0.01, 0.001)
WEIGHTS = np.array([1.0, -2.0, 0.5], np.float32)


def steps(rule, grads, *, lr, start=WEIGHTS):
    """The weights after each gradient."""
    params, slots, seen = [start], rule.init([start]), []
    for grad in grads:
        params, slots = rule.update(params, [np.asarray(grad, np.float32)], slots, lr=lr)
        seen.append(keras.ops.convert_to_numpy(params[0]))
    return seen


@pytest.mark.parametrize("lr", RATES)
def test_without_a_gradient_sgdw_shrinks_every_weight_by_the_decay_whatever_the_rate(lr):
    (after,) = steps(Sgd(weight_decay=1e-4), [np.zeros(3)], lr=lr)
    np.testing.assert_allclose(after, WEIGHTS * 0.9999, rtol=1e-7)


@given(st.floats(-3, 3), st.lists(st.floats(-2, 2), min_size=1, max_size=4), st.sampled_from(RATES))
@settings(deadline=None)
def test_sgdw_is_the_published_nesterov_step_on_a_scalar(w, grads, lr):
    found = steps(Sgd(weight_decay=1e-4), [[g] for g in grads], lr=lr, start=np.array([w], np.float32))
    v = 0.0
    for g, after in zip(grads, found, strict=True):
        w = w - 1e-4 * w
        v = 0.9 * v - lr * g
        w = w + 0.9 * v - lr * g
        assert after[0] == pytest.approx(w, abs=2e-6)


@pytest.mark.parametrize("nesterov", [True, False])
def test_sgd_is_that_of_keras(nesterov):
    grads = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    rule = Sgd(momentum=0.8, nesterov=nesterov)
    reference = keras.optimizers.SGD(0.05, momentum=0.8, nesterov=nesterov)
    assert_like_keras(rule, reference, grads, lr=0.05)


def test_adam_is_that_of_keras_with_its_epsilon_outside_the_root():
    grads = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32) * 1e-4
    rule = Adam(beta1=0.5, beta2=0.99, eps=1e-3)  # large against the gradients, so that its place shows
    reference = keras.optimizers.Adam(0.02, beta_1=0.5, beta_2=0.99, epsilon=1e-3)
    assert_like_keras(rule, reference, grads, lr=0.02)


def assert_like_keras(rule, reference, grads, *, lr):
    variable = keras.Variable(WEIGHTS)
    for grad, after in zip(grads, steps(rule, grads, lr=lr), strict=True):
        reference.apply([keras.ops.convert_to_tensor(grad)], [variable])
        np.testing.assert_allclose(after, keras.ops.convert_to_numpy(variable.value), rtol=1e-5, atol=1e-7)


def test_adam_first_moves_by_the_rate_whatever_the_size_of_the_gradient():
    for size in (1e-2, 1.0, 100.0):
        (after,) = steps(Adam(eps=1e-12), [np.full(3, size)], lr=0.25)
        np.testing.assert_allclose(after, WEIGHTS - 0.25, rtol=1e-4)


def test_adabelief_measures_the_gradient_against_its_own_mean():
    grads, lr, b1, b2, eps = [0.5, -0.25, 0.75], 0.1, 0.9, 0.999, 1e-8
    w, m, s = 1.0, 0.0, 0.0
    found = steps(AdaBelief(), [[g] for g in grads], lr=lr, start=np.ones(1, np.float32))
    for t, (g, after) in enumerate(zip(grads, found, strict=True), start=1):
        m = b1 * m + (1 - b1) * g
        s = b2 * s + (1 - b2) * (g - m) ** 2 + eps
        w -= lr * (m / (1 - b1**t)) / (np.sqrt(s / (1 - b2**t)) + eps)
        assert after[0] == pytest.approx(w, rel=1e-4)


def test_an_update_changes_nothing_in_place():
    weights, grad = WEIGHTS.copy(), np.ones(3, np.float32)
    for rule in (Sgd(weight_decay=1e-4), Adam(), AdaBelief()):
        slots = rule.init([weights])
        before = [np.array(keras.ops.convert_to_numpy(slot)) for slot in slots]
        rule.update([weights], [grad], slots, lr=0.1)
        np.testing.assert_array_equal(weights, WEIGHTS)
        for slot, old in zip(slots, before, strict=True):
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(slot), old)


def test_optimisers_come_by_their_published_names():
    def build(name):
        return build_optimizer(name, momentum=0.9, nesterov=True, weight_decay=1e-4)

    assert build("sgdw") == Sgd(momentum=0.9, nesterov=True, weight_decay=1e-4)
    assert build("sgd") == Sgd(momentum=0.9, nesterov=True, weight_decay=0.0)
    assert isinstance(build("adam"), Adam) and isinstance(build("adabelief"), AdaBelief)
    with pytest.raises(BadInput, match="unknown `lion`; choose sgdw, sgd, adam, adabelief"):
        build("lion")
