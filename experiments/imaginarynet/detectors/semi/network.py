"""The Faster R-CNN of the semi-supervised detectors, as mmdet's registry builds it.

    config = detector_config(settings, num_classes=20)      # one detector, for mmdet's MODELS
    model = build_model("unbiased-teacher", settings, num_classes=20, seed=0)
    model.student, model.teacher

Numbers that are no setting are Unbiased Teacher's published ones (its configs and detectron2's defaults).
RoI layers are torchvision's unless a compiled mmcv is installed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import suite.compat.mmcv  # noqa: F401

# isort: split
import torch
from mmdet.models import SoftTeacher
from mmdet.models.detectors import SemiBaseDetector
from mmdet.registry import MODELS
from mmengine.config import ConfigDict
from mmengine.logging import MMLogger

from experiments.imaginarynet.config_semi import SemiConfig
from experiments.imaginarynet.detectors.semi import model as own
from suite.seeds import item_rng

Kind = Literal["unbiased-teacher", "soft-teacher", "faster-rcnn"]
STREAM = "imaginarynet.semi"  # of all random numbers here; shared by the kinds, so that they begin alike
_MODEL_OF = {
    "unbiased-teacher": own.UnbiasedTeacher,
    "soft-teacher": SoftTeacher,
    "faster-rcnn": own.UnbiasedTeacher,  # whose teacher is never asked
}
_CHANNELS = {"resnet50": (4, 50), "resnet18": (1, 18)}  # expansion of the blocks, depth
_PIXELS = {  # mean and standard deviation of 0..255
    "caffe-bgr": {"mean": [103.530, 116.280, 123.675], "std": [1.0, 1.0, 1.0], "rgb_to_bgr": True},
    "rgb": {"mean": [123.675, 116.280, 103.530], "std": [58.395, 57.120, 57.375]},
}


@contextmanager
def seeded(seed: int, stream: str, index: int) -> Iterator[None]:
    """torch's global generators in a state of (seed, stream, index) alone, and back afterwards.

    mmdet's samplers and initialisers take no generator of their own.
    """
    number = int(item_rng(seed, f"{STREAM}.{stream}", index).integers(0, 2**63 - 1))
    with torch.random.fork_rng():
        torch.manual_seed(number)
        yield


def uses_compiled_mmcv() -> bool:
    """Whether mmcv's own operators are installed, instead of the stand-in of suite.compat.mmcv."""
    module = sys.modules.get("mmcv._ext")
    return getattr(module, "__file__", None) is not None


def detector_config(settings: SemiConfig, num_classes: int) -> dict[str, Any]:
    """One FasterRCNN for mmdet's MODELS registry; pixels are normalised outside of it."""
    before_train, before_test = settings.proposals_before_nms
    proposal = {"nms": {"type": "nms", "iou_threshold": 0.7}, "min_bbox_size": 0}
    proposal["max_per_img"] = settings.proposals
    return {
        "type": "FasterRCNN",
        "backbone": _backbone(settings),
        "neck": _neck(settings),
        "rpn_head": _rpn_head(settings),
        "roi_head": _roi_head(settings, num_classes),
        "train_cfg": {
            "rpn": {
                "assigner": _assigner(positive=0.7, negative=0.3, low_quality=True),
                "sampler": _sampler(settings.rpn_batch, settings.rpn_positive, add_gt=False),
                "allowed_border": -1,
                "pos_weight": -1,
                "debug": False,
            },
            "rpn_proposal": {"nms_pre": before_train, **proposal},
            "rcnn": {
                "assigner": _assigner(positive=0.5, negative=0.5, low_quality=False),
                "sampler": _sampler(settings.roi_batch, settings.roi_positive, add_gt=True),
                "pos_weight": -1,
                "debug": False,
            },
        },
        "test_cfg": {
            "rpn": {"nms_pre": before_test, **proposal},
            "rcnn": {
                "score_thr": settings.test_score,
                "nms": {"type": "nms", "iou_threshold": settings.test_nms},
                "max_per_img": settings.test_boxes,
            },
        },
    }


def semi_config(kind: Kind, settings: SemiConfig, num_classes: int) -> dict[str, Any]:
    """Keyword arguments of the class of `kind`: two detectors and how the teacher's boxes are used."""
    pixels = {"type": "mmdet.DetDataPreprocessor", "pad_size_divisor": 32, **_PIXELS[settings.pixels]}
    return {
        "detector": detector_config(settings, num_classes),
        "data_preprocessor": pixels,
        "semi_train_cfg": {
            "freeze_teacher": True,
            "sup_weight": 1.0,
            "unsup_weight": settings.unlabelled_weight,
            "cls_pseudo_thr": settings.threshold,
            "min_pseudo_bbox_wh": (1e-2, 1e-2),
            # Soft Teacher alone
            "pseudo_label_initial_score_thr": settings.initial_threshold,
            "rpn_pseudo_thr": settings.rpn_threshold,
            "reg_pseudo_thr": settings.max_box_deviation,
            "jitter_times": settings.jitter_times,
            "jitter_scale": settings.jitter_scale,
        },
        "semi_test_cfg": {"predict_on": "teacher"},
    }


