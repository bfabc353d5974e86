"""The VQGAN of DALL-E mini as plain functions over a tree of parameters (published code: a flax module).

The tree has the published names, so that a checkpoint of the hub is used as it is: `encoder/conv_in/kernel`,
`encoder/down_0/block_0/norm1/scale`, ..., `quantize/embedding/embedding`. Pictures are float32 (B, H, W, 3)
in [0, 1], without a mapping to [-1, 1]; codes are int32 (B, h*w), row after row of the grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from experiments.imaginarynet.vqgan.config import VQGANConfig

Params = Mapping[str, Any]
EPSILON = 1e-6  # of the group normalisations


# --- what is used from outside ---


def encode(params: Params, config: VQGANConfig, pictures: jax.Array) -> jax.Array:
    """Codes int32 (B, h*w) of pictures float32 (B, H, W, 3) in [0, 1]; h = H / config.factor."""
    codes, _ = quantise(params, latents(params, config, pictures))
    return codes.reshape(len(codes), -1)


def decode_codes(params: Params, config: VQGANConfig, codes: jax.Array) -> jax.Array:
    """Pictures float32 (B, H, W, 3), clipped to [0, 1], of codes int32 (B, h*w) of a square grid."""
    side = round(codes.shape[-1] ** 0.5)
    if side * side != codes.shape[-1]:
        raise ValueError(f"{codes.shape[-1]} codes make no square grid")
    vectors = lookup(params, codes.reshape(-1, side, side))
    return jnp.clip(decode(params, config, vectors), 0.0, 1.0)


def latents(params: Params, config: VQGANConfig, pictures: jax.Array) -> jax.Array:
    """What is quantised: float32 (B, h, w, embed_dim)."""
    return _conv(params["quant_conv"], _encoder(params["encoder"], config, pictures), padding=0)


def quantise(params: Params, vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The nearest entry of the codebook, in squared L2: codes int32 (...), entries (..., embed_dim)."""
    codebook = params["quantize"]["embedding"]["embedding"]
    products = jnp.matmul(vectors, codebook.T, precision=lax.Precision.HIGHEST)
    distance = jnp.sum(codebook**2, axis=1) - 2 * products  # the vector's own square is the same for all
    codes = jnp.argmin(distance, axis=-1).astype(jnp.int32)
    return codes, lookup(params, codes)


def lookup(params: Params, codes: jax.Array) -> jax.Array:
    """Entries of the codebook (..., embed_dim); codes outside of it are cut to its ends, never NaN."""
    return jnp.take(params["quantize"]["embedding"]["embedding"], codes, axis=0, mode="clip")


def decode(params: Params, config: VQGANConfig, vectors: jax.Array) -> jax.Array:
    """Pictures (B, H, W, 3), not clipped, of quantised vectors (B, h, w, embed_dim)."""
    return _decoder(params["decoder"], config, _conv(params["post_quant_conv"], vectors, padding=0))


# --- the networks ---


def _encoder(params: Params, config: VQGANConfig, pictures: jax.Array) -> jax.Array:
    x = _conv(params["conv_in"], pictures)
    last = len(config.ch_mult) - 1
    for level in range(last + 1):
        of_level = params[f"down_{level}"]
        x = _level(of_level, config, x, level=level, blocks=config.num_res_blocks)
        if level < last:
            x = jnp.pad(x, ((0, 0), (0, 1), (0, 1), (0, 0)))  # right and below alone, as published
            x = _conv(of_level["downsample"]["conv"], x, stride=2, padding=0)
    return _head(params, config, _middle(params["mid"], config, x))


def _decoder(params: Params, config: VQGANConfig, vectors: jax.Array) -> jax.Array:
    x = _middle(params["mid"], config, _conv(params["conv_in"], vectors))
    for level in reversed(range(len(config.ch_mult))):
        of_level = params[f"up_{level}"]
        x = _level(of_level, config, x, level=level, blocks=config.num_res_blocks + 1)
        if level:
            x = _conv(of_level["upsample"]["conv"], _double(x))
    return _head(params, config, x)


