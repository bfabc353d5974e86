"""The discriminator: published sizes, shapes, switches, the projection."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest
from keras import ops

from experiments.gafi.config_sections import GanModel
from experiments.gafi.nn import backend
from experiments.gafi.nn.discriminator import build_discriminator
from experiments.gafi.nn.state import apply, names_of, state_of
from suite.errors import BadInput

FULL = GanModel()
TINY = GanModel(d_conv_dim=4)


def build(model=TINY, *, num_classes=3, channels=1, image_size=16, seed=1, **options):
    return build_discriminator(
        model, num_classes=num_classes, channels=channels, image_size=image_size, seed=seed, **options
    )


def count(variables):
    return sum(int(np.prod(v.shape)) for v in variables)


def inputs(n=4, size=16, channels=1, classes=3):
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (n, size, size, channels)).astype(np.float32)
    return ops.convert_to_tensor(x), ops.convert_to_tensor(rng.integers(0, classes, n).astype(np.int32))


def logits(network, training=False, **shape):
    return ops.convert_to_numpy(network(inputs(**shape), training=training))


@pytest.mark.parametrize(
    ("model", "num_classes", "channels", "trainable", "other"),
    [
        # Counted by hand from the published architecture.
        (FULL, 10, 3, 3_177_730, 7_435),
        (FULL, 10, 1, 3_175_426, 7_435),
        (FULL, 100, 3, 3_223_810, 7_525),
        (GanModel(d_conv_dim=8), 10, 1, 13_186, 475),
    ],
    ids=["CIFAR-10", "one channel", "100 classes", "small"],
)
def test_the_published_numbers_of_parameters(model, num_classes, channels, trainable, other):
    network = build(model, num_classes=num_classes, channels=channels, image_size=32)
    assert (count(network.trainable_variables), count(network.non_trainable_variables)) == (trainable, other)


@pytest.mark.slow
def test_the_full_network_gives_one_logit_for_each_image():
    network = build(FULL, num_classes=10, channels=3, image_size=32)
    assert logits(network, n=2, size=32, channels=3, classes=10).shape == (2, 1)


@pytest.mark.parametrize(("image_size", "channels"), [(16, 1), (32, 3), (64, 1)])
def test_one_float32_logit_for_each_image(image_size, channels):
    network = build(image_size=image_size, channels=channels)
    out = logits(network, n=2, size=image_size, channels=channels)
    assert out.shape == (2, 1) and out.dtype == np.float32


@pytest.mark.parametrize(
    ("image_size", "downs", "attention_at"),
    [(16, ["block0_0"], 2), (32, ["block0_0", "block1_0"], 2), (64, [f"block{i}_0" for i in range(4)], 2)],
)
def test_blocks_that_halve_and_the_place_of_attention(image_size, downs, attention_at):
    network = build(image_size=image_size)
    assert [x.name for x in network.body if getattr(x, "down", False)] == downs
    assert network.body[attention_at].name == "attention"


@pytest.mark.parametrize("change", [{"studiogan": False}, {"blur_resample": True}, {"apply_d_attn": False}])
def test_each_switch_gives_another_function_of_the_same_shape(change):
    other = logits(build(replace(TINY, **change)))
    assert other.shape == (4, 1)
    if "apply_d_attn" not in change:  # attention is the identity at the start
        assert np.any(other != logits(build()))


def test_without_studiogan_the_skip_path_convolves_only_the_missing_channels():
    blocks = {x.name: x for x in build(replace(TINY, studiogan=False), image_size=32).body}
    assert tuple(blocks["block0_0"].skip.kernel.shape) == (1, 1, 4, 12)
    assert blocks["block1_0"].skip is None
    ours = {x.name: x for x in build(image_size=32).body}
    assert tuple(ours["block1_0"].skip.kernel.shape) == (1, 1, 16, 16)
    assert ours["block2_0"].skip is None


def test_the_logit_is_a_linear_head_plus_the_projection_on_the_class():
    network = build()
    network.head.bias.assign([0.25])
    x, labels = inputs()
    seen = {}
    forward = network.head.forward
    network.head.forward = lambda x, weights: seen.update(features=x) or forward(x, weights)
    out = ops.convert_to_numpy(network((x, labels)))
    features = ops.convert_to_numpy(seen["features"])
    head = ops.convert_to_numpy(network.head.kernel.value)  # orthonormal at the start, so of norm one
    table = ops.convert_to_numpy(network.embedding.kernel.value)
    expected = features @ head[:, 0] + 0.25 + (table[ops.convert_to_numpy(labels)] * features).sum(axis=1)
    np.testing.assert_allclose(out[:, 0], expected, rtol=1e-4, atol=1e-4)
    assert features.shape == (4, 16) and features.min() >= 0.0


def test_a_logit_depends_on_its_own_image_alone_in_training_too():
    network = build()
    state, (x, labels) = state_of(network), inputs()
    together, _ = apply(network, state, (x, labels), training=True)
    alone, _ = apply(network, state, (x[1:2], labels[1:2]), training=True)
    np.testing.assert_allclose(ops.convert_to_numpy(together)[1:2], ops.convert_to_numpy(alone), atol=1e-4)


def test_vectors_move_in_training_only():
    network = build()
    state = state_of(network)
    _, after = apply(network, state, inputs(), training=False)
    for old, new in zip(state.other, after, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(old), ops.convert_to_numpy(new))
    _, after = apply(network, state, inputs(), training=True)
    moved = [
        np.any(ops.convert_to_numpy(old) != ops.convert_to_numpy(new))
        for old, new in zip(state.other, after, strict=True)
    ]
    assert all(moved)


def test_gradients_reach_every_weight_and_compiling_keeps_them():
    network = build()
    network.body[2].s.assign(0.5)
    state = state_of(network)

    def loss(params, other, x, labels):
        out, other = network.stateless_call(params, other, (x, labels), training=True)
        return ops.mean(out * ops.cast(labels + 1, "float32")[:, None]), other

    of = backend.value_and_grad(loss)
    (value, _), grads = of(state.trainable, state.other, *inputs())
    (compiled, _), other_grads = backend.jit(of)(state.trainable, state.other, *inputs())
    assert float(compiled) == pytest.approx(float(value), rel=1e-4)
    for name, a, b in zip(names_of(network).trainable, grads, other_grads, strict=True):
        a, b = ops.convert_to_numpy(a), ops.convert_to_numpy(b)
        assert np.abs(a).max() > 0.0, name
        np.testing.assert_allclose(a, b, atol=1e-4 * max(1.0, np.abs(a).max()), err_msg=name)


def test_upstream_sharing_starts_equal_shapes_of_both_networks_equal():
    a, b = (build(seed=1, init_sharing="upstream", image_size=size) for size in (16, 32))
    first, second = a.body[1].convs[1].kernel.value, b.body[4].convs[2].kernel.value
    np.testing.assert_array_equal(ops.convert_to_numpy(first), ops.convert_to_numpy(second))


def test_mixed_precision_keeps_variables_and_logits_float32():
    network = build(precision="mixed_bfloat16")
    out = network(inputs(), training=False)
    assert keras.backend.standardize_dtype(out.dtype) == "float32"
    assert {keras.backend.standardize_dtype(v.dtype) for v in network.variables} == {"float32"}
    full = logits(build())
    np.testing.assert_allclose(ops.convert_to_numpy(out), full, atol=0.05 * np.abs(full).max())


def test_an_unknown_size_is_one_clear_line():
    with pytest.raises(BadInput, match="no BigGAN-deep for images of 28 px; .* one of 16, 32, 64"):
        build(image_size=28)
