"""Settings of SOLID's learning half: the detector, its pre-training, fine-tuning and evaluation.

`configs/paper.yaml` gives each its published value and source. Sizes are in pixels of the resized picture.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Detector:
    """Mask R-CNN with FPN: what pre-training and fine-tuning share, so that its tensors fit both."""

    depth: Literal[18, 34, 50, 101]
    stem_channels: int
    res2_channels: int  # output of the first stage; doubles with every stage
    stride_in_1x1: bool  # depth 50 and up: the stride stands on the 1x1 convolution (MSRA)
    fpn_channels: int
    anchor_sizes: tuple[int, ...]  # one per level, p2..p6
    anchor_ratios: tuple[float, ...]
    rpn_batch: int  # sampled anchors per picture
    rpn_pre_topk_train: int  # proposals per level before NMS
    rpn_pre_topk_test: int
    rpn_post_topk: int  # proposals after NMS
    roi_batch: int  # sampled RoIs per picture
    roi_positive: float
    box_pool: int
    fc_dim: int
    num_fc: int
    mask_pool: int
    mask_channels: int
    num_mask_conv: int
    test_score: float
    test_nms: float
    test_detections: int


@dataclass(frozen=True)
class Pretrain:
    """Instance detection: find the objects of the query pictures in the target pictures."""

    batch_size: int  # target pictures per step, over all ranks
    num_queries: int  # query pictures per step and rank
    query_size: int  # longest side of a query
    held_out: int  # last pictures of the store that are not trained on: they measure retrieval
    held_out_models: int  # models that are never seen, nor any picture that shows one (learn/data/unseen.py)
    sampler: Literal["epoch", "chunk_cache"]  # chunk_cache: the published order (two passes over a cache)
    cache_size: int  # sampler=chunk_cache: pictures in the cache
    short_edges: tuple[int, ...]
    max_edge: int
    flip: bool
    min_box: float  # an instance is dropped at or below this width or height after resizing
    pixel_mean: tuple[float, float, float]  # BGR
    pixel_std: tuple[float, float, float]
    embed_dims: tuple[int, ...]
    temperature: float
    ema: float  # momentum of the k-network
    norm: Literal["BN", "SyncBN"]
    lr: float
    momentum: float
    weight_decay: float
    weight_decay_norm: float
    warmup: int  # iterations
    warmup_factor: float
    final_lr_factor: float
    schedule: int  # iterations over which the cosine is defined
    iterations: int  # iterations that run: 3/4 of `schedule`
    precision: Literal["float32", "bfloat16", "float16"]
    shuffled_queries: bool  # control without a signal: query pictures are handed out under other classes
    checkpoint_every: int
    log_every: int
    retrieval_every: int  # iterations between two measurements of retrieval; 0: only at the end
    workers: int  # loader processes; the order of the samples does not depend on it
    threads: int  # CPU threads of the training process; decides the last bits of float sums
    overrides: tuple[str, ...]  # detectron2 LazyConfig overrides: model.a.b=value

    def __post_init__(self) -> None:
        if not self.embed_dims or min(self.embed_dims) < 1:
            raise ValueError("`pretrain.embed_dims` needs at least one width, all positive")
        if self.temperature <= 0:
            raise ValueError("`pretrain.temperature` must be positive")
        if not 0 <= self.ema <= 1:
            raise ValueError("`pretrain.ema` must lie in 0..1")
        counts = ("batch_size", "num_queries", "query_size", "iterations", "checkpoint_every", "log_every")
        for name in counts:
            if getattr(self, name) < 1:
                raise ValueError(f"`pretrain.{name}` must be at least 1")
        if self.held_out_models < 0:
            raise ValueError("`pretrain.held_out_models` must not be negative")
        if max(self.iterations, self.warmup) > self.schedule:
            raise ValueError("`pretrain.schedule` is shorter than `pretrain.iterations` or `pretrain.warmup`")


@dataclass(frozen=True)
class TargetSet:
    """The data set with boxes and masks that is fine-tuned on: COCO JSON and pictures."""

    source: Literal["tabletop", "folder"]  # tabletop: assets/tabletop; folder: any COCO data set
    train_json: str | None  # for source=folder
    train_images: str | None
    test_json: str | None
    test_images: str | None
    max_train: int | None  # first pictures only; None: all
    max_test: int | None


@dataclass(frozen=True)
class Finetune:
    """Stock Mask R-CNN on the target set, once from each initialisation."""

    init: tuple[Literal["pretrained", "random"], ...]  # one shard each
    weights: str | None  # for init=pretrained: .pth or .safetensors; None: what stage `pretrain` made
    batch_size: int
    lr: float
    momentum: float
    weight_decay: float
    warmup: int
    warmup_factor: float
    iterations: int
    steps: tuple[int, ...]  # iterations at which the learning rate is divided by 10
    norm: Literal["BN", "SyncBN", "FrozenBN"]
    precise_bn: int  # iterations of batch-norm re-estimation at the end; 0: none
    freeze_at: int
    pixel_mean: tuple[float, float, float]  # BGR
    pixel_std: tuple[float, float, float]
    short_edges: tuple[int, ...]
    max_edge: int
    test_short_edge: int
    test_max_edge: int
    flip: bool
    precision: Literal["float32", "bfloat16", "float16"]
    checkpoint_every: int
    log_every: int
    workers: int
    threads: int
    overrides: tuple[str, ...]  # detectron2 CfgNode options: KEY, VALUE, KEY, VALUE, ...


@dataclass(frozen=True)
class Evaluate:
    """COCO box and mask AP of every fine-tuned detector."""

    batch_size: int
    threads: int
    num_drawn: int  # pictures with drawn predictions in the report
