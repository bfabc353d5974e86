from __future__ import annotations

import math
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.imaginarynet.vqgan import model
from experiments.imaginarynet.vqgan.config import (
    EMBEDDED,
    F16_16384,
    VQGANConfig,
    count_decoder,
    count_encoder,
    count_parameters,
)
from experiments.imaginarynet.vqgan.params import flatten, init, shapes, unflatten
from tests.imaginarynet.vqgan.test_config import ORACLE

CONFIG = VQGANConfig(
    ch=8, ch_mult=(1, 1), num_res_blocks=2, attn_resolutions=(4,), resolution=8, z_channels=8, embed_dim=4,
    n_embed=16, num_groups=4,
)  # fmt: skip

# One program a function and a configuration: compiling every layer by itself takes much longer.
latents = jax.jit(model.latents, static_argnums=1)
encode = jax.jit(model.encode, static_argnums=1)
decode = jax.jit(model.decode, static_argnums=1)
decode_codes = jax.jit(model.decode_codes, static_argnums=1)


def random_params(config: VQGANConfig, seed: int = 0):
    """Random parameters, norms among them, so that no scale or bias can be left out unseen."""
    rng = np.random.default_rng(seed)
    sizes = shapes(config).items()
    flat = {name: rng.normal(size=shape) / max(1, np.prod(shape[:-1])) ** 0.5 for name, shape in sizes}
    flat["quantize/embedding/embedding"] = rng.normal(size=(config.n_embed, config.embed_dim))
    return unflatten({name: value.astype(np.float32) for name, value in flat.items()})


@pytest.fixture(scope="module")
def params():
    return random_params(CONFIG)


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(2).random((3, 8, 8, 3), np.float32)


@pytest.mark.parametrize("config", [ORACLE, F16_16384, EMBEDDED, CONFIG])
def test_the_tree_has_as_many_parameters_as_the_formula_says(config):
    sizes = {name: math.prod(shape) for name, shape in shapes(config).items()}
    assert sum(sizes.values()) == count_parameters(config)
    for part, number in (("encoder/", count_encoder(config)), ("decoder/", count_decoder(config))):
        assert sum(size for name, size in sizes.items() if name.startswith(part)) == number


def test_the_tree_has_the_published_names():
    names = set(shapes(F16_16384))
    expected = {
        "encoder/conv_in/kernel", "encoder/down_0/block_1/norm2/scale", "encoder/down_4/attn_1/proj_out/bias",
        "encoder/down_3/downsample/conv/kernel", "encoder/down_2/block_0/nin_shortcut/kernel",
        "encoder/mid/attn_1/q/kernel", "decoder/up_4/attn_2/norm/bias", "decoder/up_1/upsample/conv/bias",
        "decoder/up_0/block_2/conv2/kernel", "decoder/norm_out/scale", "decoder/conv_out/bias",
        "quantize/embedding/embedding", "quant_conv/kernel", "post_quant_conv/bias",
    }  # fmt: skip
    assert expected <= names
    assert "encoder/down_4/downsample/conv/kernel" not in names
    assert "decoder/up_0/upsample/conv/kernel" not in names


def test_the_chosen_entry_is_the_nearest_by_brute_force(params):
    vectors = np.random.default_rng(3).normal(size=(2, 5, 5, CONFIG.embed_dim)).astype(np.float32)
    codes, entries = model.quantise(params, jnp.asarray(vectors))
    codebook = np.asarray(params["quantize"]["embedding"]["embedding"], np.float64)
    distance = np.square(vectors[..., None, :].astype(np.float64) - codebook).sum(-1)
    assert codes.dtype == jnp.int32
    assert np.array_equal(codes, distance.argmin(-1))
    assert np.array_equal(entries, codebook.astype(np.float32)[np.asarray(codes)])


def test_an_entry_is_its_own_nearest(params):
    codebook = jnp.asarray(params["quantize"]["embedding"]["embedding"])
    assert np.array_equal(model.quantise(params, codebook)[0], np.arange(CONFIG.n_embed))


