"""Checkpoints and model files. Nothing is ever unpickled: `weights_only` loading, or safetensors."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from suite.errors import BadInput

_UNREADABLE = (RuntimeError, pickle.UnpicklingError, zipfile.BadZipFile, EOFError, ValueError, KeyError)


class Stateful(Protocol):
    """A model, an optimiser, a scheduler, a loss scaler."""

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state: Mapping[str, Any]) -> Any: ...


class NormStatistics:
    """The running statistics of a model's batch norms as state of its own.

    Without SyncBN each rank has its own ones, but only rank 0's model is in a checkpoint.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def state_dict(self) -> dict[str, torch.Tensor]:
        kinds = nn.modules.batchnorm._BatchNorm
        return {
            f"{name}.{key}": value
            for name, module in self.model.named_modules()
            if isinstance(module, kinds)
            for key, value in module.named_buffers(recurse=False)
        }

    def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
        mine = self.state_dict()
        if set(mine) != set(state):
            raise BadInput("the checkpoint's batch norms are not those of this model")
        for name, value in mine.items():
            value.copy_(state[name])


def save_checkpoint(path: Path, state: Mapping[str, Any]) -> None:
    """Write to a temporary name, flush to the disk, rename: the file is whole or absent."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            torch.save(dict(state), stream)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_checkpoint(path: Path, *, mmap: bool = False) -> dict[str, Any]:
    """The state on the CPU; BadInput for a file that is damaged or holds more than tensors and plain values.

    mmap: leave the tensors on the disk until they are read.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except _UNREADABLE as error:
        first = str(error).strip().split("\n", 1)[0]
        raise BadInput(
            f"no readable checkpoint ({type(error).__name__}: {first})",
            file=path,
            fix="delete it to start from the beginning",
        ) from None


def save_model(path: Path, tensors: Mapping[str, torch.Tensor]) -> None:
    """`path` (.pth, {"model": tensors}, as detectron2 loads it) and the same as .safetensors beside it."""
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    save_checkpoint(path, {"model": plain})
    beside = path.with_suffix(".safetensors")
    temporary = beside.with_name(f".{beside.name}.{os.getpid()}.tmp")
    try:
        save_file(plain, temporary)
        temporary.replace(beside)
    finally:
        temporary.unlink(missing_ok=True)


def load_model_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The named tensors of a model file on the CPU: .safetensors, or .pth/.pt/.bin of tensors only.

    Accepts {"model": {...}}, {"state_dict": {...}} and the bare mapping. BadInput for a missing file, for
    pickles (.pkl: loading one runs whatever is in it) and for files without named tensors.
    """
    return named_tensors(load_model_file(path), path)


def load_model_file(path: Path) -> Any:
    """All that a model file holds, on the CPU; the errors of `load_model_tensors`."""
    if not path.is_file():
        raise BadInput("no such checkpoint", file=path, fix="give the path of a .pth or .safetensors file")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise BadInput(f"no safetensors file ({error})", file=path) from None
    if path.suffix in (".pkl", ".pickle"):
        raise BadInput(
            "pickles are not read, because loading one runs the code in it",
            file=path,
            fix="save the tensors as .safetensors or by torch.save where you trust the file",
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        raise BadInput(
            f"holds more than tensors{f' ({found[1]})' if found else ''}, or is no checkpoint; such a pickle"
            " is not read, because loading it runs the code in it",
            file=path,
            fix="save its tensors alone, as .safetensors or by torch.save",
        ) from None
    except (RuntimeError, zipfile.BadZipFile, EOFError, ValueError) as error:
        first = str(error).strip().split("\n", 1)[0] or type(error).__name__
        fix = "copy or download it again"
        raise BadInput(f"no readable checkpoint ({first})", file=path, fix=fix) from None


def named_tensors(tree: Any, path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a loaded file: of "model", of "state_dict", or of the mapping itself."""
    for key in ("model", "state_dict"):
        if isinstance(tree, Mapping) and isinstance(tree.get(key), Mapping):
            tree = tree[key]
            break
    tensors = {k: v for k, v in tree.items() if torch.is_tensor(v)} if isinstance(tree, Mapping) else {}
    if not tensors:
        raise BadInput("holds no named tensors", file=path)
    return tensors
