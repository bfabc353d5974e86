"""Reading a checkpoint of others: tensors by name, nothing unpickled."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from suite.errors import BadInput

STATES = ("model", "state_dict", "model_state_dict")  # where a training's checkpoint keeps the network
WRAPPER = "module."  # DataParallel's, before every name
PICKLED = (".pkl", ".pickle", ".caffemodel")
FORMS = "give a .pth, .pt or .safetensors file that holds tensors and plain values"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The network's tensors, and what else the file held, as lines."""

    file: Path
    tensors: Mapping[str, Tensor]
    left_out: tuple[str, ...] = ()  # "optimizer: 12 tensors, no part of the network"


def read_checkpoint(path: Path) -> Checkpoint:
    """Tensors of a .pth, .pt or .safetensors file, by name, without the wrapper `module.`.

    Raises BadInput with the reason where it holds none, is damaged, or holds what only unpickling could read.
    """
    path = Path(path)
    if path.suffix in PICKLED:
        raise BadInput(f"{path.suffix} is a pickle, and runs the code in it when read", file=path, fix=FORMS)
    tree = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    if not isinstance(tree, Mapping):
        raise BadInput(f"holds a {type(tree).__name__}, no named tensors", file=path, fix=FORMS)
    key = next((name for name in STATES if isinstance(tree.get(name), Mapping)), None)
    state = tree if key is None else tree[key]
    tensors = {str(name): value for name, value in state.items() if torch.is_tensor(value)}
    if not tensors:
        raise BadInput("holds no named tensors", file=path, fix=FORMS)
    rest = {name: value for name, value in state.items() if not torch.is_tensor(value)}
    if key is not None:
        rest |= {name: value for name, value in tree.items() if name != key}
    if all(name.startswith(WRAPPER) for name in tensors):
        tensors = {name.removeprefix(WRAPPER): value for name, value in tensors.items()}
    return Checkpoint(path, tensors, tuple(_told(name, value) for name, value in sorted(rest.items())))


def _told(name: Any, value: Any) -> str:
    count = _count_tensors(value)
    return f"{name}: {f'{count} tensors, ' if count else ''}no part of the network"


def _count_tensors(value: Any) -> int:
    if torch.is_tensor(value):
        return 1
    if isinstance(value, Mapping):
        return sum(map(_count_tensors, value.values()))
    return sum(map(_count_tensors, value)) if isinstance(value, (list, tuple)) else 0


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if not path.is_file():
        raise BadInput("no such file", file=path, fix="check the path")
    try:
        return load_file(str(path))
    except (SafetensorError, OSError, ValueError) as error:
        what = f"cannot be read as safetensors ({type(error).__name__})"
        raise BadInput(what, file=path, fix="copy it again") from None


def _read_torch(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (FileNotFoundError, IsADirectoryError):
        raise BadInput("no such file", file=path, fix="check the path") from None
    except pickle.UnpicklingError as error:
        raise BadInput(_reason(str(error)), file=path, fix=FORMS) from None
    # What torch raises for a file that is damaged, or none of its own, depends on where it notices.
    except (RuntimeError, EOFError, ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        what = f"cannot be read as a PyTorch checkpoint ({type(error).__name__})"
        raise BadInput(what, file=path, fix="copy it again") from None


def _reason(text: str) -> str:
    """Of torch's refusal, many lines long, what it refused."""
    found = re.search(r"(?:GLOBAL|global:?|class|function)\s+`?([\w.]+\.[\w.]+)`?", text)
    if found:
        return f"holds {found[1]}, which only unpickling could read, and that runs the file's own code"
    return "holds more than tensors and plain values, or is damaged, and is not unpickled"
