"""Mask R-CNN with FPN as a detectron2 LazyConfig: one description for pre-training and fine-tuning.

Every node is a stock detectron2 class; only the residual stages come from a function of this file, because
detectron2's own (`ResNet.make_default_stages`) fixes the channel counts. At depth 50, stem 64, res2 256 the
result is detectron2's `common/models/mask_rcnn_fpn.py` with batch norm also in the FPN (SOLID, published
config).

    from detectron2.config import instantiate
    node = lazy_mask_rcnn(config.detector, norm="BN", num_classes=80, class_agnostic=False,
                          pixel_mean=(103.53, 116.28, 123.675), pixel_std=(57.375, 57.12, 58.395))
    model = instantiate(node)                # a GeneralizedRCNN, input BGR uint8 or float (3, H, W) tensors

The tree holds plain values only, so its YAML needs no Python tags.
"""

from __future__ import annotations

from collections.abc import Sequence

import suite.compat.detectron2  # noqa: F401

# isort: split
from detectron2.config import LazyCall
from detectron2.layers import ShapeSpec
from detectron2.modeling.anchor_generator import DefaultAnchorGenerator
from detectron2.modeling.backbone import FPN, BasicStem, ResNet
from detectron2.modeling.backbone.fpn import LastLevelMaxPool
from detectron2.modeling.backbone.resnet import BasicBlock, BottleneckBlock
from detectron2.modeling.box_regression import Box2BoxTransform
from detectron2.modeling.matcher import Matcher
from detectron2.modeling.meta_arch import GeneralizedRCNN
from detectron2.modeling.poolers import ROIPooler
from detectron2.modeling.proposal_generator import RPN, StandardRPNHead
from detectron2.modeling.roi_heads import (
    FastRCNNConvFCHead,
    FastRCNNOutputLayers,
    MaskRCNNConvUpsampleHead,
    StandardROIHeads,
)
from omegaconf import DictConfig
from torch import nn

from experiments.solid.config_learning import Detector

NUM_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}  # ResNet, table 1
STAGES = ["res2", "res3", "res4", "res5"]
LEVELS = ["p2", "p3", "p4", "p5"]  # of the RoI heads; the RPN adds p6
STRIDES = [4, 8, 16, 32, 64]
BOX_WEIGHTS = [10.0, 10.0, 5.0, 5.0]  # Fast R-CNN's deltas


