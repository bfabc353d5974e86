"""OICR as pcl.pytorch saves it: VGG16 with dilated conv5, WSDDN's streams, refinements, a Fast R-CNN head.

Names of its classes (published code, lib/modeling): Conv_Body.conv<1..5>.<place>, Box_Head.fc1 and fc2,
Box_MIL_Outs.mil_score0 (softmax over proposals) and mil_score1 (over classes),
Box_Refine_Outs.refine_score.<k>, Box_Outs.cls_score and bbox_pred, these with the background first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from experiments.imaginarynet.config import CONFIGS
from experiments.imaginarynet.config_weak import WeakConfig
from experiments.imaginarynet.detectors.convert.checkpoint import Checkpoint
from experiments.imaginarynet.detectors.convert.mapping import (
    Imported,
    Rule,
    check_classes,
    check_state,
    rename,
    tensor_of,
)
from experiments.imaginarynet.detectors.weak.model import WeakDetector
from suite.config import build, read_tree, to_tree
from suite.errors import BadInput

FORM = "pcl.pytorch OICR"
MARK = "Box_MIL_Outs.mil_score0.weight"
VARIANT = CONFIGS / "weak" / "oicr-pytorch.yaml"
POOLED = 512 * 7 * 7  # VGG16's features of a proposal
# Places of the blocks' first layers in torchvision's VGG16, whose numbering our backbone has.
FIRST_PLACES = {"1": 0, "2": 5, "3": 10, "4": 17, "5": 24}
LAST_IN_BLOCK = {"1": 2, "2": 2, "3": 4, "4": 4, "5": 4}
KINDS = r"\.(weight|bias)"

RULES = (
    *(
        Rule(rf"Conv_Body\.conv{block}\.{place}{KINDS}", rf"backbone.features.{first + place}.\1")
        for block, first in FIRST_PLACES.items()
        for place in range(0, LAST_IN_BLOCK[block] + 1, 2)
    ),
    Rule(rf"Box_Head\.fc1{KINDS}", r"head.layers.0.\1"),
    Rule(rf"Box_Head\.fc2{KINDS}", r"head.layers.1.\1"),
    Rule(rf"Box_MIL_Outs\.mil_score0{KINDS}", r"branches.proposals.\1"),
    Rule(rf"Box_MIL_Outs\.mil_score1{KINDS}", r"branches.classes.\1"),
    Rule(rf"Box_Refine_Outs\.refine_score\.(\d+){KINDS}", r"branches.refinements.\1.\2"),
    Rule(rf"Box_Outs\.cls_score{KINDS}", r"branches.fast_rcnn.\1"),
    Rule(rf"Box_Outs\.bbox_pred{KINDS}", r"branches.offsets.\1"),
)


def is_form(names: Sequence[str]) -> bool:
    """Whether a checkpoint with these tensors is one."""
    return MARK in names


def convert(given: Checkpoint, class_names: Sequence[str]) -> Imported:
    """Raises BadInput for another class list, another backbone, and where tensors are missing."""
    state, skipped = rename(given.tensors, RULES)
    num_classes = len(tensor_of(given, MARK))
    check_classes(given, num_classes, class_names)
    settings = settings_of(given)
    with torch.device("meta"):
        own = WeakDetector(settings, num_classes).state_dict()
    check_state(given, state, own)
    notes = () if settings.fast_rcnn else ("no Fast R-CNN head in it: scores are the refinements' alone",)
    return Imported(
        FORM, "oicr", {name: state[name] for name in own}, skipped, tuple(class_names), to_tree(settings),
        notes,
    )  # fmt: skip


def settings_of(given: Checkpoint) -> WeakConfig:
    """The published settings with the widths and branches that the checkpoint has."""
    names = given.tensors
    fc1, fc2 = tensor_of(given, "Box_Head.fc1.weight"), tensor_of(given, "Box_Head.fc2.weight")
    if fc1.shape[1:] != (POOLED,):
        what = f"its Box_Head.fc1 takes {tuple(fc1.shape[1:])}, not the {POOLED} of VGG16"
        raise BadInput(what, file=given.file, fix="give a checkpoint of the VGG16 network")
    refinements = sum(name.startswith("Box_Refine_Outs.") and name.endswith(".weight") for name in names)
    tree = read_tree(VARIANT)
    weights = [*tree["refine_weights"], *[1.0] * refinements][:refinements]
    has_boxes = "Box_Outs.cls_score.weight" in names
    tree |= {
        "variant": VARIANT.stem,
        "weights": "random",  # of a training; these are whole
        "fc": [len(fc1), len(fc2)],
        "refinements": refinements,
        "refine_weights": weights,
        "fast_rcnn": has_boxes,
        "score_rule": "refine-mean-frcn" if has_boxes else "refine-sum",
    }
    return build(WeakConfig, tree, where=str(VARIANT))
