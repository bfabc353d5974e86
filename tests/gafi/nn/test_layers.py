"""Spectral norm, conditional batch norm and attention against plain numpy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from experiments.gafi.nn import backend
from experiments.gafi.nn.layers import (
    ConditionalBatchNorm,
    Init,
    Projections,
    SelfAttention,
    SNConv,
    SNDense,
    SNEmbedding,
    SNImageConv,
    SNUpConv,
    SpectralNorm,
    average_pool,
    blur_pool,
    max_pool,
    power_iteration,
    spectral_layers,
    upsample,
)

ROUNDING = 1e-5  # of float32 sums over at most some hundred terms of size one
INIT = Init(3)
COMMON = {"init": INIT, "dtype": "float32"}


def built(layer):
    layer.build()
    return layer


def array(x):
    return ops.convert_to_numpy(x)


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def normalised(layer, training=False):
    return SpectralNorm([layer])(training=training)


def every_kind():
    return [
        SNConv(name="conv", size=3, inputs=4, outputs=6, **COMMON),
        SNConv(name="narrow", size=1, inputs=8, outputs=3, **COMMON),
        SNConv(name="wide", size=1, inputs=3, outputs=8, **COMMON),
        SNDense(name="dense", inputs=5, outputs=2, **COMMON),
        SNEmbedding(name="embedding", classes=4, width=7, **COMMON),
    ]


def test_one_iteration_is_the_published_formula():
    w, u = normal(5, 4), normal(1, 4, seed=1)
    stacked = ops.convert_to_tensor(w[None]), ops.convert_to_tensor(u[None])
    norms, new_u = power_iteration(*stacked, stop_gradient=False)
    v = u @ w.T
    v /= np.linalg.norm(v)
    expected = v @ w
    assert array(norms).item() == pytest.approx(np.linalg.norm(expected), rel=ROUNDING)
    np.testing.assert_allclose(array(new_u)[0], expected / np.linalg.norm(expected), atol=ROUNDING)


def test_grouped_layers_are_normalised_as_each_would_be_alone():
    layers = [built(SNDense(name=name, inputs=5, outputs=3, **COMMON)) for name in ("a", "b", "c")]
    for i, layer in enumerate(layers):
        layer.kernel.assign(normal(5, 3, seed=i))
    together = SpectralNorm(layers)(training=False)
    for layer in layers:
        np.testing.assert_allclose(
            array(together[layer.path]), array(normalised(layer)[layer.path]), rtol=ROUNDING, atol=ROUNDING
        )


@pytest.mark.parametrize("layer", every_kind(), ids=lambda layer: layer.name)
def test_a_fresh_kernel_has_norm_one_from_the_first_iteration(layer):
    built(layer)
    norms, _ = power_iteration(layer.as_matrix()[None], layer.u.value[None], stop_gradient=False)
    assert array(norms).item() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("shape", [(8, 3), (3, 8), (3, 3, 2, 4), (4, 4)])
def test_orthogonal_values_have_orthonormal_rows_or_columns(shape):
    rows = int(np.prod(shape[:-1]))
    matrix = array(INIT.orthogonal("x", rows=rows)(shape)).reshape(rows, -1)
    gram = matrix.T @ matrix if rows >= shape[-1] else matrix @ matrix.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=ROUNDING)


def test_initial_values_depend_on_the_path_or_with_upstream_sharing_on_the_shape_alone():
    own, shared = Init(3), Init(3, "upstream")

    def draw(init, path):
        return array(init.orthogonal(path, rows=3)((3, 3)))

    assert np.any(draw(own, "a") != draw(own, "b"))
    np.testing.assert_array_equal(draw(shared, "a"), draw(shared, "b"))
    np.testing.assert_array_equal(draw(own, "a"), draw(Init(3), "a"))
    assert np.any(draw(own, "a") != draw(Init(4), "a"))


@pytest.mark.parametrize("layer", every_kind(), ids=lambda layer: layer.name)
def test_u_moves_in_training_only(layer):
    built(layer)
    layer.kernel.assign(normal(*layer.shape))
    before = array(layer.u.value)
    first, second = normalised(layer), normalised(layer)
    np.testing.assert_array_equal(array(first[layer.path]), array(second[layer.path]))
    np.testing.assert_array_equal(array(layer.u.value), before)
    normalised(layer, training=True)
    assert np.any(array(layer.u.value) != before)


def test_after_200_random_steps_the_true_norm_is_still_close_to_one():
    layers = [
        built(SNDense(name="a", inputs=12, outputs=6, **COMMON)),
        built(SNConv(name="b", size=3, inputs=2, outputs=5, **COMMON)),
    ]
    norm, rng = SpectralNorm(layers), np.random.default_rng(0)
    kernels = [layer.kernel for layer in layers]

    def iterate(params, us):
        pairs = [*zip(kernels, params, strict=True), *zip([x.u for x in layers], us, strict=True)]
        with keras.StatelessScope(state_mapping=pairs) as scope:
            norm(training=True)
            return [scope.get_current_value(layer.u) for layer in layers]

    iterate = backend.jit(iterate)
    us = [layer.u.value for layer in layers]
    for _ in range(200):  # steps of ten times the published learning rate
        for kernel in kernels:
            kernel.assign_add(2e-3 * rng.standard_normal(kernel.shape).astype(np.float32))
        us = iterate([kernel.value for kernel in kernels], us)
    for layer, u in zip(layers, us, strict=True):
        layer.u.assign(u)
        matrix = array(normalised(layer)[layer.path]).reshape(layer.matrix)
        assert 1.0 - ROUNDING <= np.linalg.svd(matrix, compute_uv=False)[0] <= 1.1


def test_the_switch_decides_whether_the_gradient_runs_through_the_iteration():
    w, u = ops.convert_to_tensor(normal(1, 5, 4)), ops.convert_to_tensor(normal(1, 1, 4, seed=1))

    def gradient(stop):
        def loss(params):
            return ops.sum(power_iteration(params[0], u, stop_gradient=stop)[0]), ()

        return array(backend.value_and_grad(loss)([w])[1][0])[0]

    v = array(u)[0] @ array(w)[0].T
    v /= np.linalg.norm(v)
    new_u = v @ array(w)[0]
    new_u /= np.linalg.norm(new_u)
    np.testing.assert_allclose(gradient(True), v.T @ new_u, atol=ROUNDING)
    step = 1e-3  # central difference of the whole norm by one weight

    def total(change):
        moved = array(w).copy()
        moved[0, 2, 1] += change
        return array(power_iteration(ops.convert_to_tensor(moved), u, stop_gradient=False)[0]).item()

    slope = (total(step) - total(-step)) / (2 * step)
    assert gradient(False)[2, 1] == pytest.approx(slope, abs=2e-3)
    assert abs(gradient(False)[2, 1] - gradient(True)[2, 1]) > 1e-2


def test_norms_stay_float32_under_mixed_precision():
    layer = built(SNDense(name="a", inputs=4, outputs=3, init=INIT, dtype="mixed_float16"))
    layer.kernel.assign(normal(4, 3) * 1e-6)  # its squares are zero in float16
    weight = normalised(layer, training=True)[layer.path]
    assert keras.backend.standardize_dtype(weight.dtype) == "float16"
    assert keras.backend.standardize_dtype(layer.u.dtype) == "float32"
    full = built(SNDense(name="a", inputs=4, outputs=3, **COMMON))
    full.kernel.assign(layer.kernel.value)
    np.testing.assert_allclose(array(weight), array(normalised(full)[full.path]), atol=1e-3)


@pytest.mark.parametrize("kind", [SNUpConv, SNImageConv])
@pytest.mark.parametrize("outputs", [1, 3])
def test_a_rearranged_convolution_equals_the_plain_one(kind, outputs):
    layer = built(kind(name="a", inputs=5, outputs=outputs, **COMMON))
    plain = built(SNConv(name="a", size=3, inputs=5, outputs=outputs, **COMMON))
    for one in (layer, plain):
        one.kernel.assign(normal(3, 3, 5, outputs))
        one.bias.assign(normal(outputs, seed=1))
    x = ops.convert_to_tensor(normal(2, 4, 6, 5, seed=2))
    expected = plain.forward(upsample(x) if kind is SNUpConv else x, normalised(plain))
    np.testing.assert_allclose(array(layer.forward(x, normalised(layer))), array(expected), atol=ROUNDING)


def test_a_1x1_convolution_is_a_product_at_every_pixel():
    layer = built(SNConv(name="a", size=1, inputs=3, outputs=2, **COMMON))
    layer.bias.assign([1.0, 2.0])
    x = normal(2, 4, 5, 3)
    weights = normalised(layer)
    expected = x @ array(weights[layer.path]) + np.array([1.0, 2.0])
    y = layer.forward(ops.convert_to_tensor(x), weights)
    np.testing.assert_allclose(array(y), expected, atol=ROUNDING)


def test_upsample_repeats_every_pixel_and_the_average_pool_takes_it_back():
    x = normal(2, 3, 4, 5)
    doubled = upsample(ops.convert_to_tensor(x))
    np.testing.assert_array_equal(array(doubled), x.repeat(2, axis=1).repeat(2, axis=2))
    np.testing.assert_allclose(array(average_pool(doubled)), x, atol=ROUNDING)


def test_max_pool_is_the_same_with_and_without_xla():
    x = ops.convert_to_tensor(normal(2, 4, 6, 3))
    expected = array(x).reshape(2, 2, 2, 3, 2, 3).max(axis=(2, 4))
    np.testing.assert_array_equal(array(max_pool(x)), expected)
    np.testing.assert_array_equal(array(backend.jit(max_pool, xla=True)(x)), expected)


def test_blur_pool_keeps_a_constant_inside_and_fades_it_at_the_border():
    pooled = array(blur_pool(ops.ones((1, 8, 8, 2))))
    assert pooled.shape == (1, 4, 4, 2)
    np.testing.assert_allclose(pooled[:, 1:-1, 1:-1], 1.0, atol=ROUNDING)
    np.testing.assert_allclose(pooled[0, 0, :, 0], np.array([7 / 8, 1, 1, 7 / 8]) * 7 / 8, atol=ROUNDING)


def conditional(condition):
    layer = built(ConditionalBatchNorm(name="cbn", channels=3, condition=4, **COMMON))
    return layer, Projections([layer]), ops.convert_to_tensor(condition)


def test_conditional_batch_norm_with_zero_projections_is_batch_norm():
    layer, projections, condition = conditional(normal(6, 4))
    for part in layer.parts:
        part.kernel.assign(np.zeros((4, 3)))
    x = 3.0 * normal(6, 5, 5, 3) + 1.0
    y = layer.forward(ops.convert_to_tensor(x), projections(condition, training=True), training=True)
    mean, variance = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    np.testing.assert_allclose(array(y), (x - mean) / np.sqrt(variance + 1e-5), atol=1e-4)
    np.testing.assert_allclose(array(layer.moving_mean.value), 0.1 * mean, rtol=1e-4)
    unbiased = variance * 150 / 149
    np.testing.assert_allclose(array(layer.moving_variance.value), 0.9 + 0.1 * unbiased, rtol=1e-4)
    moving = array(layer.moving_mean.value), array(layer.moving_variance.value)
    y = layer.forward(ops.convert_to_tensor(x), projections(condition, training=False), training=False)
    np.testing.assert_allclose(array(y), (x - moving[0]) / np.sqrt(moving[1] + 1e-5), atol=1e-4)
    np.testing.assert_array_equal(array(layer.moving_mean.value), moving[0])


@pytest.mark.parametrize("training", [False, True])
def test_conditional_batch_norm_scales_and_shifts_each_image_by_its_own_condition(training):
    layer, projections, condition = conditional(normal(6, 4))
    x = normal(6, 5, 5, 3, seed=1)
    projected = projections(condition, training=False)
    y = array(layer.forward(ops.convert_to_tensor(x), projected, training=training))
    mean, variance = (x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))) if training else (0.0, 1.0)
    gain, shift = (array(condition) @ array(normalised(part)[part.path]) for part in layer.parts)
    expected = (x - mean) / np.sqrt(variance + 1e-5) * (1 + gain)[:, None, None] + shift[:, None, None]
    np.testing.assert_allclose(array(y), expected, atol=1e-4)


def test_attention_is_the_identity_while_its_scalar_is_zero():
    layer = built(SelfAttention(name="attention", channels=8, **COMMON))
    weights = SpectralNorm(spectral_layers(layer))(training=False)
    x = normal(2, 4, 4, 8)
    np.testing.assert_array_equal(array(layer.forward(ops.convert_to_tensor(x), weights)), x)


def test_attention_mixes_the_pooled_map_by_the_softmax_of_unscaled_products():
    layer = built(SelfAttention(name="attention", channels=16, **COMMON))
    layer.s.assign(0.7)
    weights = SpectralNorm(spectral_layers(layer))(training=False)
    x = normal(2, 4, 4, 16)
    theta, phi, g, result = (array(weights[part.path]) for part in layer.parts)
    pooled = [(x @ w).reshape(2, 2, 2, 2, 2, -1).max(axis=(2, 4)).reshape(2, 4, -1) for w in (phi, g)]
    scores = (x @ theta).reshape(2, 16, -1) @ pooled[0].transpose(0, 2, 1)
    scores = np.exp(scores) / np.exp(scores).sum(axis=-1, keepdims=True)
    expected = x + 0.7 * (scores @ pooled[1]).reshape(2, 4, 4, -1) @ result
    np.testing.assert_allclose(array(layer.forward(ops.convert_to_tensor(x), weights)), expected, atol=1e-4)


def test_an_embedding_looks_up_rows_of_the_normalised_table():
    layer = built(SNEmbedding(name="a", classes=4, width=3, **COMMON))
    layer.kernel.assign(5.0 * normal(4, 3))
    weights = normalised(layer)
    rows = array(layer.forward(ops.convert_to_tensor([2, 0, 2], "int32"), weights))
    np.testing.assert_array_equal(rows, array(weights[layer.path])[[2, 0, 2]])
    ratio = array(layer.kernel.value) / array(weights[layer.path])
    np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-4)