def test_decoding_the_codes_is_decoding_the_quantised_vectors(params, pictures):
    codes = encode(params, CONFIG, pictures)
    assert codes.shape == (3, CONFIG.num_codes)
    assert len(np.unique(codes)) > 1
    _, entries = model.quantise(params, latents(params, CONFIG, pictures))
    direct = np.clip(decode(params, CONFIG, entries), 0, 1)
    np.testing.assert_allclose(decode_codes(params, CONFIG, codes), direct, atol=1e-5)
    assert direct.std() > 0.1


def test_pictures_are_finite_and_within_0_and_1_for_every_code(params):
    codes = np.random.default_rng(4).integers(0, CONFIG.n_embed, (3, CONFIG.num_codes), np.int32)
    for found in (codes, np.full_like(codes, 10**6), np.full_like(codes, -1)):
        decoded = np.asarray(decode_codes(params, CONFIG, found))
        assert decoded.shape == (3, 8, 8, 3) and decoded.dtype == np.float32
        assert np.isfinite(decoded).all() and decoded.min() >= 0 and decoded.max() <= 1


def test_codes_that_fill_no_square_are_refused(params):
    with pytest.raises(ValueError, match="63 codes"):
        model.decode_codes(params, CONFIG, jnp.zeros((1, 63), jnp.int32))


def test_a_picture_does_not_depend_on_its_neighbours_in_the_batch(params, pictures):
    changed = pictures.copy()
    changed[1:] = 0.5
    one, other = (latents(params, CONFIG, batch) for batch in (pictures, changed))
    np.testing.assert_allclose(one[0], other[0], atol=1e-5)
    assert not np.allclose(one[1], other[1], atol=1e-2)


def test_codes_lie_row_after_row(params):
    grid = np.zeros((3, CONFIG.grid, CONFIG.grid), np.int32)
    grid[:, :, 0] = 1
    vectors = np.asarray(params["quantize"]["embedding"]["embedding"])[grid]
    again = decode_codes(params, CONFIG, grid.reshape(3, -1))
    np.testing.assert_allclose(again, np.clip(decode(params, CONFIG, vectors), 0, 1), atol=1e-5)


def test_repeated_attention_is_another_function_of_the_same_parameters(params, pictures):
    repeated = replace(CONFIG, repeated_attention=True)
    assert shapes(repeated) == shapes(CONFIG)
    once, often = (np.asarray(latents(params, c, pictures)) for c in (CONFIG, repeated))
    assert np.abs(once - often).max() > 1e-3


def test_group_normalisation_is_its_definition():
    x = np.random.default_rng(5).normal(1, 3, (2, 3, 3, 8)).astype(np.float32)
    scale, bias = np.arange(8.0), np.arange(8.0) / 10
    found = model._norm({"scale": jnp.asarray(scale), "bias": jnp.asarray(bias)}, CONFIG, jnp.asarray(x))
    grouped = x.astype(np.float64).reshape(2, 9, 4, 2)
    mean, variance = grouped.mean((1, 3), keepdims=True), grouped.var((1, 3), keepdims=True)
    expected = ((grouped - mean) / np.sqrt(variance + 1e-6)).reshape(x.shape) * scale + bias
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_doubling_repeats_each_pixel():
    x = jnp.arange(2 * 3 * 4 * 2.0).reshape(2, 3, 4, 2)
    assert np.array_equal(model._double(x), np.asarray(x).repeat(2, axis=1).repeat(2, axis=2))


def test_fresh_parameters_are_a_function_of_the_key():
    small = replace(CONFIG, ch_mult=(1,), num_res_blocks=1)
    one, same, other = (flatten(init(small, jax.random.key(seed))) for seed in (0, 0, 1))
    assert all(np.array_equal(one[name], same[name]) for name in one)
    assert not np.array_equal(one["encoder/conv_in/kernel"], other["encoder/conv_in/kernel"])
    assert {name: value.shape for name, value in flatten(unflatten(one)).items()} == shapes(small)
    assert (one["encoder/norm_out/scale"] == 1).all() and (one["encoder/norm_out/bias"] == 0).all()
    kernel = np.asarray(one["encoder/mid/block_1/conv1/kernel"])  # 72 inputs to each output
    assert abs(kernel.std() * 72**0.5 - 1) < 0.2 and not np.array_equal(kernel[0], kernel[1])
