"""Settings of the detectors that learn from image-level labels: WSDDN and OICR.

WSDDN is the network without refinement branches (`refinements: 0`), OICR has some. The published variants
are configs/weak/*.yaml, line by line with their sources; `variant` names one of them to be laid under it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Variant = Literal["wsddn-original", "wsddn-midn", "oicr-caffe", "oicr-pytorch"]
Rule = Literal["midn", "refine-sum", "refine-mean-frcn"]
STRIDES = {"vgg16": (8, 16), "resnet50": (8, 16), "mobilenetv2": (8, 16)}


@dataclass(frozen=True)
class WeakConfig:
    """A weakly supervised detector: network, losses, training and test.

    An update is the gradient of `iter_size` passes over `batch` pictures each. Sides are pixels.
    """

    variant: Variant | None = None
    # The network.
    backbone: Literal["vgg16", "resnet50", "mobilenetv2"] = "mobilenetv2"
    # packaged (ImageNet weights of mobilenetv2), random, or a .safetensors file below DATA_DIR/weights
    weights: str = "packaged"
    stride: int = 8  # pixels per cell; later stages are dilated instead of strided
    depth: int = 0  # blocks of mobilenetv2 that are used, 4..18; 0: all of them
    freeze: int = 2  # first stages that do not learn: 0..5; of mobilenetv2 its stem and blocks, 0..19
    pooling: Literal["roi_pool", "roi_align"] = "roi_pool"
    pool_size: int = 7  # cells a side
    head: Literal["fc", "res5"] = "fc"  # res5: resnet50's last stage on every proposal ("C4"), no fc layers
    fc: tuple[int, ...] = (4096, 4096)  # widths; those of vgg16's weights are loaded where they fit
    dropout: float = 0.5  # after each fc layer
    # What is drawn from a proposal's features.
    refinements: int = 3  # branches; 0: WSDDN
    temperature: float = 1.0  # of the softmax over proposals
    score_bias: float = 0.0  # pooled features times 1 + score_bias * score of the proposal
    fast_rcnn: bool = False  # one more branch, with boxes, that learns from the last refinement
    # The losses.
    midn_reduce: Literal["sum", "mean"] = "sum"  # over classes
    midn_weight: float = 1.0
    refine_weights: tuple[float, ...] = (1.0, 1.0, 1.0)  # one per branch
    refine_start: int = 0  # updates with the image-level loss alone, before refinement; ours, 0 as published
    fg_iou: float = 0.5  # from here on a proposal takes the pseudo box's class
    ignore_iou: float = 0.0  # below it a proposal has no weight
    log_eps: float = 0.0  # added to a probability before its logarithm
    spatial_regulariser: float = 0.0  # WSDDN's pull on the features of overlapping surest boxes
    box_weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)  # of the offsets of fast_rcnn
    # Optimisation: SGD.
    lr: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 0.0005  # none on biases
    bias_lr: float = 2.0  # times lr, of biases
    refine_lr: float = 1.0  # times lr (times bias_lr for biases), of the refinement branches
    iterations: int = 70_000  # updates
    steps: tuple[int, ...] = (40_000,)  # updates after which lr is multiplied by gamma
    gamma: float = 0.1
    warmup: int = 0  # updates of linear growth from warmup_factor * lr
    warmup_factor: float = 0.333333
    batch: int = 1  # pictures per pass
    iter_size: int = 2  # passes per update
    iter_reduce: Literal["mean", "sum"] = "mean"  # of the passes' gradients
    clip_norm: float = 0.0  # of the gradient; 0: not clipped
    # The pictures of training.
    scales: tuple[int, ...] = (480, 576, 688, 864, 1200)  # one is drawn per picture
    imaginary_scales: tuple[int, ...] = ()  # of imaginary pictures, whose objects fill them; empty: `scales`
    scale_side: Literal["shortest", "longest"] = "shortest"
    max_side: int = 2000  # of the longest side where scale_side is shortest
    flip: bool = True
    channel_order: Literal["bgr", "rgb"] = "bgr"
    pixel_mean: tuple[float, float, float] = (102.9801, 115.9465, 122.7717)  # in that order, of 0..255
    pixel_std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    dedup: bool = True  # of proposals that are one after rounding to the grid of the features
    max_proposals: int = 0  # 0: all
    # Test.
    test_scales: tuple[int, ...] = (480, 576, 688, 864, 1200)
    test_side: Literal["shortest", "longest"] = "longest"
    test_flip: bool = True
    test_reduce: Literal["mean", "sum"] = "mean"  # of a proposal's scores over scales and flips
    score_rule: Rule = "refine-sum"
    score_threshold: float = 0.0  # on the reduced score
    nms: float = 0.3  # intersection over union
    max_per_image: int = 0  # 0: no limit
    max_per_class: int = 100  # in one picture; 0: no limit
    # The run.
    checkpoint_every: int = 500  # updates
    log_every: int = 20  # updates
    threads: int = 1  # of torch on the CPU
    workers: int = 1  # threads that read pictures; no output depends on it

    def __post_init__(self) -> None:
        self._check_network()
        self._check_losses()
        self._check_training()
        self._check_test()

    @property
    def kind(self) -> str:
        """ "wsddn" without refinement branches, else "oicr"."""
        return "oicr" if self.refinements else "wsddn"

    @property
    def num_stages(self) -> int:
        """Of the backbone, the stem included; what `freeze` counts."""
        if self.backbone == "mobilenetv2":
            return (self.depth or 18) + 1
        return 4 if self.head == "res5" else 5

    def _check_network(self) -> None:
        if self.stride not in STRIDES[self.backbone]:
            raise ValueError(f"`stride` is {self.stride}; {self.backbone} has {STRIDES[self.backbone]}")
        if self.depth and (self.backbone != "mobilenetv2" or not 4 <= self.depth <= 18):
            raise ValueError(f"`depth` is {self.depth}; it is 4..18 for mobilenetv2, else 0")
        if self.stride == 16 and self.depth and self.depth < 8:
            raise ValueError(f"`depth` is {self.depth}; stride 16 begins at block 8")
        if not 0 <= self.freeze <= self.num_stages:
            raise ValueError(f"`freeze` is {self.freeze}; {self.backbone} has {self.num_stages} stages here")
        if self.head == "res5" and (self.backbone != "resnet50" or self.fc):
            raise ValueError(
                "`head: res5` is the last stage of resnet50 in place of fc layers; say `fc: []`, too"
            )
        if self.weights == "packaged" and self.backbone != "mobilenetv2":
            raise ValueError(
                f"`weights` are packaged for mobilenetv2 alone; name a file for {self.backbone}, or random"
            )
        if any(width < 1 for width in self.fc) or (self.head == "fc" and not self.fc):
            raise ValueError(f"`fc` is {list(self.fc)}; name the widths of the layers, each at least 1")
        _at_least(1, pool_size=self.pool_size, threads=self.threads)
        _at_least(0, workers=self.workers, score_bias=self.score_bias)
        if not 0 <= self.dropout < 1:
            raise ValueError(f"`dropout` is {self.dropout:g}, must be in [0, 1)")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"`temperature` is {self.temperature:g}, must be above 0")

    def _check_losses(self) -> None:
        _at_least(0, refinements=self.refinements, midn_weight=self.midn_weight, log_eps=self.log_eps)
        _at_least(0, spatial_regulariser=self.spatial_regulariser, refine_start=self.refine_start)
        if len(self.refine_weights) != self.refinements:
            count, wanted = len(self.refine_weights), self.refinements
            raise ValueError(f"`refine_weights` has {count} values, `refinements` is {wanted}: one for each")
        if self.fast_rcnn and not self.refinements:
            raise ValueError("`fast_rcnn` learns from the last refinement, and `refinements` is 0")
        if not 0 <= self.ignore_iou <= self.fg_iou <= 1:
            raise ValueError("need 0 <= `ignore_iou` <= `fg_iou` <= 1")

    def _check_training(self) -> None:
        _at_least(0, momentum=self.momentum, weight_decay=self.weight_decay, clip_norm=self.clip_norm)
        _at_least(0, lr=self.lr, bias_lr=self.bias_lr, refine_lr=self.refine_lr, gamma=self.gamma)
        _at_least(0, warmup=self.warmup, warmup_factor=self.warmup_factor, max_proposals=self.max_proposals)
        _at_least(1, iterations=self.iterations, batch=self.batch, iter_size=self.iter_size)
        _at_least(1, checkpoint_every=self.checkpoint_every, log_every=self.log_every, max_side=self.max_side)
        if list(self.steps) != sorted(set(self.steps)):
            raise ValueError(f"`steps` is {list(self.steps)}; the updates must grow")
        for name in ("scales", "test_scales", "imaginary_scales"):
            sides = getattr(self, name)
            if min(sides, default=32 if name == "imaginary_scales" else 0) < 32:
                raise ValueError(f"`{name}` is {list(sides)}; name sides of at least 32 pixels")
        if min(self.pixel_std) <= 0:
            raise ValueError(f"`pixel_std` is {list(self.pixel_std)}; each must be above 0")

    def _check_test(self) -> None:
        _at_least(0, score_threshold=self.score_threshold, max_per_image=self.max_per_image)
        _at_least(0, max_per_class=self.max_per_class)
        if not 0 < self.nms <= 1:
            raise ValueError(f"`nms` is {self.nms:g}, must be in (0, 1]")
        if (self.score_rule == "midn") != (self.refinements == 0):
            raise ValueError(
                f"`score_rule` is {self.score_rule}; with `refinements: 0` it is midn, else another"
            )
        if self.score_rule == "refine-mean-frcn" and not self.fast_rcnn:
            raise ValueError("`score_rule: refine-mean-frcn` needs `fast_rcnn: true`")


def wsddn_defaults() -> WeakConfig:
    """The settings without refinement branches."""
    return WeakConfig(refinements=0, refine_weights=(), score_rule="midn")


def _at_least(least: int, **values: float) -> None:
    """Raises ValueError naming the first setting that is below `least`, infinite or no number."""
    for name, value in values.items():
        if not least <= value < math.inf:  # NaN compares as False
            raise ValueError(f"`{name}` is {value:g}, must be at least {least}")
