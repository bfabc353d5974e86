"""ReDO's mask network as a provider of masks: batches of pictures in, soft masks of region 0 out.

Which of the two regions is the object is decided by chance in training, so a provider of this kind
`has_polarity`: the masks of a set are flipped together where the border coverage says so (objects/masks.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from experiments.sample_synthesis.redo.data import to_input
from experiments.sample_synthesis.redo.fold import FoldedMaskNet
from experiments.sample_synthesis.redo.networks import Architecture, MaskNet
from experiments.sample_synthesis.redo.published import read_published
from suite.errors import BadInput

CPU_CALL = 8  # pictures a call on a CPU: with more, the maps leave the cache and each picture takes longer
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
INPUT_RANGES = ("ours", "published")  # [-1, 1] as in training; [0, 1] as the published synthesis feeds them
MASK = "mask.safetensors"  # what the training leaves
ENTRY = "redo-mask-network"  # the only one of the metadata: with more, their order would vary
FIX = "give the mask.safetensors of `train-redo` or a published nets_state.pth"


class RedoMasks:
    """Masks by a trained mask network (MaskProvider).

    weights: mask.safetensors of `train-redo`, or a published .pth. device: cpu, cuda. batch: pictures per
    call of the network, on a CPU at most CPU_CALL; the masks do not depend on it, nor on the other pictures
    of the batch. input_range: of INPUT_RANGES. precision: of PRECISIONS; bfloat16, which CPUs with such
    instructions compute faster, changes masks in the second digit. Raises BadInput for a file that holds no
    such network.

    With the published width and 128 pixels: 274,966 parameters (1.1 MB), and per picture 396 million products
    (487 million as the network is trained, see fold.py) and maps of 2.4 MB at most at a time and layer.
    """

    has_polarity = True

    def __init__(
        self,
        weights: str | Path,
        device: str = "cpu",
        batch: int = 32,
        *,
        input_range: str = "ours",
        precision: str = "float32",
    ) -> None:
        if input_range not in INPUT_RANGES:
            raise BadInput(f"input_range is one of {', '.join(INPUT_RANGES)}, not {input_range}")
        path = Path(weights)
        network, self.skipped = load_mask_net(path)
        self._setup(network, device, batch, input_range, precision)
        self.digest = hashlib.sha256(path.read_bytes()).hexdigest()

    @classmethod
    def from_network(
        cls,
        network: MaskNet,
        *,
        device: str = "cpu",
        batch: int = 32,
        input_range: str = "ours",
        precision: str = "float32",
    ) -> RedoMasks:
        """The provider of a network in memory; its digest is that of its tensors."""
        provider = cls.__new__(cls)
        provider.skipped = ()
        provider._setup(network, device, batch, input_range, precision)
        provider.digest = tensors_digest(network.state_dict())
        return provider

    def _setup(self, network: MaskNet, device: str, batch: int, input_range: str, precision: str) -> None:
        if batch < 1:
            raise BadInput(f"a batch of masks has at least one picture, not {batch}")
        if precision not in PRECISIONS:
            raise BadInput(f"precision is one of {', '.join(PRECISIONS)}, not {precision}")
        self.device, self.batch, self.input_range = torch.device(device), batch, input_range
        self.precision = precision
        self.network = FoldedMaskNet(network).to(self.device, PRECISIONS[precision]).eval()
        if self.device.type == "cpu":
            self.batch = min(batch, CPU_CALL)
        self.size = network.size

    @property
    def key(self) -> str:
        """Everything that decides the masks."""
        key = f"redo-{self.digest}-{self.input_range}"
        return key if self.precision == "float32" else f"{key}-{self.precision}"

    def masks(self, pictures: np.ndarray) -> np.ndarray:
        """Soft masks of region 0, float32 (n, S, S) in [0, 1], of pictures uint8 (n, S, S, 3)."""
        if pictures.dtype != np.uint8 or pictures.shape[1:] != (self.size, self.size, 3):
            raise BadInput(
                f"ReDO's mask network takes uint8 pictures of {self.size} x {self.size} x 3,"
                f" not {pictures.dtype} {pictures.shape[1:]}"
            )
        out = np.empty(pictures.shape[:3], np.float32)
        # Convolutions on CUDA would otherwise round their inputs to TF32.
        exact = torch.backends.cudnn.flags(
            enabled=True, benchmark=False, deterministic=True, allow_tf32=False
        )
        with torch.inference_mode(), exact:
            for start in range(0, len(pictures), self.batch):
                part = pictures[start : start + self.batch]
                x = to_input(part, self.input_range).to(self.device, PRECISIONS[self.precision])
                logits = self.network.logit(x)[:, 0].float() / self.network.temperature
                out[start : start + len(part)] = torch.sigmoid(logits).cpu().numpy()
        return out


# -- files ------------------------------------------------------------------------------------------------


def save_mask_net(path: Path, network: MaskNet, architecture: Architecture) -> None:
    """The network as .safetensors, with its architecture in the metadata."""
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in network.state_dict().items()}
    metadata = {ENTRY: json.dumps(asdict(architecture), sort_keys=True)}
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        save_file(plain, temporary, metadata=metadata)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def load_mask_net(path: Path) -> tuple[MaskNet, tuple[str, ...]]:
    """The network of a file and the names of what else the file holds (not read).

    .safetensors: what `save_mask_net` wrote; .pth: published weights. Raises BadInput.
    """
    if not path.is_file():
        raise BadInput("no such weights", file=path, fix=FIX)
    if path.suffix in (".pth", ".pt"):
        return read_published(path)
    if path.suffix != ".safetensors":
        raise BadInput(f"weights are .safetensors or .pth, not {path.suffix or 'without a suffix'}",
                       file=path, fix=FIX)  # fmt: skip
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except SafetensorError as error:
        raise BadInput(f"no safetensors file ({error})", file=path) from None
    if ENTRY not in metadata:
        raise BadInput("no mask network of ReDO", file=path, fix=FIX)
    network = MaskNet(_architecture(metadata[ENTRY], path))
    _load(network, tensors, path)
    return network, ()


def _architecture(text: str, path: Path) -> Architecture:
    try:
        tree = json.loads(text)
    except json.JSONDecodeError:
        tree = None
    names = {field.name for field in fields(Architecture)}
    if not isinstance(tree, dict) or set(tree) != names:
        raise BadInput("does not say which architecture it is", file=path, fix=FIX)
    return Architecture(**tree)


def _load(network: MaskNet, tensors: Mapping[str, Tensor], path: Path) -> None:
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in tensors.items()}
    if wanted != found:
        wrong = sorted(set(wanted.items()) ^ set(found.items()))[0][0]
        raise BadInput(f"weights of another architecture (tensor {wrong})", file=path, fix=FIX)
    network.load_state_dict(dict(tensors))


def tensors_digest(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over names, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name].detach().cpu().contiguous().numpy()
        digest.update(f"{name} {array.dtype} {array.shape};".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()
