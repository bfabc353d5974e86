"""Compiling, gradients and stateless random numbers."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from keras import ops

from experiments.gafi.nn import backend


def array(x):
    return ops.convert_to_numpy(x)


def test_draws_are_a_function_of_the_key_alone():
    one, two = backend.make_key(1, "a", 0), backend.make_key(1, "a", 1)
    for draw in (backend.uniform, backend.normal):
        np.testing.assert_array_equal(array(draw(one, (5, 3))), array(draw(one, (5, 3))))
        assert np.all(array(draw(one, (5, 3))) != array(draw(two, (5, 3))))


def test_compiled_draws_equal_those_outside():
    key = backend.make_key(1, "a", 0)

    def draws(k):
        return backend.uniform(k, (4,)), backend.normal(k, (4,)), backend.fold_in(k, 2)

    for a, b in zip(backend.jit(draws)(ops.convert_to_tensor(key)), draws(key), strict=True):
        np.testing.assert_allclose(array(a), array(b), rtol=1e-6)


def test_uniform_fills_its_range_and_normal_has_unit_spread():
    key = backend.make_key(3, "a", 0)
    u, n = array(backend.uniform(key, (20_000,), 2.0, 6.0)), array(backend.normal(key, (20_000,)))
    assert u.dtype == n.dtype == np.float32
    assert u.min() >= 2.0 and u.max() < 6.0
    # Five standard errors of 20 000 draws.
    assert u.mean() == pytest.approx(4.0, abs=5 * 4 / 12**0.5 / 20_000**0.5)
    assert n.mean() == pytest.approx(0.0, abs=5 / 20_000**0.5)
    assert n.std() == pytest.approx(1.0, abs=5 / 40_000**0.5)


def test_keys_differ_by_seed_stream_index_and_use():
    keys = [
        backend.make_key(1, "a", 0),
        backend.make_key(2, "a", 0),
        backend.make_key(1, "b", 0),
        backend.make_key(1, "a", 1),
        *(array(backend.fold_in(backend.make_key(1, "a", 0), number)) for number in range(20)),
    ]
    assert all(key.dtype == np.int32 and key.shape == (2,) for key in keys)
    assert len({key.tobytes() for key in keys}) == len(keys)


def test_gradients_match_the_closed_form_and_unused_parameters_get_zeros():
    def loss(params, factor):
        return ops.sum(ops.square(params[0])) * factor, {"seen": params[0] + 1.0}

    params = [ops.convert_to_tensor(np.float32([1.0, -2.0])), ops.convert_to_tensor(np.float32([5.0]))]
    for call in (backend.value_and_grad(loss), backend.jit(backend.value_and_grad(loss))):
        (value, aux), grads = call(params, ops.convert_to_tensor(np.float32(3.0)))
        assert float(value) == 15.0
        np.testing.assert_array_equal(array(aux["seen"]), [2.0, -1.0])
        np.testing.assert_array_equal(array(grads[0]), [6.0, -12.0])
        np.testing.assert_array_equal(array(grads[1]), [0.0])


@pytest.mark.parametrize("xla", [False, True])
def test_a_compiled_function_is_traced_once_for_a_shape_and_knows_of_xla(xla):
    seen = []

    def double(x):
        seen.append(backend.compiling_with_xla())
        return 2.0 * x

    compiled = backend.jit(double, xla=xla)
    for value in (1.0, 2.0):
        x = ops.convert_to_tensor(np.float32([value]))
        np.testing.assert_array_equal(array(compiled(x)), [2.0 * value])
    assert seen == [xla or backend.NAME == "jax"]
    assert backend.compiling_with_xla() is (backend.NAME == "jax")


def test_to_numpy_keeps_the_nesting():
    tree = backend.to_numpy({"a": [ops.ones((2,)), (ops.zeros(()),)]})
    assert isinstance(tree["a"][1], tuple)
    np.testing.assert_array_equal(tree["a"][0], np.ones(2, np.float32))
    assert all(isinstance(x, np.ndarray) for x in (tree["a"][0], tree["a"][1][0]))


@pytest.mark.slow
def test_a_promised_gpu_that_is_not_there_is_missing():
    code = "from experiments.gafi.nn import backend; backend.setup(threads=1, device='cuda')"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        f"suite.errors.Missing: {backend.NAME} sees no GPU; run with DEVICE=cpu, or see docs/gpu.md"
    )
