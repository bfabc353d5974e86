"""Published weights of ReDO's mask network: their names, read into ours.

A published file (torch.save of a dict) holds the state dict of the mask network under `netEncM`, those of the
other networks beside it, and the options of its training. Nothing is unpickled but tensors, plain values and
`argparse.Namespace`, which is what the options are. The width and the number of residual blocks are read
from the tensors; the side and the temperature from the options.
"""

from __future__ import annotations

import argparse
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from experiments.sample_synthesis.redo.networks import POOLS, Architecture, MaskNet
from suite.errors import BadInput

MASK = "netEncM"
OPTIONS = "options"
PUBLISHED_SIZE, PUBLISHED_TEMPERATURE = 128, 1.0
FIX = "give a file that the published training wrote, with the mask network's tensors under netEncM"
_UNREADABLE = (RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, EOFError, ValueError, KeyError)


def published_names(residual_blocks: int) -> dict[str, str]:
    """{published name: name in MaskNet} of every tensor of the mask network."""
    names: dict[str, str] = {}

    def add(theirs: str, ours: str, *, bias: bool) -> None:
        for part in ("weight", "bias") if bias else ("weight",):
            names[f"{theirs}.{part}"] = f"{ours}.{part}"

    for i in range(3):  # of the first sequence: pad, then (convolution, norm, ReLU) three times
        add(f"cnn.0.mods.{1 + 3 * i}", f"down.{i}.1", bias=False)
        add(f"cnn.0.mods.{2 + 3 * i}", f"down.{i}.2", bias=True)
    for i in range(residual_blocks):
        add(f"cnn.{i + 1}.blocs.0", f"residual.{i}.first.1", bias=False)
        add(f"cnn.{i + 1}.blocs.1", f"residual.{i}.first.2", bias=True)
        add(f"cnn.{i + 1}.blocs.3", f"residual.{i}.second", bias=True)
        add(f"cnn.{i + 1}.activationF.0", f"residual.{i}.norm", bias=True)
    for i in range(len(POOLS)):
        add(f"psp.{i}.1", f"pyramid.reduce.{i}", bias=True)
    for i in range(2):  # (enlargement, convolution, norm, ReLU) twice
        add(f"out.mods.{1 + 4 * i}", f"up.{i}.1", bias=False)
        add(f"out.mods.{2 + 4 * i}", f"up.{i}.2", bias=True)
    add("out.mods.9", "head.1", bias=True)
    return names


def read_published(path: Path) -> tuple[MaskNet, tuple[str, ...]]:
    """The mask network of a published file, and the names of everything else in the file.

    Raises BadInput where the file cannot be read without running code, holds no mask network of two regions,
    or a tensor is missing, unknown or of another shape: each with the name.
    """
    tree = _load(path)
    mask = _mask_tensors(tree, path)
    others = {} if mask is tree else {name: value for name, value in tree.items() if name != MASK}
    skipped = tuple(_other_names(others))
    first = mask.get("cnn.0.mods.7.weight")
    if first is None or first.ndim != 4:
        raise BadInput(
            "the mask network lacks cnn.0.mods.7.weight, which tells its width", file=path, fix=FIX
        )
    blocks = len({name.split(".")[1] for name in mask if name.startswith("cnn.")}) - 1
    options = tree.get(OPTIONS)
    architecture = Architecture(
        size=int(_option(options, "sizex", PUBLISHED_SIZE)),
        nf_mask=first.shape[0],
        residual_blocks=blocks,
        temperature=float(_option(options, "temperature", PUBLISHED_TEMPERATURE)),
    )
    network = MaskNet(architecture)
    network.load_state_dict(_renamed(mask, network, blocks, path))
    return network, skipped


def _load(path: Path) -> Mapping[str, Any]:
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            tree = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        first = str(error).strip().split("\n", 1)[0]
        raise BadInput(f"cannot be read without running code in it ({first})", file=path, fix=FIX) from None
    if not isinstance(tree, Mapping):
        raise BadInput(f"holds a {type(tree).__name__}, no named tensors", file=path, fix=FIX)
    return tree


def _mask_tensors(tree: Mapping[str, Any], path: Path) -> Mapping[str, Tensor]:
    """The mask network's state dict: under its name, or the file is that dict alone."""
    found = tree.get(MASK, tree if "cnn.0.mods.1.weight" in tree else None)
    if not isinstance(found, Mapping) or not all(torch.is_tensor(value) for value in found.values()):
        held = ", ".join(map(str, tree)) or "nothing"
        raise BadInput(f"holds no mask network ({MASK}), but {held}", file=path, fix=FIX)
    return found


def _other_names(tree: Mapping[str, Any]) -> list[str]:
    names = []
    for name, value in tree.items():
        inner = isinstance(value, Mapping)
        names += [f"{name}.{below}" for below in value] if inner else [str(name)]
    return names


def _option(options: Any, name: str, default: float) -> float:
    values = vars(options) if isinstance(options, argparse.Namespace) else options
    return values.get(name, default) if isinstance(values, Mapping) else default


def _renamed(mask: Mapping[str, Tensor], network: MaskNet, blocks: int, path: Path) -> dict[str, Tensor]:
    names, wanted = published_names(blocks), network.state_dict()
    unknown, missing = sorted(set(mask) - set(names)), sorted(set(names) - set(mask))
    if unknown or missing:
        raise BadInput(
            f"not the published mask network: missing {', '.join(missing) or 'nothing'};"
            f" unknown {', '.join(unknown) or 'nothing'}", file=path, fix=FIX,
        )  # fmt: skip
    for theirs, ours in names.items():
        if mask[theirs].shape != wanted[ours].shape:
            raise BadInput(
                f"tensor {theirs} is {tuple(mask[theirs].shape)}, not {tuple(wanted[ours].shape)}",
                file=path, fix="masks of two regions of 3-channel pictures are read, no others",
            )  # fmt: skip
    return {ours: mask[theirs].float() for theirs, ours in names.items()}