def build_model(kind: Kind, settings: SemiConfig, *, num_classes: int, seed: int) -> SemiBaseDetector:
    """Student and teacher with the same weights, a function of the seed; on the CPU, in training mode."""
    config = semi_config(kind, settings, num_classes)
    MMLogger.get_current_instance().setLevel("WARNING")  # init_weights tells every tensor
    with seeded(seed, "init", 0):
        model = _MODEL_OF[kind](**ConfigDict(config))
        model.student.init_weights()
    model.teacher.load_state_dict(model.student.state_dict())
    model.train()
    model.teacher.eval()
    return model


def build_detector(settings: SemiConfig, *, num_classes: int) -> torch.nn.Module:
    """One FasterRCNN whose weights are to be loaded; on the CPU, in evaluation mode."""
    return MODELS.build(ConfigDict(detector_config(settings, num_classes))).eval()


def build_pixels(settings: SemiConfig) -> torch.nn.Module:
    """What normalises and pads pictures: {"inputs": [uint8 (3, h, w) RGB], "data_samples": [...]}."""
    return MODELS.build(
        {"type": "mmdet.DetDataPreprocessor", "pad_size_divisor": 32, **_PIXELS[settings.pixels]}
    )


def _backbone(settings: SemiConfig) -> dict[str, Any]:
    _, depth = _CHANNELS[settings.backbone]
    is_frozen = settings.norm == "frozen-bn"
    if settings.norm == "gn":
        norm: dict[str, Any] = {"type": "GN", "num_groups": min(32, settings.width // 2)}
    else:
        norm = {"type": "BN", "requires_grad": not is_frozen}
    return {
        "type": "ResNet",
        "depth": depth,
        "base_channels": settings.width,
        "stem_channels": settings.width,
        "num_stages": 4,
        "out_indices": (0, 1, 2, 3),
        "frozen_stages": settings.frozen_stages,
        "norm_cfg": norm,
        "norm_eval": is_frozen,
        "style": "caffe" if settings.pixels == "caffe-bgr" else "pytorch",
        "init_cfg": None,
    }


def _neck(settings: SemiConfig) -> dict[str, Any]:
    expansion, _ = _CHANNELS[settings.backbone]
    channels = [settings.width * expansion * 2**stage for stage in range(4)]
    return {"type": "FPN", "in_channels": channels, "out_channels": settings.fpn, "num_outs": 5}


def _rpn_head(settings: SemiConfig) -> dict[str, Any]:
    return {
        "type": "RPNHead",
        "in_channels": settings.fpn,
        "feat_channels": settings.fpn,
        "anchor_generator": {
            "type": "AnchorGenerator",
            "scales": [settings.anchor_scale],
            "ratios": [0.5, 1.0, 2.0],
            "strides": [4, 8, 16, 32, 64],
        },
        "bbox_coder": {"type": "DeltaXYWHBBoxCoder", "target_stds": [1.0, 1.0, 1.0, 1.0]},
        "loss_cls": {"type": "CrossEntropyLoss", "use_sigmoid": True, "loss_weight": 1.0},
        "loss_bbox": {"type": "L1Loss", "loss_weight": 1.0},
    }


def _roi_head(settings: SemiConfig, num_classes: int) -> dict[str, Any]:
    layer: dict[str, Any] = {
        "type": "RoIAlign",
        "output_size": 7,
        "sampling_ratio": settings.roi_samples,
        "aligned": settings.roi_aligned,
    }
    if not uses_compiled_mmcv():
        layer["use_torchvision"] = True
    return {
        "type": "StandardRoIHead",
        "bbox_roi_extractor": {
            "type": "SingleRoIExtractor",
            "roi_layer": layer,
            "out_channels": settings.fpn,
            "featmap_strides": [4, 8, 16, 32],
            "finest_scale": round(7 * settings.anchor_scale),  # 56 px at the published anchors
        },
        "bbox_head": {
            "type": "Shared2FCBBoxHead",
            "in_channels": settings.fpn,
            "fc_out_channels": settings.fc,
            "roi_feat_size": 7,
            "num_classes": num_classes,
            "bbox_coder": {"type": "DeltaXYWHBBoxCoder", "target_stds": [0.1, 0.1, 0.2, 0.2]},
            "reg_class_agnostic": False,
            "loss_cls": {"type": "SoftmaxFocalLoss", "gamma": settings.focal_gamma},
            "loss_bbox": {"type": "L1Loss", "loss_weight": 1.0},
        },
    }


def _assigner(*, positive: float, negative: float, low_quality: bool) -> dict[str, Any]:
    return {
        "type": "MaxIoUAssigner",
        "pos_iou_thr": positive,
        "neg_iou_thr": negative,
        "min_pos_iou": negative,
        "match_low_quality": low_quality,
        "ignore_iof_thr": -1,
    }


def _sampler(number: int, positive: float, *, add_gt: bool) -> dict[str, Any]:
    return {
        "type": "RandomSampler",
        "num": number,
        "pos_fraction": positive,
        "neg_pos_ub": -1,
        "add_gt_as_proposals": add_gt,
    }
