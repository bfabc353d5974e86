"""Parameters of DalleBart on the disk: safetensors of our own, and the published Flax msgpack.

    config, params = load_model(folder, dtype="float32")

A folder holds config.json and model.safetensors (`save_model`), or flax_model.msgpack as published, with the
layers one by one or stacked. msgpack holds plain arrays; nothing is ever unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.imaginarynet.dallebart import model
from experiments.imaginarynet.dallebart.config import DalleBartConfig, read_config, write_config
from suite.errors import BadInput, Missing

WEIGHTS, PUBLISHED = "model.safetensors", "flax_model.msgpack"
FIX = "fetch or make it again"
Flat = dict[str, np.ndarray]

# Our name in a layer -> published names below the layer, joined along the last axis.
_BLOCKS = {
    "attention.pre.bias": ("LayerNorm_0/bias",),
    "attention.qkv": tuple(f"FlaxBartAttention_0/{x}_proj/kernel" for x in "qkv"),
    "attention.out": ("FlaxBartAttention_0/out_proj/kernel",),
    "attention.post.scale": ("LayerNorm_1/scale",),
    "attention.post.bias": ("LayerNorm_1/bias",),
    "cross.pre.bias": ("LayerNorm_2/bias",),
    "cross.q": ("FlaxBartAttention_1/q_proj/kernel",),
    "cross.kv": tuple(f"FlaxBartAttention_1/{x}_proj/kernel" for x in "kv"),
    "cross.out": ("FlaxBartAttention_1/out_proj/kernel",),
    "cross.post.scale": ("LayerNorm_3/scale",),
    "cross.post.bias": ("LayerNorm_3/bias",),
    "glu.pre.bias": ("GLU_0/LayerNorm_0/bias",),
    "glu.in": ("GLU_0/Dense_0/kernel", "GLU_0/Dense_1/kernel"),
    "glu.mid.bias": ("GLU_0/LayerNorm_1/bias",),
    "glu.out": ("GLU_0/Dense_2/kernel",),
}
_AROUND = {
    "tokens": "embed_tokens/embedding",
    "positions": "embed_positions/embedding",
    "embed_norm.scale": "layernorm_embedding/scale",
    "embed_norm.bias": "layernorm_embedding/bias",
    "final_norm.bias": "final_ln/bias",
}


def weights_file(folder: Path) -> Path:
    """The file of parameters in `folder`; Missing where there is none."""
    for name in (WEIGHTS, PUBLISHED):
        if (folder / name).is_file():
            return folder / name
    raise Missing("no such file", file=folder / PUBLISHED, fix=f"put it or {WEIGHTS} there, and config.json")


def load_model(folder: Path, dtype: str = "float32") -> tuple[DalleBartConfig, model.Tree]:
    """(sizes, parameters in `dtype`) of a folder, ours or published.

    Raises Missing naming the file that is to be put there, BadInput for a damaged one and for parameters
    that are not of the sizes in config.json.
    """
    path = weights_file(folder)
    config = read_config(folder)
    flat = read_safetensors(path) if path.name == WEIGHTS else from_published(read_msgpack(path), path)
    return config, unflatten(flat, config, dtype=dtype, where=path)


def save_model(folder: Path, config: DalleBartConfig, params: model.Tree, *, dtype: str = "float16") -> Path:
    """Write config.json and model.safetensors, in `dtype`; returns the latter."""
    from safetensors.numpy import save

    folder.mkdir(parents=True, exist_ok=True)
    write_config(config, folder)
    flat = {name: np.ascontiguousarray(leaf, dtype) for name, leaf in flatten(params).items()}
    path = folder / WEIGHTS
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        temporary.write_bytes(save(flat))
        temporary.replace(path)
    except OSError as error:  # a full disk names no file by itself
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    return path


def flatten(params: model.Tree) -> Flat:
    """The tree as {"decoder.layers.0.cross.kv": array}."""
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    return {".".join(str(getattr(k, "key", getattr(k, "idx", ""))) for k in path): np.asarray(leaf)
            for path, leaf in leaves}  # fmt: skip


def unflatten(
    flat: Mapping[str, np.ndarray], config: DalleBartConfig, *, dtype: str, where: Path
) -> model.Tree:
    """The tree of `flatten`. Raises BadInput where names or shapes are not those of the sizes."""
    wanted = jax.eval_shape(lambda: model.init_params(config, jax.random.key(0)))
    leaves, form = jax.tree_util.tree_flatten(wanted)
    names = list(flatten_names(wanted))
    if unknown := sorted(set(flat) - set(names)):
        raise BadInput(f"holds `{unknown[0]}`, which the sizes in config.json have no place for", file=where)
    found = []
    for name, leaf in zip(names, leaves, strict=True):
        if name not in flat:
            raise BadInput(f"holds no `{name}`", file=where, fix="take the config.json that belongs to it")
        if flat[name].shape != leaf.shape:
            raise BadInput(
                f"`{name}` is {flat[name].shape}, by config.json {leaf.shape}",
                file=where,
                fix="take the config.json that belongs to it",
            )
        found.append(jnp.asarray(flat[name], dtype))
    return jax.tree_util.tree_unflatten(form, found)


def flatten_names(tree: model.Tree) -> list[str]:
    """Names of the leaves, in the order of `jax.tree.leaves`."""
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(tree)[0]]
    return [".".join(str(getattr(k, "key", getattr(k, "idx", ""))) for k in path) for path in paths]


def read_safetensors(path: Path) -> Flat:
    """All arrays of a safetensors file. Raises BadInput where it is damaged."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise BadInput(f"is no whole safetensors file ({type(error).__name__})", file=path, fix=FIX) from None


