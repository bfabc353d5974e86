"""The network of DalleBart as functions over a tree of arrays. Source: published code of DALL-E mini.

A tree is dicts and lists of arrays, what `jax.grad` and optax take as it is:
  encoder, decoder: {tokens (vocabulary, d), positions (length, d), embed_norm, layers: [...], final_norm}
  head: (d, picture vocabulary + 1)
  layer: {attention: {pre, qkv (d, 3 d), out (d, d), post},
          cross (decoder): {pre, q (d, d), kv (d, 2 d), out (d, d), post},
          glu: {pre, in (d, 2 f), mid, out (f, d)}}
A norm before a linear map has a bias and no scale; the others have both. No linear map has a bias. Matrices
that read the same input lie in one array, in this order: queries, keys, values; gate, value.

Everything is computed in the dtype of the tree, except norms, softmax and logits, which are float32.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments.imaginarynet.dallebart.config import DalleBartConfig

Array = jax.Array
Tree = dict[str, Any]
EPSILON = 1e-5  # of the norms
# Finite: a row of text that is masked everywhere gives even weights, where -inf would give NaN.
_HIDDEN = -1e30


class Memory(NamedTuple):
    """Keys and values of attention in one layer, (B, heads, length, head width)."""

    keys: Array
    values: Array


def init_params(config: DalleBartConfig, key: Array) -> Tree:
    """New parameters, float32: normal of `init_std`, norms at the identity. `key`: a JAX random key."""
    d, f, keys = config.width, config.glu_width, _keys(key)

    def normal(*shape: int) -> Array:
        return config.init_std * jax.random.normal(next(keys), shape, jnp.float32)

    def shift(width: int = d) -> Tree:
        return {"bias": jnp.zeros(width)}

    def affine() -> Tree:
        return {"scale": jnp.ones(d), "bias": jnp.zeros(d)}

    def layer(*, cross: bool) -> Tree:
        tree = {
            "attention": {"pre": shift(), "qkv": normal(d, 3 * d), "out": normal(d, d), "post": affine()},
            "glu": {"pre": shift(), "in": normal(d, 2 * f), "mid": shift(f), "out": normal(f, d)},
        }
        if cross:
            maps = {"q": normal(d, d), "kv": normal(d, 2 * d), "out": normal(d, d)}
            tree["cross"] = {"pre": shift(), **maps, "post": affine()}
        return tree

    def half(rows: int, length: int, layers: int, *, cross: bool) -> Tree:
        return {
            "tokens": normal(rows, d),
            "positions": normal(length, d),
            "embed_norm": affine(),
            "layers": [layer(cross=cross) for _ in range(layers)],
            "final_norm": shift(),
        }

    return {
        "encoder": half(config.text_vocab, config.text_length, config.encoder_layers, cross=False),
        "decoder": half(config.image_rows, config.image_length, config.decoder_layers, cross=True),
        "head": normal(d, config.image_rows),
    }


def _keys(key: Array) -> Any:
    while True:
        key, out = jax.random.split(key)
        yield out


def count(params: Tree) -> int:
    """Number of parameters in a tree."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def cast(params: Tree, dtype: Any) -> Tree:
    """The tree in the dtype that is to be computed in."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), params)


def encode(params: Tree, config: DalleBartConfig, text_ids: Array, mask: Array) -> Array:
    """Text -> what the decoder attends to.

    text_ids: int32 (B, T), T up to `config.text_length`; mask: bool or 0/1 (B, T), 0 for padding.
    Returns (B, T, d). A text cut to its real length gives the same as one with padding.
    """
    half = params["encoder"]
    x = _embed(half, text_ids, jnp.arange(text_ids.shape[1]))
    hidden = _hide(mask)
    for layer in half["layers"]:
        queries, memory = self_maps(layer["attention"], x, config.heads)
        x = x + _attended(layer["attention"], queries, memory, hidden)
        x = x + glu(layer["glu"], x)
    return norm(half["final_norm"], x)


def logits(params: Tree, config: DalleBartConfig, text_ids: Array, mask: Array, codes_in: Array) -> Array:
    """Logits of every code of known pictures (teacher forcing), float32 (B, S, picture vocabulary + 1).

    codes_in: int32 (B, S), the codes behind the start id and without the last one: `shift_right(codes)`.
    S may be shorter than `config.image_length`.
    """
    encoded = encode(params, config, text_ids, mask)
    half, length = params["decoder"], codes_in.shape[1]
    x = _embed(half, codes_in, jnp.arange(length))
    future = jnp.where(jnp.tril(jnp.ones((length, length), bool)), 0.0, _HIDDEN)
    hidden = _hide(mask)
    for layer in half["layers"]:
        queries, memory = self_maps(layer["attention"], x, config.heads)
        x = x + _attended(layer["attention"], queries, memory, future)
        text = cross_memory(layer["cross"], encoded, config.heads)
        x = x + cross_attention(layer["cross"], x, text, hidden)
        x = x + glu(layer["glu"], x)
    return head(params, norm(half["final_norm"], x))


def shift_right(codes: Array, config: DalleBartConfig) -> Array:
    """Codes (B, S) -> the decoder's input (B, S): start id first, last code dropped."""
    start = jnp.full((codes.shape[0], 1), config.decoder_start, codes.dtype)
    return jnp.concatenate([start, codes[:, :-1]], axis=1)


