"""The classifiers: published parameter counts, padding, shortcuts and statistics in closed form."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from keras import ops

from experiments.gafi.nn.batch_norm import BatchNorm
from experiments.gafi.nn.classifiers import (
    BLOCKS_PER_STAGE,
    apply_features,
    build_classifier,
    he_normal,
    initial_state,
    num_parameters,
)
from experiments.gafi.nn.resnet import Conv3x3, shortcut
from experiments.gafi.nn.state import apply, names_of, state_of
from suite.errors import BadInput


def build(name="resnet14", width=4, *, classes=3, channels=1, size=16, seed=0, **kw):
    model = SimpleNamespace(name=name, width=width)
    return build_classifier(model, num_classes=classes, channels=channels, image_size=size, seed=seed, **kw)


def images(num=2, size=16, channels=1, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (num, size, size, channels)).astype(np.float32)


@pytest.mark.parametrize(
    ("width", "channels", "classes", "trainable", "other"),
    [
        (64, 3, 10, 4_286_026, 5_504),  # CIFAR-10, CINIC-10
        (64, 3, 100, 4_309_156, 5_504),  # CIFAR-100
        (16, 1, 10, 269_434, 1_376),  # one channel
        (8, 1, 10, 67_906, 688),  # one channel
    ],
)
def test_resnet20_has_the_published_number_of_parameters(width, channels, classes, trainable, other):
    net = build("resnet20", width, classes=classes, channels=channels, size=32)
    assert num_parameters(net) == (trainable, other)


@pytest.mark.parametrize("name", [n for n in BLOCKS_PER_STAGE if n != "resnet1202"])
def test_the_number_in_a_resnets_name_counts_its_layers_with_weights(name):
    names = names_of(build(name, 2)).trainable
    assert sum(n.endswith("kernel") for n in names) == int(name.removeprefix("resnet"))


def test_resnet1202_has_two_hundred_blocks_a_stage():
    assert BLOCKS_PER_STAGE["resnet1202"] * 3 * 2 + 2 == 1202


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_sees_one_zero_on_every_side_also_at_stride_two(stride):
    conv = Conv3x3(3, stride=stride, name="conv")
    conv.build((None, 6, 6, 2))
    kernel = np.random.default_rng(0).standard_normal((3, 3, 2, 3)).astype(np.float32)
    conv.kernel.assign(kernel)
    x = images(size=6, channels=2)
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::stride, ::stride]
    expected = np.einsum("nhwcij,ijco->nhwo", windows, kernel)
    np.testing.assert_allclose(ops.convert_to_numpy(conv(x)), expected, atol=1e-5)


def test_the_shortcut_takes_every_second_pixel_and_pads_channels_on_both_sides():
    x = images(size=6, channels=2)
    expected = np.pad(x[:, ::2, ::2], ((0, 0), (0, 0), (0, 0), (1, 1)))
    np.testing.assert_array_equal(ops.convert_to_numpy(shortcut(x, 4, 2)), expected)
    np.testing.assert_array_equal(ops.convert_to_numpy(shortcut(x, 2, 1)), x)


def test_batch_norm_normalises_by_the_batch_and_remembers_a_tenth_of_it():
    layer = BatchNorm(name="bn")
    layer.build((None, None, None, 2))
    layer.gamma.assign([2.0, 0.5])
    layer.beta.assign([1.0, -1.0])
    x = images(num=4, size=5, channels=2) * 3 + 1
    mean, variance = x.mean((0, 1, 2)), x.var((0, 1, 2))
    y = ops.convert_to_numpy(layer(x, training=True))
    expected = (x - mean) / np.sqrt(variance + 1e-5) * [2.0, 0.5] + [1.0, -1.0]
    np.testing.assert_allclose(y, expected, atol=1e-5)
    unbiased = x.var((0, 1, 2), ddof=1)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.moving_mean.value), 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(
        ops.convert_to_numpy(layer.moving_variance.value), 0.9 + 0.1 * unbiased, rtol=1e-5
    )


def test_in_inference_batch_norm_uses_and_keeps_the_moving_statistics():
    layer = BatchNorm(name="bn")
    layer.build((None, None, None, 1))
    layer.moving_mean.assign([0.5])
    layer.moving_variance.assign([4.0])
    x = images()
    np.testing.assert_allclose(ops.convert_to_numpy(layer(x)), (x - 0.5) / np.sqrt(4 + 1e-5), atol=1e-6)
    assert float(layer.moving_mean.value[0]) == 0.5 and float(layer.moving_variance.value[0]) == 4.0


@pytest.mark.parametrize("name", ["resnet14", "simple"])
@pytest.mark.parametrize("size", [16, 32])
def test_logits_are_the_last_layer_of_the_features_at_any_size_divisible_by_four(name, size):
    net = build(name, size=size)
    state = state_of(net)
    x = images(size=size)
    features = ops.convert_to_numpy(apply_features(net, state, x))
    logits, _ = apply(net, state, x, training=False)
    assert features.shape == (2, 256 if name == "simple" else 16) and logits.shape == (2, 3)
    kernel = ops.convert_to_numpy(net.dense.kernel.value)
    np.testing.assert_allclose(ops.convert_to_numpy(logits), features @ kernel, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet14", "simple"])
def test_inference_changes_no_state_and_training_changes_all_of_it(name):
    net = build(name)
    state = state_of(net)
    for training in (False, True):
        _, other = apply(net, state, images(num=8), training=training)
        moved = [
            (ops.convert_to_numpy(a) != ops.convert_to_numpy(b)).any()
            for a, b in zip(other, state.other, strict=True)
        ]
        assert all(moved) if training else not any(moved)


def test_dropout_drops_three_tenths_differently_in_each_step_and_nothing_in_inference():
    net = build("simple", size=32)
    net.drop1.key.assign(np.array([1, 2], np.int32))
    x = np.ones((50, 20, 20), np.float32)
    first, second = (ops.convert_to_numpy(net.drop1(x, training=True)) for _ in range(2))
    assert np.mean(first == 0) == pytest.approx(0.3, abs=0.02) and (first != second).any()
    np.testing.assert_allclose(first[first != 0], 1 / 0.7, rtol=1e-6)
    np.testing.assert_array_equal(ops.convert_to_numpy(net.drop1(x)), x)


def values(state):
    return [ops.convert_to_numpy(value) for value in (*state.trainable, *state.other)]


def test_initial_weights_are_a_function_of_the_seed():
    net = build()
    first, again, other = (values(initial_state(net, seed=s)) for s in (5, 5, 6))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    kernels = [i for i, n in enumerate(names_of(net).trainable) if n.endswith("kernel")]
    assert all((first[i] != other[i]).any() for i in kernels)


@pytest.mark.parametrize("sharing", ["own", "upstream"])
def test_kernels_of_one_shape_begin_equal_only_as_the_published_code_has_it(sharing):
    net = build()
    state = dict(zip(names_of(net).trainable, initial_state(net, seed=0, init_sharing=sharing).trainable,
                     strict=True))  # fmt: skip
    pair = (ops.convert_to_numpy(state[f"stage1_block{b}/conv2/kernel"]) for b in (1, 2))
    assert np.array_equal(*pair) == (sharing == "upstream")


def test_kernels_are_he_normal_cut_at_two_deviations():
    drawn = he_normal(np.random.default_rng(0), (3, 3, 40, 50))
    deviation = np.sqrt(2 / (3 * 3 * 40))
    assert drawn.std() == pytest.approx(deviation, rel=0.02) and abs(drawn.mean()) < deviation / 20
    cut = 2 * deviation / 0.87962566
    assert cut * 0.98 < np.abs(drawn).max() <= cut


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_logits_and_weights_float32_and_near(precision):
    full, mixed = build(size=8), build(size=8, precision=precision)
    x = images(size=8)
    logits = mixed(x)
    assert all(str(v.dtype) == "float32" for v in mixed.variables)
    assert ops.dtype(logits) == "float32"
    found, expected = ops.convert_to_numpy(logits), ops.convert_to_numpy(full(x))
    np.testing.assert_allclose(found, expected, atol=0.03 * np.abs(expected).max())
    assert (found != expected).any()


def test_unknown_names_and_sizes_are_refused_in_one_line():
    with pytest.raises(BadInput, match=r"MODEL.name: unknown `vgg`; choose resnet14, .*, simple"):
        build("vgg")
    with pytest.raises(BadInput, match="images of 18 pixels"):
        build(size=18)