def read_msgpack(path: Path) -> dict[str, Any]:
    """The nested dicts of arrays in a Flax msgpack file. Raises BadInput where it is damaged."""
    from flax.serialization import msgpack_restore

    try:
        tree = msgpack_restore(path.read_bytes())
    except Exception as error:  # noqa: BLE001 - msgpack's errors and numpy's have no common class
        raise BadInput(f"is no whole msgpack file ({type(error).__name__})", file=path, fix=FIX) from None
    if not isinstance(tree, dict):
        raise BadInput("is no tree of arrays", file=path, fix=FIX)
    return tree.get("params", tree)


# -- published layout --------------------------------------------------------------------------------------


def from_published(tree: Mapping[str, Any], where: Path) -> Flat:
    """Published parameters -> our flat names; layers may be stacked (`...Layers`) or one by one."""
    flat = _join(tree)
    out: Flat = {}
    try:
        out["head"] = flat["lm_head/kernel"]
        for half, kind in (("encoder", "Encoder"), ("decoder", "Decoder")):
            for ours, theirs in _AROUND.items():
                out[f"{half}.{ours}"] = flat[f"model/{half}/{theirs}"]
            for index, layer in enumerate(_layers(flat, half, kind)):
                for ours, theirs in _BLOCKS.items():
                    if half == "decoder" or not ours.startswith("cross."):
                        parts = [layer[name] for name in theirs]
                        out[f"{half}.layers.{index}.{ours}"] = np.concatenate(parts, axis=-1)
    except KeyError as error:
        raise BadInput(f"holds no `{error.args[0]}`", file=where, fix="take a model of DALL-E mini") from None
    return out


def to_published(params: model.Tree, config: DalleBartConfig, *, stacked: bool) -> dict[str, Any]:
    """Our parameters as nested dicts under the published names."""
    flat = flatten(params)
    out: dict[str, np.ndarray] = {"lm_head/kernel": flat["head"]}
    counts = {"encoder": config.encoder_layers, "decoder": config.decoder_layers}
    for half, count in counts.items():
        for ours, theirs in _AROUND.items():
            out[f"model/{half}/{theirs}"] = flat[f"{half}.{ours}"]
        stem = f"model/{half}/layers/FlaxBart{half.title()}Layer"
        for ours, theirs in _BLOCKS.items():
            if half == "encoder" and ours.startswith("cross."):
                continue
            for part, name in enumerate(theirs):
                each = [
                    np.split(flat[f"{half}.layers.{i}.{ours}"], len(theirs), axis=-1)[part]
                    for i in range(count)
                ]
                if stacked:
                    out[f"{stem}s/{name}"] = np.stack(each)
                else:
                    out.update({f"{stem}_{i}/{name}": array for i, array in enumerate(each)})
    return _nest(out)


def _layers(flat: Flat, half: str, kind: str) -> list[Flat]:
    stem = f"model/{half}/layers/FlaxBart{kind}Layer"
    stacked = {name.removeprefix(f"{stem}s/"): a for name, a in flat.items() if name.startswith(f"{stem}s/")}
    if stacked:
        depth = len(next(iter(stacked.values())))
        return [{name: array[i] for name, array in stacked.items()} for i in range(depth)]
    layers: list[Flat] = []
    while True:
        place = f"{stem}_{len(layers)}/"
        layer = {name.removeprefix(place): a for name, a in flat.items() if name.startswith(place)}
        if not layer:
            break
        layers.append(layer)
    if not layers:
        raise KeyError(f"{stem}_0")
    return layers


def _join(tree: Mapping[str, Any], above: str = "") -> Flat:
    out: Flat = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            out.update(_join(value, f"{above}{name}/"))
        else:
            out[f"{above}{name}"] = np.asarray(value)
    return out


def _nest(flat: Flat) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for path, array in flat.items():
        *folders, name = path.split("/")
        place = tree
        for folder in folders:
            place = place.setdefault(folder, {})
        place[name] = array
    return tree
