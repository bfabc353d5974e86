"""A ResNet with FPN of any width at depth 18 and 34, for detectron2's YAML configs.

detectron2 v0.6 builds these depths with 64 channels in res2 only; small runs are narrower. Importing this
module registers the name, so MODEL.BACKBONE.NAME can say it.
"""

from __future__ import annotations

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.config import CfgNode
from detectron2.layers import ShapeSpec
from detectron2.modeling import BACKBONE_REGISTRY
from detectron2.modeling.backbone import FPN, BasicStem, ResNet
from detectron2.modeling.backbone.fpn import LastLevelMaxPool

from experiments.solid.learn.detector import resnet_stages

STOCK, NARROW = "build_resnet_fpn_backbone", "build_narrow_resnet_fpn_backbone"


@BACKBONE_REGISTRY.register()
def build_narrow_resnet_fpn_backbone(cfg: CfgNode, input_shape: ShapeSpec) -> FPN:
    """p2..p6 of a ResNet-18 or -34; keys of the config and names of the tensors are detectron2's own."""
    resnets = cfg.MODEL.RESNETS
    stem = BasicStem(input_shape.channels, resnets.STEM_OUT_CHANNELS, norm=resnets.NORM)
    bottom_up = ResNet(
        stem,
        resnet_stages(
            depth=resnets.DEPTH,
            stem_channels=resnets.STEM_OUT_CHANNELS,
            res2_channels=resnets.RES2_OUT_CHANNELS,
            stride_in_1x1=resnets.STRIDE_IN_1X1,
            norm=resnets.NORM,
        ),
        out_features=resnets.OUT_FEATURES,
        freeze_at=cfg.MODEL.BACKBONE.FREEZE_AT,
    )
    return FPN(
        bottom_up=bottom_up,
        in_features=cfg.MODEL.FPN.IN_FEATURES,
        out_channels=cfg.MODEL.FPN.OUT_CHANNELS,
        norm=cfg.MODEL.FPN.NORM,
        top_block=LastLevelMaxPool(),
        fuse_type=cfg.MODEL.FPN.FUSE_TYPE,
    )
