"""Every setting of the dense detector, as frozen dataclasses. `configs/paper.yaml` gives each its source.

Sizes are in pixels of the resized picture, areas in square pixels of the original one. Boxes are corners
(x1, y1, x2, y2). Names of choices say whose they are where it matters: `published` is what the original code
does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from experiments.dense_detector.presets import Network

VARIANTS = ("ours", "no_box_head", "misordered", "compat")
VariantName = Literal["ours", "no_box_head", "misordered", "compat"]


@dataclass(frozen=True)
class Data:
    """Which pictures and boxes, and how they reach the network."""

    source: Literal["coco", "tabletop"]  # coco: the files below; tabletop: assets/tabletop
    train_json: str | None  # for source=coco: COCO annotation files and their folders of pictures
    train_images: str | None
    val_json: str | None  # null: `val_share` of the training pictures
    val_images: str | None
    test_json: str | None  # null: the validation pictures are the test pictures
    test_images: str | None
    val_share: float  # only read without val_json; chosen by a hash of (seed, image id)
    classes: tuple[str, ...] | None  # null: all; the label is the rank of the category id among the chosen
    area: tuple[float, float]  # COCO area of an object in the original picture, lower < area < upper
    area_policy: Literal["ignore", "drop", "image"]  # what becomes of boxes outside `area` (select.py)
    size_wh: tuple[int, int]  # width, height that every picture is stretched to
    grey: bool  # one channel; false: RGB
    flip: float  # probability of a horizontal flip
    jitter: float  # brightness and contrast vary by up to this share
    cache: bool  # keep the decoded, resized pictures in memory (uint8)
    workers: int  # processes that decode ahead; 0: none


@dataclass(frozen=True)
class Model:
    """The network's layers (presets.py) and the two faults of the original that ours does not share."""

    network: Network
    box_head: Literal["delta", "none"]  # none: a prediction is an unmodified anchor, as published
    flatten: Literal["aligned", "published"]  # published: logits end up on the wrong anchors (model.py)


@dataclass(frozen=True)
class Anchors:
    """The boxes that are scored, at every cell of the feature map."""

    sizes: tuple[float, ...]  # of presets.AnchorShapes; empty: k-means over the training boxes
    ratios: tuple[float, ...]  # height / width
    unit: Literal["width", "pixels"]  # sizes are shares of the picture's width, or pixels
    num_auto: int  # number of shapes that k-means finds
    grid: Literal["cell", "published"]  # cell: centred on the cell; published: on its corner, rounded


@dataclass(frozen=True)
class Assign:
    """Which anchors count as an object, as background, as neither."""

    rule: Literal["threshold", "published", "atss"]  # assign.py; atss reads no threshold
    pos_iou: float  # at or above: positive
    neg_iou: float  # below, with every box: negative
    force_match: float  # the best anchor of a box is positive from this IoU on
    ignore_iou: float  # IoU or share of the anchor inside an ignore region at or above: no loss


@dataclass(frozen=True)
class Loss:
    """Class and box losses; both are divided by the number of positive anchors of the batch."""

    kind: Literal["bce_focal", "bce"]  # bce: hard negatives, `negatives_per_positive`
    gamma: float
    alpha: float | None
    detach_weight: bool  # no gradient through the focal weight
    negatives_per_positive: float  # only read by kind=bce
    box_kind: Literal["smooth_l1", "giou"]
    box_beta: float  # of smooth-L1
    box_weight: float


@dataclass(frozen=True)
class Train:
    """How it is trained."""

    variants: tuple[VariantName, ...]  # one shard each; see `variant`
    batch_size: int
    epochs: int
    max_steps: int | None  # stop here, whatever `epochs` says
    optim: Literal["adamw", "adam", "sgd"]
    lr: float
    momentum: float  # of SGD
    weight_decay: float
    schedule: Literal["warmup_cosine", "step", "epochs_research", "constant"]
    warmup_steps: int  # of warmup_cosine
    clip_norm: float  # of the gradient; 0: off
    shuffle: bool
    amp: bool  # float16 with loss scaling on CUDA, bfloat16 on the CPU
    threads: int  # of torch
    log_every: int  # steps
    eval_every: int  # epochs
    checkpoint_every: int  # steps
    snapshots: int  # how often heat maps and predictions are drawn, first and last step included


@dataclass(frozen=True)
class Evaluate:
    """From scores to boxes, and what is measured."""

    batch_size: int
    score: float  # detections below it are not kept
    top: int  # anchors per picture that are decoded
    nms_iou: float
    max_detections: int  # per picture
    class_wise: bool  # suppression within a class; false: across classes
    display_score: float  # boxes that are drawn
    batch_norm: Literal["running", "batch"]  # batch: the published code never leaves training mode
    num_drawn: int  # validation pictures whose heat maps are kept


