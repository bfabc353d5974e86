"""A network's state as plain arrays: what a step reads and returns, a checkpoint holds and EMA averages."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from experiments.gafi.nn.backend import Tensor
from suite.errors import BadInput


class ModelState(NamedTuple):
    """The variables of a network, in the order of `trainable_variables` and `non_trainable_variables`."""

    trainable: list[Tensor]
    other: list[Tensor]  # moving statistics of batch norm, vectors of spectral norm


def state_of(model: keras.Model) -> ModelState:
    """The current values of a built network's variables."""
    return ModelState(
        [keras.ops.copy(v.value) for v in model.trainable_variables],
        [keras.ops.copy(v.value) for v in model.non_trainable_variables],
    )


def assign(model: keras.Model, state: ModelState) -> None:
    """Write a state into the network's own variables, for users who want the Keras model."""
    for variable, value in zip(model.trainable_variables, state.trainable, strict=True):
        variable.assign(value)
    for variable, value in zip(model.non_trainable_variables, state.other, strict=True):
        variable.assign(value)


def apply(model: keras.Model, state: ModelState, *inputs: Any, training: bool) -> tuple[Any, list[Tensor]]:
    """(outputs, new `other`) of the network at `state`; its own variables are neither read nor written."""
    return model.stateless_call(state.trainable, state.other, *inputs, training=training)


def names_of(model: keras.Model) -> ModelState:
    """The variables' paths below the model in the same two lists, unique and stable: a checkpoint's names."""

    def below(variable: Any) -> str:
        return variable.path.partition("/")[2] or variable.path

    names = ModelState(
        [below(v) for v in model.trainable_variables], [below(v) for v in model.non_trainable_variables]
    )
    every = [*names.trainable, *names.other]
    if len(set(every)) != len(every):
        raise ValueError(f"variables of {model.name} share a name")
    return names


def to_arrays(model: keras.Model, state: ModelState) -> dict[str, np.ndarray]:
    """{name: array} for `save_arrays`."""
    names = names_of(model)
    pairs = zip([*names.trainable, *names.other], [*state.trainable, *state.other], strict=True)
    return {name: keras.ops.convert_to_numpy(value) for name, value in pairs}


def from_arrays(model: keras.Model, arrays: Mapping[str, np.ndarray], *, where: Path) -> ModelState:
    """The state that `to_arrays` wrote. Raises BadInput for a checkpoint of another architecture."""
    names, shapes = names_of(model), {}
    for name, variable in zip(
        [*names.trainable, *names.other],
        [*model.trainable_variables, *model.non_trainable_variables],
        strict=True,
    ):
        shapes[name] = tuple(variable.shape)
    fix = "give the settings that it was trained with, or train again"
    for name, shape in shapes.items():
        if name not in arrays:
            raise BadInput(f"checkpoint of another architecture: no `{name}`", file=where, fix=fix)
        if tuple(arrays[name].shape) != shape:
            found = "x".join(map(str, arrays[name].shape))
            want = "x".join(map(str, shape))
            raise BadInput(
                f"checkpoint of another architecture: `{name}` is {found}, not {want}", file=where, fix=fix
            )
    surplus = sorted(set(arrays) - set(shapes))
    if surplus:
        raise BadInput(f"checkpoint of another architecture: surplus `{surplus[0]}`", file=where, fix=fix)
    return ModelState(
        [keras.ops.convert_to_tensor(arrays[name]) for name in names.trainable],
        [keras.ops.convert_to_tensor(arrays[name]) for name in names.other],
    )


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write an uncompressed `.npz`, atomically. Equal arrays give equal bytes (numpy fixes the times)."""
    part = path.with_name(path.name + ".part")
    with part.open("wb") as stream:
        np.savez(stream, **arrays)
        stream.flush()
        os.fsync(stream.fileno())
    part.replace(path)


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Read what `save_arrays` wrote; nothing is unpickled. Raises BadInput."""
    try:
        with zipfile.ZipFile(path):  # numpy would read a bare .npy as well
            pass
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise BadInput("no such checkpoint", file=path, fix="train it first, or check the path") from None
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
        what = f"cannot be read as .npz ({type(error).__name__})"
        raise BadInput(what, file=path, fix="make it again") from None
