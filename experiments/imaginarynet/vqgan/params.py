"""The parameters of a VQGAN: their names and shapes, and fresh ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from experiments.imaginarynet.vqgan.config import VQGANConfig


def shapes(config: VQGANConfig) -> dict[str, tuple[int, ...]]:
    """{path: shape} of every parameter, in the order in which `init` draws them."""
    found = dict(_shapes_of_encoder(config))
    found |= dict(_shapes_of_decoder(config))
    found["quantize/embedding/embedding"] = (config.n_embed, config.embed_dim)
    found |= dict(_conv_shapes("quant_conv", config.z_channels, config.embed_dim, 1))
    found |= dict(_conv_shapes("post_quant_conv", config.embed_dim, config.z_channels, 1))
    return found


def init(config: VQGANConfig, key: jax.Array) -> dict[str, Any]:
    """Fresh float32 parameters: LeCun normal kernels, codebook uniform in +-1/n_embed."""
    flat = {}
    for number, (path, shape) in enumerate(shapes(config).items()):
        own = jax.random.fold_in(key, number)
        flat[path] = _initial(path, config)(own, shape)
    return unflatten(flat)


def _initial(path: str, config: VQGANConfig) -> Callable[[jax.Array, tuple[int, ...]], jax.Array]:
    kind = path.rpartition("/")[2]
    if kind == "embedding":
        bound = 1 / config.n_embed
        return lambda key, shape: jax.random.uniform(key, shape, minval=-bound, maxval=bound)
    if kind == "kernel":
        return jax.nn.initializers.lecun_normal(in_axis=-2, out_axis=-1)
    return lambda key, shape: jnp.full(shape, float(kind == "scale"))


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """{"a/b": x} as {"a": {"b": x}}."""
    tree: dict[str, Any] = {}
    for path, value in flat.items():
        *parents, leaf = path.split("/")
        node = tree
        for name in parents:
            node = node.setdefault(name, {})
        node[leaf] = value
    return tree


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"a": {"b": x}} as {"a/b": x}."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}/")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


Shapes = Iterator[tuple[str, tuple[int, ...]]]


def _shapes_of_encoder(config: VQGANConfig) -> Shapes:
    yield from _conv_shapes("encoder/conv_in", config.in_channels, config.ch)
    before = config.ch
    for level, width in enumerate(config.widths):
        name = f"encoder/down_{level}"
        yield from _level_shapes(name, config, before, level=level, blocks=config.num_res_blocks)
        if level < len(config.widths) - 1:
            yield from _conv_shapes(f"{name}/downsample/conv", width, width)
        before = width
    yield from _middle_shapes("encoder/mid", before)
    yield from _head_shapes("encoder", before, config.z_channels)


def _shapes_of_decoder(config: VQGANConfig) -> Shapes:
    before = config.widths[-1]
    yield from _conv_shapes("decoder/conv_in", config.z_channels, before)
    yield from _middle_shapes("decoder/mid", before)
    for level in reversed(range(len(config.widths))):
        width, name = config.widths[level], f"decoder/up_{level}"
        yield from _level_shapes(name, config, before, level=level, blocks=config.num_res_blocks + 1)
        if level:
            yield from _conv_shapes(f"{name}/upsample/conv", width, width)
        before = width
    yield from _head_shapes("decoder", before, config.out_ch)


def _level_shapes(name: str, config: VQGANConfig, before: int, *, level: int, blocks: int) -> Shapes:
    width = config.widths[level]
    for i in range(blocks):
        yield from _residual_shapes(f"{name}/block_{i}", before if i == 0 else width, width)
        if config.has_attention(level):
            yield from _attention_shapes(f"{name}/attn_{i}", width)


def _middle_shapes(name: str, width: int) -> Shapes:
    yield from _residual_shapes(f"{name}/block_1", width, width)
    yield from _attention_shapes(f"{name}/attn_1", width)
    yield from _residual_shapes(f"{name}/block_2", width, width)


def _head_shapes(name: str, width: int, outputs: int) -> Shapes:
    yield from _norm_shapes(f"{name}/norm_out", width)
    yield from _conv_shapes(f"{name}/conv_out", width, outputs)


def _residual_shapes(name: str, inputs: int, outputs: int) -> Shapes:
    yield from _norm_shapes(f"{name}/norm1", inputs)
    yield from _conv_shapes(f"{name}/conv1", inputs, outputs)
    yield from _norm_shapes(f"{name}/norm2", outputs)
    yield from _conv_shapes(f"{name}/conv2", outputs, outputs)
    if inputs != outputs:
        yield from _conv_shapes(f"{name}/nin_shortcut", inputs, outputs, 1)


def _attention_shapes(name: str, width: int) -> Shapes:
    yield from _norm_shapes(f"{name}/norm", width)
    for part in ("q", "k", "v", "proj_out"):
        yield from _conv_shapes(f"{name}/{part}", width, width, 1)


def _conv_shapes(name: str, inputs: int, outputs: int, side: int = 3) -> Shapes:
    yield f"{name}/kernel", (side, side, inputs, outputs)
    yield f"{name}/bias", (outputs,)


def _norm_shapes(name: str, width: int) -> Shapes:
    yield f"{name}/scale", (width,)
    yield f"{name}/bias", (width,)
