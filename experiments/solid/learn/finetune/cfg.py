"""detectron2's own config (CfgNode) of a fine-tuning, from ours; and ours from it, after its overrides.

Numbers: SOLID's published fine-tuning (Mask R-CNN R50-FPN, `configs/paper.yaml` gives each its source).
`configs/detectron2/mask_rcnn_R_50_FPN_{1x,2x}.yaml` say the same in detectron2's format, for its own
`tools/train_net.py`.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Sequence
from pathlib import Path

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.config import CfgNode, get_cfg
from detectron2.modeling import build_model
from torch import nn

from experiments.solid.config import SolidConfig
from experiments.solid.learn.finetune.backbone import NARROW, STOCK
from suite.errors import BadInput

SAVED = "config_detectron2.yaml"
LEVELS = ["p2", "p3", "p4", "p5"]
STAGES = ["res2", "res3", "res4", "res5"]

# Keys that reach this program; another key would be accepted by detectron2 and then do nothing here.
USED = (
    "MODEL.BACKBONE.",
    "MODEL.RESNETS.",
    "MODEL.FPN.",
    "MODEL.ANCHOR_GENERATOR.",
    "MODEL.RPN.",
    "MODEL.PROPOSAL_GENERATOR.",
    "MODEL.ROI_HEADS.",
    "MODEL.ROI_BOX_HEAD.",
    "MODEL.ROI_MASK_HEAD.",
    "MODEL.PIXEL_MEAN",
    "MODEL.PIXEL_STD",
    "SOLVER.",
    "INPUT.MIN_SIZE_TRAIN",
    "INPUT.MAX_SIZE_TRAIN",
    "INPUT.MIN_SIZE_TEST",
    "INPUT.MAX_SIZE_TEST",
    "INPUT.RANDOM_FLIP",
    "TEST.PRECISE_BN.",
    "TEST.DETECTIONS_PER_IMAGE",
    "DATALOADER.NUM_WORKERS",
)
ELSEWHERE = {
    "MODEL.WEIGHTS": "set finetune.weights",
    "MODEL.DEVICE": "use --device",
    "MODEL.MASK_ON": "masks are always trained",
    "MODEL.ROI_HEADS.NUM_CLASSES": "it is counted in the target set",
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": "short edges are always drawn by choice",
    "SOLVER.REFERENCE_WORLD_SIZE": "set SOLVER.IMS_PER_BATCH, which is over all ranks",
    "DATASETS.TRAIN": "set target_set",
    "DATASETS.TEST": "set target_set",
    "OUTPUT_DIR": "use --out",
    "SEED": "use --seed",
}


def finetune_cfg(config: SolidConfig, *, num_classes: int, device: str) -> CfgNode:
    """The frozen CfgNode: detectron2's defaults, our settings, `finetune.overrides` in detectron2's way."""
    cfg = get_cfg()
    _set_model(cfg, config, num_classes)
    _set_training(cfg, config)
    cfg.MODEL.DEVICE = device
    _merge_overrides(cfg, config.finetune.overrides)
    cfg.freeze()
    return cfg


def _set_model(cfg: CfgNode, config: SolidConfig, num_classes: int) -> None:
    detector, tune, model = config.detector, config.finetune, cfg.MODEL
    is_narrow = detector.depth in (18, 34) and detector.res2_channels != 64
    model.MASK_ON = True
    model.PIXEL_MEAN, model.PIXEL_STD = list(tune.pixel_mean), list(tune.pixel_std)
    model.BACKBONE.NAME = NARROW if is_narrow else STOCK
    model.BACKBONE.FREEZE_AT = tune.freeze_at
    model.RESNETS.DEPTH = detector.depth
    model.RESNETS.NORM = tune.norm
    model.RESNETS.OUT_FEATURES = STAGES
    model.RESNETS.STEM_OUT_CHANNELS = detector.stem_channels
    model.RESNETS.RES2_OUT_CHANNELS = detector.res2_channels
    if detector.depth >= 50:
        model.RESNETS.WIDTH_PER_GROUP = detector.res2_channels // 4
        model.RESNETS.STRIDE_IN_1X1 = detector.stride_in_1x1
    model.FPN.IN_FEATURES = STAGES
    model.FPN.OUT_CHANNELS = detector.fpn_channels
    model.FPN.NORM = tune.norm
    model.ANCHOR_GENERATOR.SIZES = [[size] for size in detector.anchor_sizes]
    model.ANCHOR_GENERATOR.ASPECT_RATIOS = [list(detector.anchor_ratios)]
    model.RPN.IN_FEATURES = [*LEVELS, "p6"]
    model.RPN.BATCH_SIZE_PER_IMAGE = detector.rpn_batch
    model.RPN.PRE_NMS_TOPK_TRAIN = detector.rpn_pre_topk_train
    model.RPN.PRE_NMS_TOPK_TEST = detector.rpn_pre_topk_test
    model.RPN.POST_NMS_TOPK_TRAIN = model.RPN.POST_NMS_TOPK_TEST = detector.rpn_post_topk
    heads = model.ROI_HEADS
    heads.NAME, heads.IN_FEATURES, heads.NUM_CLASSES = "StandardROIHeads", LEVELS, num_classes
    heads.BATCH_SIZE_PER_IMAGE, heads.POSITIVE_FRACTION = detector.roi_batch, detector.roi_positive
    heads.SCORE_THRESH_TEST, heads.NMS_THRESH_TEST = detector.test_score, detector.test_nms
    box, mask = model.ROI_BOX_HEAD, model.ROI_MASK_HEAD
    box.NAME, box.NUM_FC, box.FC_DIM = "FastRCNNConvFCHead", detector.num_fc, detector.fc_dim
    box.POOLER_RESOLUTION = detector.box_pool
    mask.NAME, mask.NUM_CONV, mask.CONV_DIM = (
        "MaskRCNNConvUpsampleHead",
        detector.num_mask_conv,
        detector.mask_channels,
    )
    mask.POOLER_RESOLUTION = detector.mask_pool


def _set_training(cfg: CfgNode, config: SolidConfig) -> None:
    tune, solver = config.finetune, cfg.SOLVER
    solver.IMS_PER_BATCH, solver.BASE_LR = tune.batch_size, tune.lr
    solver.MOMENTUM, solver.WEIGHT_DECAY = tune.momentum, tune.weight_decay
    solver.WARMUP_ITERS, solver.WARMUP_FACTOR = tune.warmup, tune.warmup_factor
    solver.MAX_ITER, solver.STEPS = tune.iterations, tuple(tune.steps)
    solver.CHECKPOINT_PERIOD = tune.checkpoint_every
    solver.AMP.ENABLED = tune.precision != "float32"
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MAX_SIZE_TRAIN = tuple(tune.short_edges), tune.max_edge
    cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST = tune.test_short_edge, tune.test_max_edge
    cfg.INPUT.RANDOM_FLIP = "horizontal" if tune.flip else "none"
    cfg.INPUT.MASK_FORMAT = "bitmask"
    cfg.DATALOADER.NUM_WORKERS = tune.workers
    cfg.TEST.DETECTIONS_PER_IMAGE = config.detector.test_detections
    cfg.TEST.PRECISE_BN.ENABLED, cfg.TEST.PRECISE_BN.NUM_ITER = tune.precise_bn > 0, max(tune.precise_bn, 1)


def _merge_overrides(cfg: CfgNode, overrides: Sequence[str]) -> None:
    known = all_keys(cfg)
    for key, value in zip(overrides[::2], overrides[1::2], strict=True):
        if key not in known:
            near = difflib.get_close_matches(key, known, n=3)
            fix = f"did you mean {', '.join(near)}?" if near else "see detectron2's config reference"
            raise BadInput(f"finetune.overrides: detectron2 has no key {key}", fix=fix)
        if key in ELSEWHERE or not key.startswith(USED):
            raise BadInput(
                f"finetune.overrides: {key} has no effect in this program",
                fix=ELSEWHERE.get(key, f"the keys that have one begin with {', '.join(USED)}"),
            )
        try:
            cfg.merge_from_list([key, value])
        except (ValueError, AssertionError, SyntaxError) as error:
            raise BadInput(f"finetune.overrides: {key} {value}: {error}") from None


def all_keys(cfg: CfgNode, prefix: str = "") -> list[str]:
    """Dotted names of all leaves."""
    found: list[str] = []
    for name, value in cfg.items():
        found += all_keys(value, f"{prefix}{name}.") if isinstance(value, CfgNode) else [prefix + name]
    return found


def effective(config: SolidConfig, cfg: CfgNode) -> SolidConfig:
    """Our settings as `cfg` has them after its overrides, for what reads ours: the loaders and the loop."""
    tune, solver = config.finetune, cfg.SOLVER
    flips = {"horizontal": True, "none": False}
    if cfg.INPUT.RANDOM_FLIP not in flips:
        raise BadInput(
            f"finetune.overrides: INPUT.RANDOM_FLIP {cfg.INPUT.RANDOM_FLIP}", fix="use horizontal or none"
        )
    edges = cfg.INPUT.MIN_SIZE_TRAIN
    precision = tune.precision if solver.AMP.ENABLED else "float32"
    if solver.AMP.ENABLED and precision == "float32":
        precision = "float16"  # what detectron2 means by AMP
    return dataclasses.replace(
        config,
        finetune=dataclasses.replace(
            tune,
            batch_size=solver.IMS_PER_BATCH,
            iterations=solver.MAX_ITER,
            steps=tuple(solver.STEPS),
            lr=solver.BASE_LR,
            checkpoint_every=solver.CHECKPOINT_PERIOD,
            precision=precision,
            short_edges=tuple(edges) if isinstance(edges, Sequence) else (edges,),
            max_edge=cfg.INPUT.MAX_SIZE_TRAIN,
            test_short_edge=cfg.INPUT.MIN_SIZE_TEST,
            test_max_edge=cfg.INPUT.MAX_SIZE_TEST,
            flip=flips[cfg.INPUT.RANDOM_FLIP],
            workers=cfg.DATALOADER.NUM_WORKERS,
            precise_bn=cfg.TEST.PRECISE_BN.NUM_ITER if cfg.TEST.PRECISE_BN.ENABLED else 0,
        ),
    )


def build(cfg: CfgNode) -> nn.Module:
    """detectron2's `build_model`, with its refusals as one line."""
    try:
        return build_model(cfg)
    except (AssertionError, KeyError, ValueError, TypeError) as error:
        raise BadInput(f"detectron2 cannot build this model: {error}") from error


def save(cfg: CfgNode, path: Path) -> None:
    """The whole config as YAML, as `cfg.merge_from_file` reads it."""
    path.write_text(cfg.dump(), encoding="utf-8")
