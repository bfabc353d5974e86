"""The generator: published sizes, shapes, switches, initial values, behaviour in training and inference."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import ops

from experiments.gafi.config_sections import GanModel
from experiments.gafi.nn.generator import build_generator
from experiments.gafi.nn.state import apply, names_of, state_of
from suite.errors import BadInput

FULL = GanModel()
TINY = GanModel(g_conv_dim=4, latent_dim=6, shared_dim=5)


def build(model=TINY, *, num_classes=3, channels=1, image_size=16, seed=1, **options):
    return build_generator(
        model, num_classes=num_classes, channels=channels, image_size=image_size, seed=seed, **options
    )


def count(variables):
    return sum(int(np.prod(v.shape)) for v in variables)


def inputs(n=4, latent=6, classes=3):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((n, latent)).astype(np.float32)
    return ops.convert_to_tensor(z), ops.convert_to_tensor(rng.integers(0, classes, n).astype(np.int32))


def images(network, training=False, **shape):
    return ops.convert_to_numpy(network(inputs(**shape), training=training))


@pytest.mark.parametrize(
    ("model", "num_classes", "channels", "trainable", "other"),
    [
        # Counted by hand from the published architecture.
        (FULL, 10, 3, 9_338_884, 40_067),
        (FULL, 10, 1, 9_329_666, 40_065),
        (FULL, 100, 3, 9_350_404, 40_067),
        (GanModel(g_conv_dim=8, latent_dim=32, shared_dim=32), 10, 1, 94_898, 2_505),
    ],
    ids=["CIFAR-10", "one channel", "100 classes", "small"],
)
def test_the_published_numbers_of_parameters(model, num_classes, channels, trainable, other):
    network = build(model, num_classes=num_classes, channels=channels, image_size=32)
    assert (count(network.trainable_variables), count(network.non_trainable_variables)) == (trainable, other)


@pytest.mark.slow
def test_the_full_network_makes_images_of_the_right_shape_and_range():
    network = build(FULL, num_classes=10, channels=3, image_size=32)
    made = images(network, n=2, latent=128, classes=10)
    assert made.shape == (2, 32, 32, 3) and made.dtype == np.float32
    assert np.abs(made).max() <= 1.0


@pytest.mark.parametrize(("image_size", "channels"), [(16, 1), (32, 3), (64, 1)])
def test_images_have_the_size_and_channels_asked_for(image_size, channels):
    made = images(build(image_size=image_size, channels=channels), n=2)
    assert made.shape == (2, image_size, image_size, channels) and made.dtype == np.float32
    assert -1.0 <= made.min() < 0.0 < made.max() <= 1.0


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"studiogan": False}, {"skip"}),
        ({"apply_g_attn": False}, {"attention", "theta", "phi", "g", "result", "s"}),
    ],
)
def test_a_switch_takes_its_layers_out(change, names):
    def parts(network):
        return {part for name in names_of(network).trainable for part in name.split("/")}

    without = build(replace(TINY, **change))
    assert parts(build()) - parts(without) == names
    assert images(without).shape == (4, 16, 16, 1)


def test_without_studiogan_the_skip_path_keeps_the_first_channels():
    network = build(replace(TINY, studiogan=False), image_size=64)  # here stages change their width
    assert images(network, n=1).shape == (1, 64, 64, 1)
    block = next(x for x in network.body if x.name == "block0_1")
    block.convs[3].kernel.assign(np.zeros_like(block.convs[3].kernel.value))  # main path: the bias, zero
    x = ops.convert_to_tensor(np.random.default_rng(0).standard_normal((1, 4, 4, 64)).astype(np.float32))
    weights = network.spectral_norm(training=False)
    projected = network.projections(ops.zeros((1, 11)), training=False)
    out = ops.convert_to_numpy(block.forward(x, projected, weights, training=False))
    np.testing.assert_array_equal(out, ops.convert_to_numpy(x).repeat(2, axis=1).repeat(2, axis=2)[..., :32])


def test_joining_by_concatenation_adds_one_convolution_to_each_block():
    model = replace(TINY, residual_concat=True)
    extra = 4 * (2 * 16 * 16 + 16)  # 2 stages x 2 blocks, 32 -> 16 channels with bias
    assert count(build(model).trainable_variables) == count(build().trainable_variables) + extra
    assert images(build(model)).shape == (4, 16, 16, 1)


def test_without_hierarchy_the_trunk_sees_the_latent_alone_and_the_norms_the_label():
    network = build(replace(TINY, hier=False))
    assert network.trunk.kernel.shape[0] == 6
    assert {norm.gain.kernel.shape[0] for norm in network.body[0].norms} == {5}
    assert build().trunk.kernel.shape[0] == build().body[0].norms[0].gain.kernel.shape[0] == 11
    z, labels = inputs(n=2)
    first = ops.convert_to_numpy(network((z, labels * 0)))
    assert np.any(first != ops.convert_to_numpy(network((z, labels * 0 + 1))))


def test_without_normalisation_images_lie_between_zero_and_one():
    plain, unit = images(build()), images(build(normalize=False))
    np.testing.assert_allclose(unit, 1.0 / (1.0 + np.exp(-np.arctanh(plain))), atol=1e-5)


def test_labels_and_latents_both_change_the_image():
    network = build()
    z, labels = inputs(n=2)
    base = ops.convert_to_numpy(network((z, labels)))
    assert np.any(base != ops.convert_to_numpy(network((z, (labels + 1) % 3))))
    assert np.any(base != ops.convert_to_numpy(network((z + 1.0, labels))))


def test_an_image_of_inference_does_not_depend_on_its_batch():
    network = build()
    z, labels = inputs()
    together = ops.convert_to_numpy(network((z, labels)))
    alone = ops.convert_to_numpy(network((z[2:3], labels[2:3])))
    np.testing.assert_allclose(together[2:3], alone, atol=1e-5)


def test_inference_changes_no_state_and_training_moves_all_statistics_and_vectors():
    network = build()
    state, names = state_of(network), names_of(network)
    first, after = apply(network, state, inputs(), training=False)
    second, _ = apply(network, state, inputs(), training=False)
    np.testing.assert_array_equal(ops.convert_to_numpy(first), ops.convert_to_numpy(second))
    for old, new in zip(state.other, after, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(old), ops.convert_to_numpy(new))
    _, after = apply(network, state, inputs(), training=True)
    still = [
        name
        for name, old, new in zip(names.other, state.other, after, strict=True)
        if np.array_equal(ops.convert_to_numpy(old), ops.convert_to_numpy(new))
    ]
    assert still == []
    for variable, old in zip(network.non_trainable_variables, state.other, strict=True):
        np.testing.assert_array_equal(ops.convert_to_numpy(variable.value), ops.convert_to_numpy(old))


def test_the_seed_alone_decides_the_initial_values():
    def values(**options):
        return [ops.convert_to_numpy(v) for v in state_of(build(**options)).trainable]

    for a, b in zip(values(), values(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(np.any(a != b) for a, b in zip(values(), values(seed=2), strict=True))


@pytest.mark.parametrize(("sharing", "equal"), [("own", False), ("upstream", True)])
def test_upstream_sharing_starts_all_kernels_of_one_shape_equal(sharing, equal):
    block = build(init_sharing=sharing).body[0]
    pairs = [(block.convs[1], block.convs[2]), (block.norms[0].gain, block.norms[0].shift)]
    for a, b in pairs:
        same = np.array_equal(ops.convert_to_numpy(a.kernel.value), ops.convert_to_numpy(b.kernel.value))
        assert same is equal


def test_names_of_variables_are_those_of_any_other_network_built_later():
    first, second = names_of(build()), names_of(build())
    assert first == second
    assert "block0_1/cbn2/gain/kernel" in first.trainable and "attention/theta/u" in first.other


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_keeps_variables_and_images_float32(precision):
    network = build(precision=precision)
    made = network(inputs(), training=False)
    assert keras.backend.standardize_dtype(made.dtype) == "float32"
    assert {keras.backend.standardize_dtype(v.dtype) for v in network.variables} == {"float32"}
    np.testing.assert_allclose(ops.convert_to_numpy(made), images(build()), atol=0.05)
    _, after = apply(network, state_of(network), inputs(), training=True)
    assert {keras.backend.standardize_dtype(v.dtype) for v in after} == {"float32"}


def test_an_unknown_network_or_size_is_one_clear_line():
    with pytest.raises(BadInput, match="MODEL.name biggan is not supported; set it to biggan_deep"):
        build(SimpleNamespace(name="biggan"))
    with pytest.raises(BadInput, match="no BigGAN-deep for images of 28 px; .* one of 16, 32, 64"):
        build(image_size=28)
