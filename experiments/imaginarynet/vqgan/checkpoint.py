"""The files of a VQGAN: config.json and model.safetensors, or flax_model.msgpack as the hub has it.

Names in a safetensors file are paths of the tree: `encoder/conv_in/kernel`. msgpack holds data alone;
nothing is unpickled.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from flax import serialization
from safetensors import SafetensorError

from experiments.imaginarynet.vqgan.config import CONFIG_FILE, VQGANConfig, config_to_json, read_config
from experiments.imaginarynet.vqgan.params import flatten, shapes, unflatten
from suite.errors import BadInput, Missing

WEIGHTS, HUB_WEIGHTS = "model.safetensors", "flax_model.msgpack"
REMEDY = "fetch or make it again"


def load(folder: Path) -> tuple[VQGANConfig, dict[str, Any]]:
    """Settings and float32 parameters of the VQGAN in a folder, ours or as the hub has it.

    Raises Missing where it has no weights, BadInput where a file is damaged or belongs to another network.
    """
    folder = Path(folder)
    path = next((folder / name for name in (WEIGHTS, HUB_WEIGHTS) if (folder / name).is_file()), None)
    if path is None:
        fix = f"put {WEIGHTS} or the published {HUB_WEIGHTS} there, with its {CONFIG_FILE}"
        raise Missing("no weights of a VQGAN", file=folder, fix=fix)
    config = read_config(folder)
    flat = _read_safetensors(path) if path.name == WEIGHTS else _read_msgpack(path)
    _check(flat, config, path)
    return config, unflatten({name: jnp.asarray(array, jnp.float32) for name, array in flat.items()})


def save(folder: Path, config: VQGANConfig, params: Mapping[str, Any], *, dtype: Any = np.float16) -> None:
    """Write config.json and model.safetensors, each whole or not at all; equal weights give equal bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    flat = {name: np.ascontiguousarray(np.asarray(array, dtype)) for name, array in flatten(params).items()}
    text = json.dumps(config_to_json(config), indent=2, sort_keys=True) + "\n"
    _write(folder / CONFIG_FILE, text.encode())
    _write(folder / WEIGHTS, safetensors.numpy.save(dict(sorted(flat.items())), {"format": "flax"}))


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    try:
        return safetensors.numpy.load(path.read_bytes())
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        raise BadInput(f"no safetensors file ({type(error).__name__})", file=path, fix=REMEDY) from None


def _read_msgpack(path: Path) -> dict[str, np.ndarray]:
    try:
        tree = serialization.msgpack_restore(path.read_bytes())
    except Exception as error:  # noqa: BLE001 - msgpack has no common base for what a damaged file raises
        raise BadInput(f"no flax msgpack file ({type(error).__name__})", file=path, fix=REMEDY) from None
    if not isinstance(tree, Mapping):
        raise BadInput("holds no tree of arrays", file=path, fix=REMEDY)
    return flatten(tree.get("params", tree))


def _check(flat: Mapping[str, Any], config: VQGANConfig, path: Path) -> None:
    fix = f"the {CONFIG_FILE} beside it must be of the same network"
    wanted = shapes(config)
    for name, shape in wanted.items():
        found = flat.get(name)
        if found is None:
            raise BadInput(f"no `{name}`", file=path, fix=fix)
        if np.shape(found) != shape:
            have, want = ("x".join(map(str, size)) for size in (np.shape(found), shape))
            raise BadInput(f"`{name}` is {have}, not {want}", file=path, fix=fix)
    surplus = sorted(flat.keys() - wanted.keys())
    if surplus:
        raise BadInput(f"surplus `{surplus[0]}`", file=path, fix=fix)


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:  # a full disk names no file by itself
        temporary.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