def resnet_stages(
    *, depth: int, stem_channels: int, res2_channels: int, stride_in_1x1: bool, norm: str
) -> list[list[nn.Module]]:
    """Residual blocks of res2..res5: `res2_channels` outputs in res2, twice as many in each next stage.

    Depth 18 and 34: basic blocks, `stride_in_1x1` has no meaning. Depth 50 and 101: bottlenecks of a quarter
    of the stage's channels.
    """
    stages, in_channels = [], stem_channels
    for index, num_blocks in enumerate(NUM_BLOCKS[depth]):
        out_channels = res2_channels * 2**index
        bottleneck = {"bottleneck_channels": out_channels // 4, "stride_in_1x1": stride_in_1x1}
        stages.append(
            ResNet.make_stage(
                block_class=BottleneckBlock if depth >= 50 else BasicBlock,
                num_blocks=num_blocks,
                stride_per_block=[1 if index == 0 else 2] + [1] * (num_blocks - 1),
                in_channels=in_channels,
                out_channels=out_channels,
                norm=norm,
                **(bottleneck if depth >= 50 else {}),
            )
        )
        in_channels = out_channels
    return stages


def lazy_backbone(detector: Detector, *, norm: str, freeze_at: int = 0) -> DictConfig:
    """ResNet and FPN, p2..p6, `norm` after every convolution of both."""
    return LazyCall(FPN)(
        bottom_up=LazyCall(ResNet)(
            stem=LazyCall(BasicStem)(in_channels=3, out_channels=detector.stem_channels, norm=norm),
            stages=LazyCall(resnet_stages)(
                depth=detector.depth,
                stem_channels=detector.stem_channels,
                res2_channels=detector.res2_channels,
                stride_in_1x1=detector.stride_in_1x1,
                norm=norm,
            ),
            out_features=STAGES,
            freeze_at=freeze_at,
        ),
        in_features=STAGES,
        out_channels=detector.fpn_channels,
        norm=norm,
        top_block=LazyCall(LastLevelMaxPool)(),
    )


def lazy_rpn(detector: Detector) -> DictConfig:
    """Proposals: IoU 0.3 / 0.7 with low-quality matches, half positives, L1, NMS 0.7 (stock)."""
    return LazyCall(RPN)(
        in_features=[*LEVELS, "p6"],
        head=LazyCall(StandardRPNHead)(
            in_channels=detector.fpn_channels, num_anchors=len(detector.anchor_ratios)
        ),
        anchor_generator=LazyCall(DefaultAnchorGenerator)(
            sizes=[[size] for size in detector.anchor_sizes],
            aspect_ratios=list(detector.anchor_ratios),
            strides=STRIDES,
            offset=0.0,
        ),
        anchor_matcher=LazyCall(Matcher)(
            thresholds=[0.3, 0.7], labels=[0, -1, 1], allow_low_quality_matches=True
        ),
        box2box_transform=LazyCall(Box2BoxTransform)(weights=[1.0, 1.0, 1.0, 1.0]),
        batch_size_per_image=detector.rpn_batch,
        positive_fraction=0.5,
        pre_nms_topk=[detector.rpn_pre_topk_train, detector.rpn_pre_topk_test],
        post_nms_topk=[detector.rpn_post_topk, detector.rpn_post_topk],
        nms_thresh=0.7,
    )


def lazy_pooler(output_size: int) -> DictConfig:
    """ROIAlign (aligned, adaptive sampling) over p2..p5; a 224 px box lies on p4."""
    return LazyCall(ROIPooler)(
        output_size=output_size,
        scales=[1 / stride for stride in STRIDES[: len(LEVELS)]],
        sampling_ratio=0,
        pooler_type="ROIAlignV2",
    )


def lazy_roi_heads(detector: Detector, *, num_classes: int, class_agnostic: bool) -> DictConfig:
    """Box and mask branch; class-agnostic: 4 box outputs and one mask channel."""
    shape = {"channels": detector.fpn_channels}
    return LazyCall(StandardROIHeads)(
        num_classes=num_classes,
        batch_size_per_image=detector.roi_batch,
        positive_fraction=detector.roi_positive,
        proposal_matcher=LazyCall(Matcher)(thresholds=[0.5], labels=[0, 1], allow_low_quality_matches=False),
        box_in_features=LEVELS,
        box_pooler=lazy_pooler(detector.box_pool),
        box_head=LazyCall(FastRCNNConvFCHead)(
            input_shape=LazyCall(ShapeSpec)(**shape, height=detector.box_pool, width=detector.box_pool),
            conv_dims=[],
            fc_dims=[detector.fc_dim] * detector.num_fc,
        ),
        box_predictor=LazyCall(FastRCNNOutputLayers)(
            input_shape=LazyCall(ShapeSpec)(channels=detector.fc_dim),
            box2box_transform=LazyCall(Box2BoxTransform)(weights=BOX_WEIGHTS),
            num_classes="${..num_classes}",
            cls_agnostic_bbox_reg=class_agnostic,
            test_score_thresh=detector.test_score,
            test_nms_thresh=detector.test_nms,
            test_topk_per_image=detector.test_detections,
        ),
        mask_in_features=LEVELS,
        mask_pooler=lazy_pooler(detector.mask_pool),
        mask_head=LazyCall(MaskRCNNConvUpsampleHead)(
            input_shape=LazyCall(ShapeSpec)(**shape, height=detector.mask_pool, width=detector.mask_pool),
            num_classes=1 if class_agnostic else "${..num_classes}",
            conv_dims=[detector.mask_channels] * (detector.num_mask_conv + 1),  # the last: deconvolution
        ),
    )


def lazy_mask_rcnn(
    detector: Detector,
    *,
    norm: str,
    num_classes: int,
    class_agnostic: bool,
    pixel_mean: Sequence[float],
    pixel_std: Sequence[float],
    freeze_at: int = 0,
) -> DictConfig:
    """The whole detector; pixel statistics in BGR order, `norm` as detectron2 names it ("BN", "SyncBN").

    `freeze_at`: stages without gradient, from the stem on (0: none).
    """
    return LazyCall(GeneralizedRCNN)(
        backbone=lazy_backbone(detector, norm=norm, freeze_at=freeze_at),
        proposal_generator=lazy_rpn(detector),
        roi_heads=lazy_roi_heads(detector, num_classes=num_classes, class_agnostic=class_agnostic),
        pixel_mean=list(pixel_mean),
        pixel_std=list(pixel_std),
        input_format="BGR",
    )
