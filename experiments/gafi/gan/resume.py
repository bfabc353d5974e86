"""The training's state as arrays: everything that the next step and the files at the end depend on.

Names: `generator/...`, `discriminator/...`, `ema_generator/...` (nn/state.py below these),
`optimizer/g/0000`..., `step`, and what the running epoch's row of history.csv will be made of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops

from experiments.gafi.gan.step import LOSS_NAMES, GanState, Networks
from experiments.gafi.nn.state import ModelState, from_arrays, load_arrays, save_arrays, to_arrays
from suite.errors import BadInput

NETWORKS = ("generator", "discriminator", "ema_generator")
PARTS = (*NETWORKS, "optimizer")  # one file each in `last_epoch`
PROGRESS = "progress.npz"
FIX = "give the settings that it was trained with, or train again"


@dataclass(kw_only=True)
class Journal:
    """What was logged so far."""

    rows: list[dict[str, Any]] = field(default_factory=list)  # of history.csv, one per finished epoch
    losses: list[list[float]] = field(
        default_factory=list
    )  # of the running epoch, one of LOSS_NAMES per step


def state_arrays(networks: Networks, state: GanState) -> dict[str, np.ndarray]:
    """All arrays of a state by name."""
    arrays: dict[str, np.ndarray] = {"step": ops.convert_to_numpy(state.step)}
    for part, model, value in _parts(networks, state):
        if value.trainable:
            arrays |= {f"{part}/{name}": array for name, array in to_arrays(model, value).items()}
    for who, slots in (("g", state.g_slots), ("d", state.d_slots)):
        arrays |= {f"optimizer/{who}/{i:04d}": ops.convert_to_numpy(slot) for i, slot in enumerate(slots)}
    return arrays


def state_from(
    networks: Networks, arrays: Mapping[str, np.ndarray], like: GanState, *, where: Path
) -> GanState:
    """The state of `state_arrays`. like: a state of the same settings.

    Without slots (`save_optimizer: false`) those of `like` are taken, as the published code does. Raises
    BadInput for arrays of another architecture.
    """
    states = []
    for part, model, value in _parts(networks, like):
        below = {k.partition("/")[2]: v for k, v in arrays.items() if k.startswith(f"{part}/")}
        if not value.trainable and below:
            raise BadInput("holds an average that MODEL.apply_g_ema leaves out", file=where, fix=FIX)
        states.append(from_arrays(model, below, where=where) if value.trainable else ModelState([], []))
    slots = [_slots(arrays, who, old, where) for who, old in (("g", like.g_slots), ("d", like.d_slots))]
    if arrays.get("step", np.empty(2)).shape != ():
        raise BadInput("does not say at which step it was written", file=where, fix=FIX)
    return GanState(*states, *slots, ops.convert_to_tensor(arrays["step"], "int32"))


def _parts(networks: Networks, state: GanState) -> list[tuple[str, Any, ModelState]]:
    models = (networks.generator, networks.discriminator, networks.generator)
    return list(zip(NETWORKS, models, (state.generator, state.discriminator, state.ema), strict=True))


def _slots(arrays: Mapping[str, np.ndarray], who: str, like: list[Any], where: Path) -> list[Any]:
    if not any(name.startswith("optimizer/") for name in arrays):
        return like
    found = [arrays.get(f"optimizer/{who}/{i:04d}") for i in range(len(like))]
    for array, old in zip(found, like, strict=True):
        if array is None or array.shape != tuple(old.shape):
            raise BadInput(f"slots of another optimiser ({who})", file=where, fix=FIX)
    return [ops.convert_to_tensor(array) for array in found]


# -- one file: to go on from after a kill -------------------------------------------------------------


def save_state(path: Path, networks: Networks, state: GanState, journal: Journal) -> None:
    """Everything in one file, written whole or not at all."""
    save_arrays(path, {**state_arrays(networks, state), **_journal_arrays(journal)})


def load_state(path: Path, networks: Networks, like: GanState) -> tuple[GanState, Journal]:
    """What `save_state` wrote. Raises BadInput."""
    arrays = load_arrays(path)
    return state_from(networks, arrays, like, where=path), _journal_from(arrays, path)


def _journal_arrays(journal: Journal) -> dict[str, np.ndarray]:
    text = json.dumps(journal.rows).encode()
    return {
        "journal/rows": np.frombuffer(text, np.uint8),
        "journal/losses": np.array(journal.losses, np.float64).reshape(-1, len(LOSS_NAMES)),
    }


def _journal_from(arrays: Mapping[str, np.ndarray], where: Path) -> Journal:
    try:
        rows = json.loads(arrays["journal/rows"].tobytes())
        return Journal(rows=rows, losses=arrays["journal/losses"].tolist())
    except (KeyError, json.JSONDecodeError, UnicodeDecodeError):
        raise BadInput("holds no log of the training", file=where, fix=FIX) from None


# -- the folder `last_epoch`: a file per network ------------------------------------------------------


def save_last_epoch(
    folder: Path, networks: Networks, state: GanState, journal: Journal, *, optimizer: bool
) -> None:
    """`generator.npz`, `discriminator.npz`, `ema_generator.npz`, `optimizer.npz`, `progress.npz`."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = state_arrays(networks, state)
    for part in PARTS if optimizer else NETWORKS:
        found = {k.partition("/")[2]: v for k, v in arrays.items() if k.startswith(f"{part}/")}
        if found:
            save_arrays(folder / f"{part}.npz", found)
    save_arrays(folder / PROGRESS, {"step": arrays["step"], **_journal_arrays(journal)})


def load_last_epoch(folder: Path, networks: Networks, like: GanState) -> tuple[GanState, Journal]:
    """What `save_last_epoch` wrote; fresh slots where the optimiser was not saved. Raises BadInput."""
    arrays = dict(load_arrays(folder / PROGRESS))
    for part in PARTS:
        path = folder / f"{part}.npz"
        if path.is_file():
            arrays |= {f"{part}/{name}": array for name, array in load_arrays(path).items()}
    return state_from(networks, arrays, like, where=folder), _journal_from(arrays, folder)