def _level(params: Params, config: VQGANConfig, x: jax.Array, *, level: int, blocks: int) -> jax.Array:
    for i in range(blocks):
        x = _residual(params[f"block_{i}"], config, x)
        if config.has_attention(level):
            for j in range(blocks) if config.repeated_attention else (i,):
                x = _attention(params[f"attn_{j}"], config, x)
    return x


def _middle(params: Params, config: VQGANConfig, x: jax.Array) -> jax.Array:
    x = _residual(params["block_1"], config, x)
    return _residual(params["block_2"], config, _attention(params["attn_1"], config, x))


def _head(params: Params, config: VQGANConfig, x: jax.Array) -> jax.Array:
    return _conv(params["conv_out"], jax.nn.silu(_norm(params["norm_out"], config, x)))


def _residual(params: Params, config: VQGANConfig, x: jax.Array) -> jax.Array:
    hidden = _conv(params["conv1"], jax.nn.silu(_norm(params["norm1"], config, x)))
    hidden = _conv(params["conv2"], jax.nn.silu(_norm(params["norm2"], config, hidden)))
    return hidden + (_conv(params["nin_shortcut"], x, padding=0) if "nin_shortcut" in params else x)


def _attention(params: Params, config: VQGANConfig, x: jax.Array) -> jax.Array:
    """One head over all places of the grid."""
    batch, height, width, channels = x.shape
    normed = _norm(params["norm"], config, x).reshape(batch, height * width, channels)
    query, key, value = (_pointwise(params[name], normed) for name in ("q", "k", "v"))
    scores = jnp.einsum("bqc,bkc->bqk", query, key) * channels**-0.5
    mixed = jnp.einsum("bqk,bkc->bqc", jax.nn.softmax(scores, axis=-1), value)
    return x + _pointwise(params["proj_out"], mixed).reshape(x.shape)


# --- layers ---


def _conv(params: Params, x: jax.Array, *, stride: int = 1, padding: int = 1) -> jax.Array:
    kernel = params["kernel"]  # (side, side, in, out)
    if kernel.shape[0] == 1:
        return _pointwise(params, x)
    x = lax.conv_general_dilated(
        x, kernel, (stride, stride), [(padding, padding)] * 2, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return x + params["bias"]


def _pointwise(params: Params, x: jax.Array) -> jax.Array:
    """A 1 x 1 convolution."""
    return x @ params["kernel"][0, 0] + params["bias"]


def _norm(params: Params, config: VQGANConfig, x: jax.Array) -> jax.Array:
    """Group normalisation, in float32 whatever the pictures' dtype."""
    batch, height, width, channels = x.shape
    flat = x.astype(jnp.float32).reshape(batch, height * width, channels)
    centred = flat - _group_means(flat.mean(1), config.num_groups)[:, None]
    variance = _group_means(jnp.square(centred).mean(1), config.num_groups)
    scale = lax.rsqrt(variance + EPSILON) * params["scale"]
    return (centred * scale[:, None] + params["bias"]).astype(x.dtype).reshape(x.shape)


def _group_means(of_channels: jax.Array, groups: int) -> jax.Array:
    """(B, C): each channel gets the mean over its group. Means over places come first: XLA sums an axis of
    places fast on a CPU, and places and channels of a group at once slowly.
    """
    grouped = of_channels.reshape(len(of_channels), groups, -1)
    return jnp.broadcast_to(grouped.mean(-1, keepdims=True), grouped.shape).reshape(of_channels.shape)


def _double(x: jax.Array) -> jax.Array:
    """Twice the height and width; each pixel is repeated."""
    batch, height, width, channels = x.shape
    wide = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, 2, width, 2, channels))
    return wide.reshape(batch, 2 * height, 2 * width, channels)
