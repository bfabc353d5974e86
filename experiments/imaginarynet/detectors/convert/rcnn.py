"""Faster R-CNN with FPN as detectron2 (and so Unbiased Teacher) and torchvision name it, as mmdet's.

Unbiased Teacher saves teacher and student under modelTeacher. and modelStudent. (published code,
ts_ensemble.py). detectron2 has the background last, as mmdet has; torchvision has it first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from experiments.imaginarynet.config_semi import SemiConfig
from experiments.imaginarynet.detectors.convert.checkpoint import Checkpoint
from experiments.imaginarynet.detectors.convert.mapping import (
    Drop,
    Imported,
    Rule,
    check_classes,
    check_state,
    rename,
    tensor_of,
)
from experiments.imaginarynet.detectors.semi.network import build_detector
from suite.config import to_tree
from suite.errors import BadInput

UBTEACHER, DETECTRON2, TORCHVISION = "Unbiased Teacher", "detectron2 Faster R-CNN", "torchvision Faster R-CNN"
PARTS = {"teacher": "modelTeacher.", "student": "modelStudent."}
BOTTOM_UP, BODY = "backbone.bottom_up.stem.conv1.weight", "backbone.body.conv1.weight"
KINDS = r"\.(weight|bias)"
NORM = r"\.(weight|bias|running_mean|running_var|num_batches_tracked)"
COUNTER = "num_batches_tracked"  # of a batch norm; frozen ones have none, and mmdet's have one
HEAD = "roi_head.bbox_head"
# COCO's category ids have gaps; torchvision's classes are these ids, 91 with the background.
COCO_GAPS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
COCO_IDS = tuple(number for number in range(1, 91) if number not in COCO_GAPS)
TEST_SIDE, VOC_CLASSES = 800, 20  # shorter side in a test; of Unbiased Teacher's VOC configs 600, our default
ANCHORS = "torchvision rounds its anchors to whole pixels, ours are not: boxes differ by parts of a pixel"


def _levels(pattern: str, name: str, first: int) -> tuple[Rule, ...]:
    """One rule for each of the four levels of the pyramid."""
    return tuple(Rule(pattern % (level + first), name % level) for level in range(4))


def _background_last(rows: Tensor) -> Tensor:
    return torch.cat([rows[1:], rows[:1]])


DETECTRON2_RULES = (
    Rule(r"backbone\.bottom_up\.stem\.conv1\.weight", "backbone.conv1.weight"),
    Rule(rf"backbone\.bottom_up\.stem\.conv1\.norm{NORM}", r"backbone.bn1.\1"),
    *(
        rule
        for stage in range(1, 5)
        for rule in (
            Rule(
                rf"backbone\.bottom_up\.res{stage + 1}\.(\d+)\.conv(\d)\.weight",
                rf"backbone.layer{stage}.\1.conv\2.weight",
            ),
            Rule(
                rf"backbone\.bottom_up\.res{stage + 1}\.(\d+)\.conv(\d)\.norm{NORM}",
                rf"backbone.layer{stage}.\1.bn\2.\3",
            ),
            Rule(
                rf"backbone\.bottom_up\.res{stage + 1}\.(\d+)\.shortcut\.weight",
                rf"backbone.layer{stage}.\1.downsample.0.weight",
            ),
            Rule(
                rf"backbone\.bottom_up\.res{stage + 1}\.(\d+)\.shortcut\.norm{NORM}",
                rf"backbone.layer{stage}.\1.downsample.1.\2",
            ),
        )
    ),
    *_levels(rf"backbone\.fpn_lateral%d{KINDS}", r"neck.lateral_convs.%d.conv.\1", 2),
    *_levels(rf"backbone\.fpn_output%d{KINDS}", r"neck.fpn_convs.%d.conv.\1", 2),
    Rule(rf"proposal_generator\.rpn_head\.conv{KINDS}", r"rpn_head.rpn_conv.\1"),
    Rule(rf"proposal_generator\.rpn_head\.objectness_logits{KINDS}", r"rpn_head.rpn_cls.\1"),
    Rule(rf"proposal_generator\.rpn_head\.anchor_deltas{KINDS}", r"rpn_head.rpn_reg.\1"),
    Rule(rf"roi_heads\.box_head\.fc1{KINDS}", rf"{HEAD}.shared_fcs.0.\1"),
    Rule(rf"roi_heads\.box_head\.fc2{KINDS}", rf"{HEAD}.shared_fcs.1.\1"),
    Rule(rf"roi_heads\.box_predictor\.cls_score{KINDS}", rf"{HEAD}.fc_cls.\1"),
    Rule(rf"roi_heads\.box_predictor\.bbox_pred{KINDS}", rf"{HEAD}.fc_reg.\1"),
)
DETECTRON2_DROPS = (
    Drop(r"pixel_(mean|std)", "a setting of ours, `pixels`"),
    Drop(r"proposal_generator\.anchor_generator\..*", "made from the settings"),
    Drop(r"model(Teacher|Student)\..*", "of the other network"),
)
TORCHVISION_RULES = (
    Rule(r"backbone\.body\.(conv1\.weight|layer\d\..*)", r"backbone.\1"),
    Rule(rf"backbone\.body\.bn1{NORM}", r"backbone.bn1.\1"),
    *_levels(rf"backbone\.fpn\.inner_blocks\.%d(?:\.0)?{KINDS}", r"neck.lateral_convs.%d.conv.\1", 0),
    *_levels(rf"backbone\.fpn\.layer_blocks\.%d(?:\.0)?{KINDS}", r"neck.fpn_convs.%d.conv.\1", 0),
    Rule(rf"rpn\.head\.conv(?:\.0\.0)?{KINDS}", r"rpn_head.rpn_conv.\1"),
    Rule(rf"rpn\.head\.cls_logits{KINDS}", r"rpn_head.rpn_cls.\1"),
    Rule(rf"rpn\.head\.bbox_pred{KINDS}", r"rpn_head.rpn_reg.\1"),
    Rule(rf"roi_heads\.box_head\.fc6{KINDS}", rf"{HEAD}.shared_fcs.0.\1"),
    Rule(rf"roi_heads\.box_head\.fc7{KINDS}", rf"{HEAD}.shared_fcs.1.\1"),
    Rule(rf"roi_heads\.box_predictor\.cls_score{KINDS}", rf"{HEAD}.fc_cls.\1", _background_last),
    Rule(rf"roi_heads\.box_predictor\.bbox_pred{KINDS}", rf"{HEAD}.fc_reg.\1", lambda rows: rows[4:]),
)


def is_form(names: Sequence[str]) -> bool:
    """Whether a checkpoint with these tensors is one of detectron2's or torchvision's Faster R-CNN."""
    return any(name.endswith(BOTTOM_UP) or name == BODY for name in names)


def convert(given: Checkpoint, class_names: Sequence[str], *, part: str = "teacher") -> Imported:
    """part: teacher or student, where the checkpoint has both.

    Raises BadInput for another class list, another network, and where tensors are missing.
    """
    if BODY in given.tensors:
        return _convert_torchvision(given, class_names)
    prefix = PARTS[part]
    if not any(name.startswith(prefix) for name in given.tensors):
        return _finish(given, given.tensors, class_names, DETECTRON2_RULES, form=DETECTRON2)
    own = {name.removeprefix(prefix): value for name, value in given.tensors.items()}
    return _finish(given, own, class_names, DETECTRON2_RULES, form=f"{UBTEACHER}, {part}")


def _convert_torchvision(given: Checkpoint, class_names: Sequence[str]) -> Imported:
    tensors = dict(given.tensors)
    logits = "roi_heads.box_predictor.cls_score.weight"
    is_coco = len(tensor_of(given, logits)) == 91 and len(class_names) == len(COCO_IDS)
    if is_coco:
        rows = torch.tensor([0, *COCO_IDS])
        for kind in ("weight", "bias"):
            for name, width in (("cls_score", 1), ("bbox_pred", 4)):
                key = f"roi_heads.box_predictor.{name}.{kind}"
                tensors[key] = tensor_of(given, key).unflatten(0, (91, width))[rows].flatten(0, 1)
    imported = _finish(given, tensors, class_names, TORCHVISION_RULES, form=TORCHVISION)
    gaps = f"the {len(COCO_GAPS)} of its 91 classes that COCO never used are left out"
    return replace(imported, notes=(*([gaps] if is_coco else []), ANCHORS))


def _finish(
    given: Checkpoint,
    tensors: Mapping[str, Tensor],
    class_names: Sequence[str],
    rules: Sequence[Rule],
    *,
    form: str,
) -> Imported:
    state, skipped = rename(tensors, rules, DETECTRON2_DROPS)
    renamed = Checkpoint(given.file, state)
    num_classes = len(tensor_of(renamed, f"{HEAD}.fc_cls.bias")) - 1
    check_classes(given, num_classes, class_names)
    settings = settings_of(renamed, is_torchvision=form == TORCHVISION)
    if not (form.startswith(UBTEACHER) and num_classes == VOC_CLASSES):
        settings = replace(settings, test_side=TEST_SIDE)
    own = build_detector(settings, num_classes=num_classes).state_dict()
    state = with_counters(state, own)
    check_state(given, state, own)
    kind = "unbiased-teacher" if form.startswith(UBTEACHER) else "faster-rcnn"
    return Imported(
        form, kind, {name: state[name] for name in own}, skipped, tuple(class_names), to_tree(settings)
    )


def settings_of(renamed: Checkpoint, *, is_torchvision: bool) -> SemiConfig:
    """The published settings with the widths that the checkpoint has. `renamed`: by our names."""
    stem = tensor_of(renamed, "backbone.conv1.weight")
    if "backbone.layer1.0.conv3.weight" not in renamed.tensors:
        raise BadInput("is no ResNet-50", file=renamed.file, fix="give a checkpoint with that backbone")
    settings = SemiConfig(
        backbone="resnet50",
        width=len(stem),
        fpn=len(tensor_of(renamed, "neck.fpn_convs.0.conv.weight")),
        fc=len(tensor_of(renamed, f"{HEAD}.shared_fcs.0.weight")),
    )
    if not is_torchvision:
        return settings
    return replace(settings, pixels="rgb", roi_aligned=False, roi_samples=2)


def with_counters(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` with zeros for the batch norms' counters that frozen ones lack; no output depends on them."""
    counters = {name: tensor for name, tensor in own.items() if name.endswith(COUNTER)}
    return {**{name: torch.zeros_like(tensor) for name, tensor in counters.items()}, **state}
