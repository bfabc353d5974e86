"""Pre-trained models from files: what stage `pretrain` made, or a released checkpoint after import."""

from __future__ import annotations

from pathlib import Path

import suite.compat.detectron2  # noqa: F401

# isort: split
import torch
from detectron2.config import instantiate

from experiments.solid.config import SolidConfig
from experiments.solid.learn.engine.checkpoint import load_model_tensors
from experiments.solid.learn.pretrain.lazy import lazy_pretrain
from experiments.solid.learn.pretrain.model import InstanceDetector
from suite.config import build, merge, read_tree
from suite.errors import BadInput
from suite.provenance import ROOT

MODEL, CONFIG_FILE, BANK = "model.pth", "config.yaml", "queue"
PAPER = ROOT / "experiments/solid/configs/paper.yaml"


def read_config(folder: Path) -> SolidConfig:
    """The settings that a `pretrain` or import-checkpoint folder keeps; paper.yaml's where it names none.

    BadInput: no such file, or settings that this version does not know.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        what = "is missing, so the architecture of the model is not known"
        raise BadInput(what, file=path, fix="give a finished folder of pretrain, or --weights and --config")
    tree = read_tree(path)
    tree = tree["solid"] if isinstance(tree.get("solid"), dict) else tree
    return build(SolidConfig, merge(read_tree(PAPER), tree), where=str(path))


def load_pretrained(path: Path, config: SolidConfig, device: torch.device | str) -> InstanceDetector:
    """The model in evaluation mode; the number of classes is that of its bank.

    BadInput: the file is missing, damaged, no pre-training checkpoint, or of another architecture.
    """
    tensors = load_model_tensors(path)
    if BANK not in tensors or tensors[BANK].ndim != 2:
        raise BadInput(
            f"is no pre-training checkpoint: it holds no bank `{BANK}` (classes x width)",
            file=path,
            fix="give model.pth of stage pretrain, or what import-checkpoint made",
        )
    tree = lazy_pretrain(config, num_classes=len(tensors[BANK]), seed=0, device=str(device))
    model: InstanceDetector = instantiate(tree.model)
    own = model.state_dict()
    wrong = sorted(own.keys() ^ tensors.keys()) or sorted(
        name for name, value in own.items() if value.shape != tensors[name].shape
    )
    if wrong:
        name = wrong[0]
        theirs, ours = (tuple(side[name].shape) if name in side else "absent" for side in (tensors, own))
        raise BadInput(
            f"is of another architecture: {len(wrong)} tensors differ, first {name}: {theirs} in the file,"
            f" {ours} in the model",
            file=path,
            fix="set detector.* and pretrain.embed_dims as in its training",
        )
    model.load_state_dict(tensors)
    return model.to(device).eval()
