"""Checkpoints: tensors and plain types in one file, written whole or not at all, read without running code.

`last.pt` holds all that the next step depends on; `best.pt` is the copy with the highest validation AP.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from experiments.dense_detector.config import DenseConfig
from suite.config import to_tree
from suite.errors import BadInput

LAST, BEST = "last.pt", "best.pt"
FORMAT = 1  # of the mapping below; a reader refuses newer ones
KEYS = {
    "format",
    "model",  # state dict
    "optimiser",  # state dict
    "scaler",  # state dict of the loss scaling; {} without it
    "step",  # steps done
    "rng",  # states of torch's generators: {"cpu": uint8 tensor, "cuda": [...]}
    "config",  # DenseConfig as a tree
    "classes",  # [[category id, name], ...] by label
    "shapes",  # (A, 2) widths and heights of the anchors
    "best",  # {"step", "ap", "ap50"} of best.pt; None before the first validation
    "journal",  # {file name: bytes}: what metrics.jsonl and the event file held then
    "seed",
    "database",  # SHA-256 of the annotation database
}


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write to a temporary name, flush to the disk, rename: a kill leaves the old file or the new one."""
    temporary = path.with_name(f".{path.name}.tmp")
    with temporary.open("wb") as stream:
        torch.save(with_shared_strings({"format": FORMAT, **state}), stream)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def with_shared_strings(tree: Any) -> Any:
    """The same tree with one object for all equal strings: pickle writes an object once, so that a run that
    went on from a loaded checkpoint would otherwise leave other bytes than an undisturbed one.
    """
    if isinstance(tree, str):
        return sys.intern(tree)
    if type(tree) is dict:
        return {with_shared_strings(key): with_shared_strings(value) for key, value in tree.items()}
    if type(tree) in (list, tuple):
        return type(tree)(map(with_shared_strings, tree))
    return tree


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The mapping of KEYS, on the CPU. Raises BadInput for a missing, cut off or foreign file."""
    fix = "name a best.pt or last.pt that `train` wrote"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise BadInput("no such checkpoint", file=path, fix=fix) from None
    except IsADirectoryError:
        raise BadInput("is a folder, not a checkpoint", file=path, fix=fix) from None
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError):
        raise BadInput("not a checkpoint, or cut off", file=path, fix=fix) from None
    if not isinstance(state, dict) or set(state) != KEYS:
        raise BadInput("not a checkpoint of the dense detector", file=path, fix=fix)
    if state["format"] > FORMAT:
        raise BadInput(
            f"checkpoint format {state['format']}, this code reads up to {FORMAT}", file=path, fix="update"
        )
    return state


def rng_state() -> dict[str, Any]:
    """States of torch's generators."""
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def restore_rng(state: Mapping[str, Any]) -> None:
    """Put them back; those of GPUs only where there are as many."""
    torch.set_rng_state(state["cpu"])
    if len(state["cuda"]) == torch.cuda.device_count():
        for device, value in enumerate(state["cuda"]):
            torch.cuda.set_rng_state(value, device)


def check_same_run(state: Mapping[str, Any], config: DenseConfig, seed: int, path: Path) -> None:
    """BadInput unless a checkpoint was made with these settings; where to stop may differ."""
    here, there = _fixed(to_tree(config)), _fixed(state["config"])
    changed = [key for key in here if here[key] != there.get(key)]
    if state["seed"] != seed:
        changed.append("seed")
    if changed:
        what = f"was made with other settings: {', '.join(changed[:5])}"
        raise BadInput(what, file=path, fix="use the same ones, or another --out")


def _fixed(tree: Mapping[str, Any]) -> dict[str, Any]:
    """What must not change between the start of a run and its end, by dotted key."""
    free = {"train.max_steps", "train.variants", "data.workers", "data.cache"}
    flat = {f"{section}.{key}": value for section, part in tree.items() for key, value in part.items()}
    return {key: value for key, value in flat.items() if key not in free and not key.startswith("compare.")}
