"""What every trained detector offers, and the folder in which one is kept.

    detector = load_detector(Path("runs/imaginarynet/smoke/seed0/train-isod-oicr"), "cpu")
    found = detector.detect(picture, proposals)
    found.boxes, found.scores, found.labels       # labels index detector.class_names

A folder of a detector holds `model.safetensors` (all tensors by name) and `detector.json` (kind, class names,
the settings that rebuild the network). Nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from experiments.imaginarynet.arms import RUN_ONLY
from suite.errors import BadInput, Missing
from suite.manifest import read_json, write_json

if TYPE_CHECKING:
    from torch import Tensor

MODEL, HEADER = "model.safetensors", "detector.json"
SCHEMA = 1
_WEAK = "experiments.imaginarynet.detectors.weak.infer"
_SEMI = "experiments.imaginarynet.detectors.semi.infer"
KINDS: Mapping[str, str] = {  # kind -> module with `load(folder, header, device) -> Detector`
    "wsddn": _WEAK,
    "oicr": _WEAK,
    "w2n": _SEMI,
    "unbiased-teacher": _SEMI,
    "soft-teacher": _SEMI,
    "faster-rcnn": _SEMI,
}


@dataclass(frozen=True, eq=False)
class Found:
    """N detections in one picture, in any order. Raises ValueError where the arrays do not fit together."""

    boxes: np.ndarray  # float32 (n, 4): x1, y1, x2, y2 in pixels of the picture, half-open, inside of it
    scores: np.ndarray  # float32 (n,), higher is surer
    labels: np.ndarray  # int64 (n,), from 0 on, in the order of the detector's class_names

    def __post_init__(self) -> None:
        for name, dtype in (("boxes", np.float32), ("scores", np.float32), ("labels", np.int64)):
            object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=dtype))
        count = len(self)
        if (self.boxes.shape, self.scores.shape, self.labels.shape) != ((count, 4), (count,), (count,)):
            shapes = self.boxes.shape, self.scores.shape, self.labels.shape
            raise ValueError(f"shapes of boxes, scores and labels do not fit together: {shapes}")

    def __len__(self) -> int:
        return len(self.scores)

    @classmethod
    def nothing(cls) -> Found:
        """No detections at all."""
        return cls(np.zeros((0, 4)), np.zeros(0), np.zeros(0))


class Detector(Protocol):
    """A trained detector, ready to be used."""

    class_names: tuple[str, ...]
    needs_proposals: bool  # whether `detect` wants boxes to judge

    def detect(self, picture: np.ndarray, proposals: np.ndarray | None) -> Found:
        """What it finds in `picture`, uint8 (H, W, 3) RGB.

        proposals: float32 (R, 4), x1, y1, x2, y2 in pixels of the picture, or (R, 5) with their scores behind
        (for `score_bias`; 0 without them); None where `needs_proposals` is False. Detections of a class are
        already rid of near-duplicates (NMS) and capped as published.
        """


@runtime_checkable
class Locates(Protocol):
    """A detector that also tells the surest box of every class, as CorLoc asks for it.

    Optional: without it the surest of `detect` count, and a class whose boxes all fell below a floor or a cap
    of the picture has none.
    """

    def locate(self, picture: np.ndarray, proposals: np.ndarray | None) -> Found:
        """One box per class, C in all, in the order of class_names; no NMS, floor or cap. See `detect`."""


def surest(found: Found) -> Found:
    """The detection of highest score of each label that occurs, by label; of equal scores the first."""
    order = np.lexsort((np.arange(len(found)), -found.scores, found.labels))
    labels = found.labels[order]
    first = order[np.flatnonzero(np.diff(labels, prepend=-1))] if len(order) else order
    return Found(found.boxes[first], found.scores[first], found.labels[first])


def save_detector(
    folder: Path,
    *,
    kind: str,
    class_names: Sequence[str],
    settings: Mapping[str, Any],
    state: Mapping[str, Tensor],
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write model.safetensors, then detector.json; the header stands last, so half a folder is none.

    kind: a key of KINDS. settings: plain values that rebuild the network; those that no result depends on
    (arms.RUN_ONLY) are left out. extra: further plain values kept in the header under `extra`. Raises
    ValueError for an unknown kind.
    """
    if kind not in KINDS:
        raise ValueError(f"kind is {kind!r}, must be one of {', '.join(KINDS)}")
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    # Clones, because safetensors refuses tensors that share storage.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    save_file(tensors, str(folder / MODEL))
    kept = {name: value for name, value in settings.items() if name not in RUN_ONLY}
    header = {"schema": SCHEMA, "kind": kind, "class_names": list(class_names), "settings": kept}
    write_json(folder / HEADER, {**header, "extra": dict(extra or {})})


def read_header(folder: Path) -> dict[str, Any]:
    """detector.json: schema, kind, class_names, settings, extra. Raises BadInput for any fault."""
    path = folder / HEADER
    tree = read_json(path)
    fix = "name a folder that training or import-checkpoint wrote"
    if tree is None:
        raise BadInput("is missing or cut short: this is no folder of a detector", file=path, fix=fix)
    names = tree.get("class_names") if isinstance(tree, dict) else None
    is_listed = isinstance(names, list) and names and all(isinstance(name, str) for name in names)
    if not is_listed or not isinstance(tree.get("settings"), dict):
        raise BadInput("is no header of a detector", file=path, fix=fix)
    if tree.get("kind") not in KINDS:
        what = f"kind {tree.get('kind')!r} is unknown; known are {', '.join(KINDS)}"
        raise BadInput(what, file=path, fix=fix)
    if tree.get("schema") != SCHEMA:
        what = f"schema {tree.get('schema')!r} is not {SCHEMA}"
        raise BadInput(what, file=path, fix="train it again with this version")
    return {**tree, "extra": tree.get("extra") or {}}


def read_state(folder: Path) -> dict[str, Tensor]:
    """The tensors of model.safetensors, on the CPU. Raises BadInput where it is missing or damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = folder / MODEL
    try:
        return load_file(str(path))
    except FileNotFoundError:
        raise BadInput("no such file", file=path, fix="train the detector first") from None
    except (SafetensorError, OSError, ValueError) as error:
        what = f"cannot be read as safetensors ({type(error).__name__})"
        raise BadInput(what, file=path, fix="train the detector again") from None


def load_state(module: Any, folder: Path) -> None:
    """Give the torch module the tensors of `folder`. Raises BadInput where names or shapes differ."""
    try:
        module.load_state_dict(read_state(folder), strict=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1:2] or [str(error)]
        what = f"does not fit the network of {HEADER}: {first[0].strip()}"
        raise BadInput(what, file=folder / MODEL, fix="train the detector again") from None


def load_detector(folder: Path, device: str) -> Detector:
    """The detector of `folder`, in evaluation mode on `device` ("cpu", "cuda").

    Raises BadInput for a folder that is none, Missing where the GPU is not there.
    """
    header = read_header(folder)
    check_device(device)
    module = import_module(KINDS[header["kind"]])
    return module.load(folder, header, device)


def check_device(device: str) -> None:
    """Raises Missing where `device` is "cuda" and torch sees no GPU: nothing falls back to the CPU."""
    import torch

    if device.startswith("cuda") and not torch.cuda.is_available():
        raise Missing("torch sees no GPU", fix="run with DEVICE=cpu, or see docs/gpu.md")
