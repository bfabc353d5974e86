"""Weights and the state of a training as named arrays in one `.npz`, written whole or not at all.

A file of weights holds every variable of a detector under its path, and `meta`: its architecture and image
size. A state holds weights, Adam's slots, the best weights so far and the position. Nothing is unpickled;
the archive's checksums tell a damaged file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from suite.arrays import read_arrays, write_arrays
from suite.errors import BadInput

if TYPE_CHECKING:
    import keras

Arrays = Mapping[str, np.ndarray]
META = "meta"
SCHEMA = 1


# --- the variables of a model ---


def variable_names(model: keras.Model) -> list[str]:
    """The paths of `model.variables`: a checkpoint's names."""
    names = [variable.path for variable in model.variables]
    if len(set(names)) != len(names):
        raise ValueError(f"variables of {model.name} share a name")
    return names


def weights_of(model: keras.Model) -> dict[str, np.ndarray]:
    """{name: array} of every variable, moving statistics included."""
    return {n: to_host(v) for n, v in zip(variable_names(model), model.variables, strict=True)}


def to_host(variable: keras.Variable) -> np.ndarray:
    """A copy of a variable's value."""
    return np.array(variable.value.numpy())


def assign_weights(model: keras.Model, arrays: Arrays, *, where: Path | str) -> None:
    """Write `arrays` into the model. Raises BadInput naming `where` for those of another architecture."""
    names = variable_names(model)
    fix = "give the weights of this architecture, or train them"
    for name, variable in zip(names, model.variables, strict=True):
        found = arrays.get(name)
        if found is None:
            raise BadInput(f"weights of another architecture: no `{name}`", file=where, fix=fix)
        if found.shape != tuple(variable.shape):
            have, want = ("x".join(map(str, shape)) for shape in (found.shape, variable.shape))
            what = f"weights of another architecture: `{name}` is {have}, not {want}"
            raise BadInput(what, file=where, fix=fix)
    surplus = sorted(set(arrays) - set(names))
    if surplus:
        raise BadInput(f"weights of another architecture: surplus `{surplus[0]}`", file=where, fix=fix)
    for name, variable in zip(names, model.variables, strict=True):
        variable.assign(arrays[name])


def digest(arrays: Arrays) -> str:
    """SHA-256, hex, of names, shapes, dtypes and bytes; the order of the names does not matter."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


# --- files ---


@dataclass(frozen=True, eq=False)
class Weights:
    """A trained detector's variables and what they belong to."""

    arrays: dict[str, np.ndarray]
    arch: str
    image_size: int


def write_weights(path: Path, weights: Weights) -> None:
    """Write weights; equal ones give equal bytes."""
    meta = {"schema": SCHEMA, "arch": weights.arch, "image_size": weights.image_size}
    write_arrays(path, **{META: _text(meta)}, **weights.arrays)


def read_weights(path: Path, *, arch: str | None = None) -> Weights:
    """What `write_weights` wrote. Raises BadInput; arch: the architecture that it must be of."""
    arrays = read_arrays(path)
    meta = _meta(arrays)
    if meta is None or {"arch", "image_size"} - meta.keys():
        raise BadInput("no weights of a detector", file=path, fix="give a weights.npz that `train` wrote")
    if arch is not None and meta["arch"] != arch:
        what = f"weights of another architecture: {meta['arch']}, not {arch}"
        raise BadInput(what, file=path, fix=f"say --arch {meta['arch']}, or give weights of {arch}")
    return Weights(arrays, meta["arch"], meta["image_size"])


def _text(tree: Any) -> np.ndarray:
    return np.array(json.dumps(tree, sort_keys=True))


def _meta(arrays: dict[str, np.ndarray]) -> dict[str, Any] | None:
    """`meta` of an archive, taken out of it; None where there is none."""
    text = arrays.pop(META, None)
    if text is None or text.dtype.kind != "U" or text.ndim:
        return None
    try:
        tree = json.loads(str(text))
    except json.JSONDecodeError:
        return None
    return tree if isinstance(tree, dict) and tree.get("schema") == SCHEMA else None


# --- the state of a training ---


@dataclass(frozen=True, eq=False)
class State:
    """Where a training stands after `step` steps."""

    step: int
    weights: dict[str, np.ndarray]
    slots: list[np.ndarray]  # of the optimiser, in its own order
    best: dict[str, np.ndarray]  # the chosen epoch's weights so far; empty before the first epoch's end
    losses: np.ndarray  # float32 (steps of the epoch at hand, 3): class, box, L2
    history: list[dict[str, Any]]  # of the finished epochs


def write_state(path: Path, state: State, identity: Mapping[str, Any]) -> None:
    """Write a state; `identity` says of which training."""
    meta = {"schema": SCHEMA, "identity": dict(identity), "step": state.step, "history": state.history}
    arrays = {f"weights/{name}": array for name, array in state.weights.items()}
    arrays |= {f"slots/{i:05d}": array for i, array in enumerate(state.slots)}
    arrays |= {f"best/{name}": array for name, array in state.best.items()}
    write_arrays(path, **{META: _text(meta), "losses": state.losses}, **arrays)


def read_state(path: Path, identity: Mapping[str, Any]) -> State | None:
    """The state that `write_state` wrote; None where there is none, or none of this training that is whole.

    A damaged state costs time only: the training begins anew and ends with the same bytes.
    """
    if not path.is_file():
        return None
    try:
        arrays = read_arrays(path)
    except BadInput:
        return None
    meta = _meta(arrays)
    if meta is None or meta["identity"] != json.loads(json.dumps(dict(identity))):
        return None
    parts: dict[str, dict[str, np.ndarray]] = {"weights": {}, "slots": {}, "best": {}}
    losses = arrays.pop("losses")
    for name, array in arrays.items():
        part, _, rest = name.partition("/")
        parts[part][rest] = array
    slots = [parts["slots"][name] for name in sorted(parts["slots"])]
    return State(meta["step"], parts["weights"], slots, parts["best"], losses, meta["history"])