def decode_step(
    params: Tree, config: DalleBartConfig, token: Array, position: Array, *,
    past: list[Memory], crossed: list[Memory], hidden: Array,
) -> tuple[Array, list[Memory]]:  # fmt: skip
    """One position of the decoder: what stands behind the final norm, (B, d), and the longer past.

    token: int32 (B,), the one before; position: int32 scalar; past: per layer the keys and values of all
    positions, (B, heads, S, head width), of which those from `position` on are not read; crossed: per
    layer those of the text (`cross_memory`); hidden: `hide_text(mask)`.
    """
    half = params["decoder"]
    x = _embed(half, token[:, None], position[None])
    ahead = jnp.where(jnp.arange(past[0].keys.shape[2]) <= position, 0.0, _HIDDEN)
    longer = []
    for layer, before, text in zip(half["layers"], past, crossed, strict=True):
        queries, now = self_maps(layer["attention"], x, config.heads)
        memory = Memory(
            jax.lax.dynamic_update_slice_in_dim(before.keys, now.keys, position, axis=2),
            jax.lax.dynamic_update_slice_in_dim(before.values, now.values, position, axis=2),
        )
        longer.append(memory)
        x = x + _attended(layer["attention"], queries, memory, ahead)
        x = x + cross_attention(layer["cross"], x, text, hidden)
        x = x + glu(layer["glu"], x)
    return norm(half["final_norm"], x)[:, 0], longer


def empty_past(config: DalleBartConfig, batch: int, dtype: Any) -> list[Memory]:
    """The past of a decoder that has seen nothing, one entry a layer."""
    shape = (batch, config.heads, config.image_length, config.head_width)
    zeros = jnp.zeros(shape, dtype)
    return [Memory(zeros, zeros) for _ in range(config.decoder_layers)]


def crossed_memories(params: Tree, config: DalleBartConfig, encoded: Array) -> list[Memory]:
    """Keys and values of the text (B, T, d) for each layer: once a picture, not once a step."""
    return [cross_memory(layer["cross"], encoded, config.heads) for layer in params["decoder"]["layers"]]


def hide_text(mask: Array) -> Array:
    """Mask (B, T) -> float32 (B, 1, 1, T) to add to the scores of attention."""
    return _hide(mask)


# -- parts ------------------------------------------------------------------------------------------------


def norm(tree: Tree, x: Array) -> Array:
    """Layer norm over the last axis, computed in float32, returned in the dtype of `x`."""
    wide = x.astype(jnp.float32)
    centred = wide - wide.mean(-1, keepdims=True)
    out = centred * jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + EPSILON)
    if "scale" in tree:
        out = out * tree["scale"]
    return (out + tree["bias"]).astype(x.dtype)


def glu(tree: Tree, x: Array) -> Array:
    """The gated linear unit of a layer, from its first norm on; the sum with `x` is the caller's."""
    gate, value = jnp.split(norm(tree["pre"], x) @ tree["in"], 2, axis=-1)
    return norm(tree["mid"], jax.nn.gelu(gate, approximate=False) * value) @ tree["out"]


def head(params: Tree, x: Array) -> Array:
    """Output of the decoder (..., d) -> logits float32 (..., picture vocabulary + 1)."""
    return jnp.matmul(x, params["head"], preferred_element_type=jnp.float32)


def self_maps(tree: Tree, x: Array, heads: int) -> tuple[Array, Memory]:
    """(queries, keys and values) of self attention for (B, L, d), each (B, heads, L, head width)."""
    queries, keys, values = jnp.split(norm(tree["pre"], x) @ tree["qkv"], 3, axis=-1)
    return _by_head(queries, heads), Memory(_by_head(keys, heads), _by_head(values, heads))


def cross_memory(tree: Tree, encoded: Array, heads: int) -> Memory:
    """Keys and values of cross attention for an encoded text (B, T, d)."""
    keys, values = jnp.split(encoded @ tree["kv"], 2, axis=-1)
    return Memory(_by_head(keys, heads), _by_head(values, heads))


def cross_attention(tree: Tree, x: Array, memory: Memory, hidden: Array) -> Array:
    """Attention of (B, L, d) to a text's keys and values; the sum with `x` is the caller's."""
    queries = _by_head(norm(tree["pre"], x) @ tree["q"], memory.keys.shape[1])
    return _attended(tree, queries, memory, hidden)


def _embed(half: Tree, ids: Array, positions: Array) -> Array:
    return norm(half["embed_norm"], half["tokens"][ids] + half["positions"][positions])


def _hide(mask: Array) -> Array:
    return jnp.where(mask.astype(bool), 0.0, _HIDDEN)[:, None, None, :]


def _by_head(x: Array, heads: int) -> Array:
    """(B, L, d) -> (B, heads, L, d / heads)."""
    batch, length, width = x.shape
    return x.reshape(batch, length, heads, width // heads).transpose(0, 2, 1, 3)


def _attended(tree: Tree, queries: Array, memory: Memory, hidden: Array) -> Array:
    """Softmax attention, its output map and the norm behind it: (B, L, d)."""
    scale = 1.0 / math.sqrt(queries.shape[-1])
    scores = jnp.einsum("bhqc,bhkc->bhqk", queries, memory.keys, preferred_element_type=jnp.float32)
    weights = jax.nn.softmax(scores * scale + hidden, axis=-1).astype(queries.dtype)
    mixed = jnp.einsum("bhqk,bhkc->bhqc", weights, memory.values)
    batch, _, length, _ = mixed.shape
    return norm(tree["post"], mixed.transpose(0, 2, 1, 3).reshape(batch, length, -1) @ tree["out"])
