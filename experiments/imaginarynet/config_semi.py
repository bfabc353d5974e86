"""Settings of the detectors that learn from boxes: Unbiased Teacher, Soft Teacher, plain Faster R-CNN.

Defaults are Unbiased Teacher's published VOC07 -> VOC12 setting; configs/paper.yaml has the sources line by
line. One class serves the three detectors, each with a section of its own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Backbone = Literal["resnet50", "resnet18"]
Norm = Literal["frozen-bn", "bn", "gn"]
Pixels = Literal["caffe-bgr", "rgb"]  # caffe-bgr: MSRA weights, whose strides lie in the 1x1 convolutions


@dataclass(frozen=True)
class SemiConfig:
    """A Faster R-CNN, its supervised training and what a teacher adds to it."""

    # network
    backbone: Backbone = "resnet50"
    width: int = 64  # channels of the stem
    weights: str = "random"  # or a .safetensors file below DATA_DIR/weights, with torchvision's names
    norm: Norm = "frozen-bn"  # of the backbone; frozen-bn makes sense with weights alone
    frozen_stages: int = 1  # -1: none; 0: the stem; 1: the stem and res2
    pixels: Pixels = "caffe-bgr"
    fpn: int = 256  # channels
    fc: int = 1024  # units of the two layers of the box head
    anchor_scale: float = 8.0  # an anchor's side over its level's stride, 4 to 64
    proposals_before_nms: tuple[int, int] = (2000, 1000)  # per level: training, test
    proposals: int = 1000  # per picture, after NMS
    rpn_batch: int = 256  # anchors per picture that the loss is summed over
    rpn_positive: float = 0.25  # at most this share of them on objects
    roi_batch: int = 512
    roi_positive: float = 0.25
    roi_aligned: bool = True  # RoIAlign half a cell up and left, as detectron2 has it; torchvision's is not
    roi_samples: int = 0  # a side of each of its bins; 0: as many as cells
    focal_gamma: float = 1.5  # of the classification of proposals; 0: cross-entropy
    # supervised training
    steps: int = 180_000
    batch_labelled: int = 16
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-4
    warmup: int = 1000  # steps
    warmup_factor: float = 0.001
    decay_steps: tuple[int, ...] = (179_990, 179_995)  # the learning rate falls to a tenth at each
    clip_norm: float = 0.0  # of the gradient; 0: not clipped
    strong_supervised: bool = True  # labelled pictures count twice: as they are and strongly changed
    sides: tuple[int, ...] = (480, 512, 544, 576, 608, 640, 672, 704, 736, 768, 800)  # shorter one, px
    max_side: int = 1333  # px of the longer one
    # teacher
    batch_unlabelled: int = 16
    burn_in: int = 30_000  # steps before the teacher becomes a copy of the student
    ema: float = 0.999  # of the teacher, at every step after it
    unlabelled_weight: float = 2.0
    threshold: float = 0.7  # pseudo boxes have a score above it
    use_image_labels: bool = False  # pictures with image labels are unlabelled ones whose boxes must agree
    # Soft Teacher
    initial_threshold: float = 0.5
    rpn_threshold: float = 0.9
    max_box_deviation: float = 0.02  # of boxes regressed from jittered ones, over the box's sides
    jitter_times: int = 10
    jitter_scale: float = 0.06
    # test
    test_side: int = 600
    test_nms: float = 0.5
    test_score: float = 0.05
    test_boxes: int = 100  # per picture
    # writing
    measure_every: int = 1000  # steps between rows of metrics.csv
    save_every: int = 1000
    threads: int = 1  # of torch on the CPU
    workers: int = 0  # threads that read pictures ahead; no output depends on it

    def __post_init__(self) -> None:
        _at_least(1, width=self.width, fpn=self.fpn, fc=self.fc, proposals=self.proposals)
        _at_least(1, rpn_batch=self.rpn_batch, roi_batch=self.roi_batch, steps=self.steps)
        _at_least(1, batch_labelled=self.batch_labelled, batch_unlabelled=self.batch_unlabelled)
        _at_least(1, jitter_times=self.jitter_times, test_side=self.test_side, test_boxes=self.test_boxes)
        _at_least(1, measure_every=self.measure_every, save_every=self.save_every, max_side=self.max_side)
        _at_least(0, lr=self.lr, weight_decay=self.weight_decay, warmup=self.warmup, burn_in=self.burn_in)
        _at_least(1, threads=self.threads)
        _at_least(0, workers=self.workers, roi_samples=self.roi_samples)
        _at_least(0, clip_norm=self.clip_norm, focal_gamma=self.focal_gamma, jitter_scale=self.jitter_scale)
        _at_least(0, unlabelled_weight=self.unlabelled_weight, max_box_deviation=self.max_box_deviation)
        for name in ("rpn_positive", "roi_positive", "momentum", "warmup_factor", "ema", "threshold",
                     "initial_threshold", "rpn_threshold", "test_nms", "test_score"):  # fmt: skip
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"`{name}` of a detector is {getattr(self, name):g}, must be in [0, 1]")
        if not self.sides or min(self.sides) < 1:
            raise ValueError(f"`sides` of a detector is {list(self.sides)}; name sides in pixels")
        if not self.anchor_scale > 0:
            raise ValueError(f"`anchor_scale` of a detector is {self.anchor_scale:g}, must be above 0")
        if not -1 <= self.frozen_stages <= 4:
            raise ValueError(f"`frozen_stages` of a detector is {self.frozen_stages}, must be in -1..4")


def _at_least(least: int, **values: float) -> None:
    """Raises ValueError naming the first setting that is below `least`, infinite or no number."""
    for name, value in values.items():
        if not least <= value < math.inf:  # NaN compares as False
            raise ValueError(f"`{name}` of a detector is {value:g}, must be at least {least}")