@dataclass(frozen=True)
class Compare:
    """torchvision's detectors under the same budget; a stage of its own, not part of the default target."""

    models: tuple[Literal["ours", "ssdlite", "retinanet"], ...]
    inputs: tuple[Literal["matched", "native"], ...]  # matched: reduced to size_wh and grey first
    seeds: tuple[int, ...]
    lrs: tuple[float, ...]  # tried on validation for each model
    search_steps: int  # of each rate that is tried
    max_steps: int  # pictures seen = max_steps * train.batch_size, for every model
    upscale: int  # matched: RetinaNet sees the reduced picture this many times larger
    native_sizes: tuple[int, int]  # native: RetinaNet's limits of the short and the long side
    threads: int  # of torch while times are measured


@dataclass(frozen=True)
class DenseConfig:
    data: Data
    model: Model
    anchors: Anchors
    assign: Assign
    loss: Loss
    train: Train
    evaluate: Evaluate
    compare: Compare

    def __post_init__(self) -> None:
        data, model, train = self.data, self.model, self.train
        if min(data.size_wh) < 1:
            raise ValueError(f"`data.size_wh` is {list(data.size_wh)}, both must be at least 1")
        if not 0 <= data.area[0] < data.area[1]:
            raise ValueError(f"`data.area` is {list(data.area)}, must be an increasing pair from 0 on")
        if data.classes is not None and (not data.classes or len(set(data.classes)) < len(data.classes)):
            raise ValueError("`data.classes` must name each class once; null means all")
        if not 0 < data.val_share < 1:
            raise ValueError(f"`data.val_share` is {data.val_share:g}, must lie between 0 and 1")
        if not 0 <= data.flip <= 1 or not 0 <= data.jitter < 1:
            raise ValueError("`data.flip` must lie in 0..1 and `data.jitter` in 0..1")
        if not model.network.blocks or any(stride not in (1, 2) for _, stride in model.network.blocks):
            raise ValueError("`model.network.blocks` must be pairs (channels, stride) with stride 1 or 2")
        if not self.assign.neg_iou <= self.assign.pos_iou:
            raise ValueError("`assign.neg_iou` must not exceed `assign.pos_iou`")
        if any(value <= 0 for value in (*self.anchors.sizes, *self.anchors.ratios, self.anchors.num_auto)):
            raise ValueError("`anchors.sizes`, `anchors.ratios` and `anchors.num_auto` must be above 0")
        if len(set(train.variants)) != len(train.variants) or not train.variants:
            raise ValueError("`train.variants` must name at least one variant, each once")
        counts = {
            "train.batch_size": train.batch_size, "train.epochs": train.epochs, "train.lr": train.lr,
            "train.log_every": train.log_every, "train.eval_every": train.eval_every,
            "train.checkpoint_every": train.checkpoint_every, "train.threads": train.threads,
            "train.max_steps": 1 if train.max_steps is None else train.max_steps,
            "model.network.head_channels": model.network.head_channels,
            "evaluate.batch_size": self.evaluate.batch_size, "evaluate.top": self.evaluate.top,
            "compare.search_steps": self.compare.search_steps, "compare.max_steps": self.compare.max_steps,
            "compare.upscale": self.compare.upscale, "compare.native_sizes": min(self.compare.native_sizes),
            "compare.threads": self.compare.threads,
            "evaluate.max_detections": self.evaluate.max_detections,
        }  # fmt: skip
        for name, value in counts.items():
            if value <= 0:
                raise ValueError(f"`{name}` is {value:g}, must be above 0")


def variant(config: DenseConfig, name: str) -> DenseConfig:
    """The config of one arm of the experiment, everything else equal.

    ours: as it stands. no_box_head: predictions are unmodified anchors, as published. misordered: ours, but
    the head's output is flattened as published. compat: all that the published code does differently and that
    changes what is learned or measured (README, "Deviations").
    """
    if name == "no_box_head":
        return replace(config, model=replace(config.model, box_head="none"))
    if name == "misordered":
        return replace(config, model=replace(config.model, flatten="published"))
    if name == "compat":
        return replace(
            config,
            model=replace(config.model, box_head="none", flatten="published"),
            anchors=replace(config.anchors, grid="published"),
            assign=replace(config.assign, rule="published"),
            loss=replace(config.loss, kind="bce_focal", alpha=None, detach_weight=True),
            train=replace(config.train, shuffle=False, clip_norm=0.0),
            evaluate=replace(config.evaluate, class_wise=False, batch_norm="batch"),
        )
    if name != "ours":
        raise ValueError(f"no variant {name!r}; there are {', '.join(VARIANTS)}")
    return config


CONFIG = DenseConfig
